"""`rft presets`, its two commands, and their JSON."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from engine.config.features import not_built
from engine.config.registry import parameters
from presets import loader
from rftui.cli.presets import app


@pytest.fixture(autouse=True)
def user_presets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A place for the user's presets, with one that is broken."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    loader.user_dir().mkdir(parents=True)
    (loader.user_dir() / "broken.yaml").write_text("batch: {train_batch_sise: 8}\n")
    return loader.user_dir()


def run(*args: str) -> str:
    result = CliRunner().invoke(app, args, catch_exceptions=False)
    assert result.exit_code == 0
    return result.stdout


def test_the_list_shows_every_preset_even_beside_a_broken_one(user_presets: Path):
    text = run()
    assert "quickstart" in text and loader.load("quickstart").title in text
    assert "not usable: there is no parameter batch.train_batch_sise" in text
    assert str(user_presets) in text


def test_the_list_as_json():
    listed = {row["name"]: row for row in json.loads(run("--json"))["presets"]}
    assert list(listed) == loader.names()
    assert listed["quickstart"]["title"] and "train_batch_sise" in listed["broken"]["error"]


def test_show():
    text = run("show", "quickstart")
    assert "model.pretrain" in text and "toy:" in text
    shown = json.loads(run("show", "quickstart", "--json"))
    assert shown["values"] == json.loads(json.dumps(loader.load("quickstart").layer.values))


def test_features_lists_what_is_refused():
    text = run("features")
    listed = json.loads(run("features", "--json"))["not_available"]
    assert listed == [feature._asdict() for feature in not_built()]
    assert {row["param"] for row in listed} == {key for key, p in parameters().items() if p.not_built}
    assert all(row["param"] in text for row in listed)


@pytest.mark.parametrize("args", [["show", "quikstart"], ["show", "broken"]])
def test_a_mistake_is_one_message_and_exit_code_2(args: list[str]):
    done = subprocess.run(
        [sys.executable, "-c", "from rftui.cli.app import main; main()", "presets", *args],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "Traceback" not in done.stderr and (
        "quickstart" in done.stderr or "train_batch_size" in done.stderr
    )
