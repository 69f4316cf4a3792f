"""The lines of the table of runs at several widths, and the table as a file."""

import csv
from pathlib import Path

import pytest

from rftui.runs.digest import Digest
from rftui.runs.listing import RunSummary
from rftui.runs.notes import Notes
from rftui.tui.blocks import cut_middle
from rftui.tui.runs_table import written
from rftui.tui.runs_table.columns import Entry, Order, line, shown
from rftui.tui.runs_table.row import Detail, Row

NOW = 1_780_000_000.0
NAME = "qwen05-countdown-lr-003"


def row(name: str = NAME, note: str = "a | longer warmup") -> Row:
    summary = RunSummary(name, Path("runs") / name, "finished", NOW - 90, NOW, 12, 60, 0.5, "quickstart")
    digest = Digest(best=0.75, last=0.5, rewards=(0.1, 0.5), tokens_per_s=9290.0, lr=1e-6)
    settings = {"model.pretrain": "Qwen/Qwen2.5-7B-Instruct"}
    detail = Detail(digest, settings, NOW - 80, NOW - 20)
    return Row(summary, Notes(note, ("keep", "x")), detail)


@pytest.mark.parametrize(("room", "expected"), [(23, NAME), (16, "qwen05-…n-lr-003"), (3, "q…3"), (2, "q…")])
def test_of_a_name_that_is_too_long_both_ends_are_kept(room: int, expected: str) -> None:
    assert cut_middle(NAME, room) == expected


@pytest.mark.parametrize("width", [60, 77, 100, 117, 157, 197])
def test_a_line_fits_and_tells_names_apart(width: int) -> None:
    columns = shown(width, Order())
    one, two = (line(Entry(row(name), False, NOW), columns, width).plain for name in (NAME, NAME[:-1] + "4"))
    assert len(one) <= width
    assert one != two


def test_on_a_wide_screen_the_note_stands_before_the_preset() -> None:
    at_160 = line(Entry(row(), False, NOW), shown(157, Order()), 157).plain
    assert "a | longer" in at_160 and "Qwen2.5-7B-Inst…" in at_160
    assert "quickstart" not in at_160
    assert "quickstart" in line(Entry(row(), False, NOW), shown(197, Order()), 197).plain


def test_the_files_hold_every_value_whole(tmp_path: Path) -> None:
    bare = Row(RunSummary("bare", Path("runs/bare"), "unreadable", 0.0, 0.0))
    paths = [tmp_path / "out" / name for name in ("runs.csv", "runs.md")]
    written.write(paths, [row(), bare], NOW)
    first, second = csv.DictReader(paths[0].read_text().splitlines())
    assert tuple(first) == written.HEADS
    assert first["model"] == "Qwen/Qwen2.5-7B-Instruct"
    assert (first["reward"], first["best_reward"], first["seconds"], first["lr"]) == (
        "0.5",
        "0.75",
        "60",
        "1e-06",
    )
    assert (first["tags"], first["note"]) == ("keep x", "a | longer warmup")
    assert first["created"].startswith("2026-05-28T")
    assert (second["name"], second["step"], second["reward"], second["created"]) == ("bare", "0", "", "")
    lines = paths[1].read_text().splitlines()
    assert len(lines) == 4
    assert "a \\| longer warmup" in lines[2]
