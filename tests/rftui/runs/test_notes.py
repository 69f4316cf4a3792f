"""Notes and tags of a run, kept in its folder."""

import json
from pathlib import Path

import pytest

from engine.findings import FindingsError
from rftui.runs import notes
from rftui.runs.rundir import RunDir, create


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    return create(tmp_path, "noted")


def test_text_and_tags_are_kept_apart_and_written_whole(run: RunDir) -> None:
    assert notes.read(run) == notes.Notes()
    notes.write_text(run, "  low KL,\n good  baseline ")
    notes.write_tags(run, ["paper", "#gsm8k", "paper"])
    assert notes.read(run) == notes.Notes("low KL, good baseline", ("gsm8k", "paper"))
    assert json.loads((run.path / "notes.json").read_text())["tags"] == ["gsm8k", "paper"]
    assert [path.name for path in run.path.iterdir() if path.name.startswith(".")] == []
    notes.write_text(run, "")
    assert notes.read(run) == notes.Notes("", ("gsm8k", "paper"))


def test_a_tag_is_a_word(run: RunDir) -> None:
    with pytest.raises(FindingsError, match="'a b' cannot be a tag"):
        notes.write_tags(run, ["fine", "a b"])
    assert notes.read(run).tags == ()


def test_a_damaged_file_is_told_and_not_written_over(run: RunDir) -> None:
    path = run.path / "notes.json"
    path.write_text('{"text": "precious', encoding="utf-8")
    assert "notes.json cannot be read" in notes.read(run).text
    with pytest.raises(FindingsError, match="Nothing was written over it"):
        notes.write_text(run, "new")
    assert path.read_text() == '{"text": "precious'
