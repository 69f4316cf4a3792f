"""How much of a log a replay shows: what tells nothing is looked through once, and a jump back is no cut."""

import time
import tracemalloc
from pathlib import Path

from rftui.runs.replay import ReplayClock, StepTimes
from rftui.runs.rundir import RunDir
from rftui.tui.logs.book import LogBook
from rftui.tui.logs.played import FAR, Played, Written

BEGAN = time.mktime((2026, 3, 14, 10, 0, 0, 0, 0, -1))
MODIFIED = BEGAN + 3600


def played(folder: Path, now: float) -> Played:
    clock = ReplayClock(BEGAN, BEGAN + 3600, 1)
    clock.pause(True)
    clock.jump(BEGAN + now)
    return Played(clock, StepTimes(RunDir(folder)))


def stamped(*minutes: int) -> str:
    return "".join(f"2026-03-14 10:{minute:02d}:00 INFO minute {minute}\n" for minute in minutes)


def test_a_log_that_tells_nothing_is_looked_through_once(tmp_path: Path) -> None:
    log, text = tmp_path / "a.log", stamped(1)
    log.write_text("x" * (len(text) - 1) + "\n")
    written = Written(log, played(tmp_path, 600))
    assert written.bytes(len(text), MODIFIED) == 0 and written.silent
    log.write_text(text)
    assert written.bytes(len(text), MODIFIED) == 0, "it is not read again"
    log.write_text(text + "more\n")
    assert written.bytes(len(text) + 5, MODIFIED) == len(text), "it has grown"


def test_the_end_of_a_log_that_tells_nothing_is_looked_through_once(tmp_path: Path) -> None:
    log, told, text = tmp_path / "a.log", stamped(1), stamped(2)
    log.write_text(told + "x" * (len(text) - 1) + "\n")
    size, written = log.stat().st_size, Written(log, played(tmp_path, 600))
    assert [written.bytes(size, MODIFIED) for _ in range(2)] == [len(told)] * 2
    log.write_text(told + text)
    assert written.bytes(size, MODIFIED) == len(told) and not written.silent


def test_of_a_log_without_a_single_line_end_little_is_read(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    with log.open("wb") as file:
        file.truncate(64 * FAR)
    written = Written(log, played(tmp_path, 600))
    tracemalloc.start()
    try:
        assert written.bytes(64 * FAR, MODIFIED) == 0
        assert tracemalloc.get_traced_memory()[1] < 4 * FAR
    finally:
        tracemalloc.stop()


def test_a_jump_back_does_not_lead_into_a_rotated_file(tmp_path: Path) -> None:
    (tmp_path / "rank-00000.log.1").write_text(stamped(*range(10)))
    (tmp_path / "rank-00000.log").write_text(stamped(*range(10, 40)))
    (tmp_path / "rank-00001.log").write_text(stamped(35))
    replay = played(tmp_path, 39.5 * 60)
    book = LogBook(tmp_path, BEGAN, replay)
    book.resize(4)
    book.move(-23)
    row = book.page().row
    assert row is not None and row.text.endswith("minute 17")
    replay.clock.jump(BEGAN + 30.5 * 60)
    book.look()
    row = book.page().row
    assert row is not None and row.text.endswith("minute 17") and not book.page().note
