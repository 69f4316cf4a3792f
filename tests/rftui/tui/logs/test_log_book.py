"""Walking, filtering, searching, folding: a book of logs without a screen."""

import os
import time
import unicodedata
from pathlib import Path

import pytest

from rftui.tui.logs.book import LogBook
from rftui.tui.logs.jump import jump
from rftui.tui.logs.pager import pager_command
from rftui.tui.logs.pretty import pretty
from rftui.tui.logs.query import Filter, query

TRACEBACK = """[rank{0}]: Traceback (most recent call last):
[rank{0}]:   File "train.py", line 88, in main
[rank{0}]:     trainer.fit()
[rank{0}]: RuntimeError: NCCL communicator was aborted on rank {0}.
"""


def book(folder: Path, height: int = 10) -> LogBook:
    made = LogBook(folder, time.time() - 3600)
    made.resize(height)
    done(made)
    return made


def done(made: LogBook) -> None:
    deadline = time.monotonic() + 20
    while made.work(0.05):
        assert time.monotonic() < deadline


def texts(made: LogBook) -> list[str]:
    return [row.text for row in made.page().rows]


@pytest.fixture
def two(tmp_path: Path) -> Path:
    """Rank 0 writes at even seconds, rank 1 at odd ones, a warning every 50."""
    for rank in (0, 1):
        lines = [
            f"2026-03-14 10:{s // 60:02d}:{s % 60:02d} {'WARNING' if s % 50 == 0 else 'INFO'} tick {s}\n"
            for s in range(rank, 600, 2)
        ]
        (tmp_path / f"rank-0000{rank}.log").write_text("".join(lines))
    return tmp_path


def ticks(made: LogBook) -> list[int]:
    return [int(text.rsplit(" ", 1)[1]) for text in texts(made)]


def test_lines_of_all_ranks_stand_in_the_order_of_time(two: Path) -> None:
    made = book(two)
    assert ticks(made) == list(range(590, 600))
    made.page_by(-1)
    assert ticks(made) == list(range(581, 591))
    made.begin()
    assert ticks(made) == list(range(10))
    made.move(25)
    assert ticks(made) == list(range(16, 26))
    assert made.page().row.text.endswith("tick 25")  # type: ignore[union-attr]
    made.scroll(3)
    assert ticks(made) == list(range(19, 29))
    assert made.page().row.text.endswith("tick 25")  # type: ignore[union-attr]


def test_going_all_the_way_down_and_up_meets_every_line_once(two: Path) -> None:
    made = book(two)
    lines, _ = made.walk.forward(made.walk.begin, 10_000)
    back, _ = made.walk.backward(made.walk.end, 10_000)
    assert lines == back
    assert len(set(lines)) == 600


def test_one_rank(two: Path) -> None:
    made = book(two, 4)
    made.choose("r1")
    assert ticks(made) == [593, 595, 597, 599]
    made.choose_next(1)
    assert made.writer is None


def test_times_shares_and_lines_can_be_jumped_to(two: Path) -> None:
    made = book(two)
    for text, tick in [("10:05", 300), ("2026-03-14 10:01:40", 100), ("+30s", 130), ("-1m", 70)]:
        jump(text)(made)
        assert made.page().row.text.endswith(f"tick {tick}"), text  # type: ignore[union-attr]
    jump("50%")(made)
    assert 290 < int(made.page().row.text.split()[-1]) < 310  # type: ignore[union-attr]
    jump("line 5")(made)
    done(made)
    assert made.page().number == 5
    with pytest.raises(ValueError, match="no time"):
        jump("tomorrow")
    with pytest.raises(ValueError, match="no time 25:00"):
        jump("25:00")


def test_filters_hide_lines(two: Path) -> None:
    made = book(two, 100)
    made.filter_by(Filter(levels=frozenset({"warning"})))
    done(made)
    assert ticks(made) == list(range(0, 600, 50))
    assert made.page().passing == 12
    made.filter_by(Filter(include=query("tick 1"), exclude=query("/tick 1[0-4]/")))
    done(made)
    assert ticks(made) == [1, *range(15, 20), *range(150, 200)]
    made.filter_by(Filter(include=query("nothing like it")))
    done(made)
    assert made.page().problem == "no line passes the filter"


def test_a_regular_expression_does_not_match_across_lines(two: Path) -> None:
    made = book(two, 100)
    made.filter_by(Filter(include=query(r"/tick 100\s+2026|^2026.*tick 7$/")))
    done(made)
    assert ticks(made) == [7]
    with pytest.raises(ValueError, match="no regular expression"):
        query("/(/")


def test_capitals_count_only_when_typed(two: Path) -> None:
    made = book(two, 100)
    made.filter_by(Filter(include=query("warning")))
    done(made)
    assert len(texts(made)) == 12
    made.filter_by(Filter(include=query("Warning")))
    done(made)
    assert texts(made) == []


@pytest.mark.parametrize("text", ["nan", "NaN", "nan loss", "NaN loss", "/nan|oom/", "/NaN (loss|kl)/"])
def test_short_and_long_text_and_expressions_find_the_same(tmp_path: Path, text: str) -> None:
    (tmp_path / "rank-00000.log").write_text("step 1\n" * 300 + "NaN loss\n" + "step 2\n" * 300)
    made = book(tmp_path)
    made.find(query(text))
    done(made)
    row = made.page().row
    assert row is not None and row.text == "NaN loss" and row.marks[0][0] == 0
    made.find(query(text.replace("N", "X")))
    done(made)
    assert "in no line" in made.page().note or text == text.lower()


def test_search_goes_down_up_and_around(two: Path) -> None:
    made = book(two)
    made.find(query("WARNING"))
    done(made)
    assert made.page().row.text.endswith("tick 550")  # type: ignore[union-attr]
    assert not made.following
    for forward, tick in [(False, 500), (False, 450), (True, 500), (True, 550), (True, 0)]:
        made.find_next(forward=forward)
        done(made)
        assert made.page().row.text.endswith(f"tick {tick}")  # type: ignore[union-attr]
    assert "past the end" in made.page().note
    made.find(query("unheard of"))
    done(made)
    assert "in no line" in made.page().note


def test_search_can_be_ended(two: Path) -> None:
    made = book(two)
    made.find(query("unheard of"))
    assert made.page().searched is not None
    assert made.cancel()
    assert made.page().searched is None
    assert not made.cancel()


def test_the_same_traceback_of_several_ranks_is_one_line_that_unfolds(tmp_path: Path) -> None:
    for rank in range(8):
        (tmp_path / f"rank-{rank:05d}.log").write_text("10:00:00 step 1\n" + TRACEBACK.format(rank))
    made = book(tmp_path, 60)
    rows = made.page().rows
    assert len(rows) == 9
    one = next(row for row in rows if row.same)
    assert one.same == tuple(f"r{rank}" for rank in range(8))
    assert "NCCL communicator was aborted" in one.text
    made.unfold(one.path, one.start)
    assert len(made.page().rows) == 12
    made.unfold(one.path, one.start)
    assert len(made.page().rows) == 40
    assert all(row.level == "error" for row in made.page().rows if "File" in row.text)
    made.unfold(one.path, one.start)
    assert len(made.page().rows) == 9
    made.toggle_collapse()
    assert len(made.page().rows) == 40


def test_what_is_folded_away_is_found_and_shown(tmp_path: Path) -> None:
    for rank in range(4):
        (tmp_path / f"rank-{rank:05d}.log").write_text(TRACEBACK.format(rank))
    made = book(tmp_path, 60)
    made.find(query("rank 3."))
    done(made)
    row = made.page().row
    assert row is not None
    assert row.text == "[rank3]: RuntimeError: NCCL communicator was aborted on rank 3."


def test_an_error_filter_keeps_whole_tracebacks(tmp_path: Path) -> None:
    (tmp_path / "rank-00000.log").write_text("step 1\n" * 50 + TRACEBACK.format(0) + "step 2\n")
    made = book(tmp_path, 60)
    made.filter_by(Filter(levels=frozenset({"error"})))
    done(made)
    assert len(texts(made)) == 4


def test_following_shows_what_comes_and_standing_still_counts_it(two: Path) -> None:
    made = book(two)
    log = two / "rank-00001.log"
    with log.open("a") as out:
        out.write("2026-03-14 10:20:00 INFO tick 9999\n")
    made.look()
    done(made)
    assert ticks(made)[-1] == 9999
    made.move(-1)
    assert not made.following
    before = texts(made)
    with log.open("a") as out:
        out.write("2026-03-14 10:20:01 INFO tick 10000\n" * 312)
    made.look()
    done(made)
    assert texts(made) == before
    assert made.page().news == 312
    made.follow()
    assert ticks(made)[-1] == 10000


def test_a_jump_to_a_line_takes_off_what_hides_it(two: Path) -> None:
    made = book(two)
    made.choose("r0")
    made.filter_by(Filter(levels=frozenset({"warning"})))
    made.show_line(two / "rank-00001.log", 201)
    done(made)
    page = made.page()
    assert page.row is not None
    assert (page.row.writer, page.row.text[-8:], page.number) == ("r1", "tick 401", 201)
    assert page.filter.open
    made.show_line(Path("logs/elsewhere.log"), 1)
    assert "not among the logs" in made.page().note


def test_a_view_that_stands_still_survives_rotation(two: Path) -> None:
    made = book(two)
    made.choose("r0")
    jump("10:05")(made)
    before = texts(made)
    log = two / "rank-00000.log"
    (two / "rank-00000.log.1").write_bytes(log.read_bytes())
    os.truncate(log, 0)
    with log.open("a") as out:
        out.write("2026-03-14 10:30:00 INFO tick 5000\n")
    made.look()
    assert texts(made) == before
    assert "was cut" in made.page().note
    made.follow()
    assert ticks(made)[-2:] == [598, 5000]


def test_missing_empty_vanishing_and_binary_logs_are_told_or_shown(tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    made = book(folder)
    assert "No such file" in made.page().problem
    folder.mkdir()
    made = book(folder)
    assert made.page().problem == "nothing is logged yet"
    log = folder / "rank-00000.log"
    log.touch()
    made = book(folder)
    made.choose("r0")
    assert made.page().problem == "r0 has printed nothing yet"
    log.write_bytes(os.urandom(300_000) + b"\n\x1b[31mred [bold]not markup[/]\x1b[0m\n")
    made.look()
    done(made)
    assert texts(made)[-1] == "red [bold]not markup[/]"
    assert not [char for text in texts(made) for char in text if unicodedata.category(char) == "Cc"]
    made.move(-200)
    log.unlink()
    made.look()
    folder.rmdir()
    made.shelf._listed = 0.0
    made.look()
    assert "No such file" in made.page().problem
    for move in (made.begin, made.follow, made.hold):
        move()
        made.page()


def test_pretty() -> None:
    assert (
        pretty('INFO {"a": {"b": [1, 2]}} end')
        == 'INFO\n{\n  "a": {\n    "b": [\n      1,\n      2\n    ]\n  }\n}\nend'
    )
    assert pretty("{'loss': 0.5, 'ok': True}") == '{\n  "loss": 0.5,\n  "ok": true\n}'
    assert pretty("[rank0]: step {3} of [4]") == "[rank0]: step {3} of [4]"


def test_pager() -> None:
    log = Path("/r/rank-00000.log")
    assert pager_command(log, 77, {"PAGER": "less -S"}) == ["less", "-S", "-R", "+77P", "--", str(log)]
    assert pager_command(log, 77, {"PAGER": "most -w"}) == ["most", "-w", str(log)]
    with pytest.raises(ValueError, match="quotation"):
        pager_command(log, 0, {"PAGER": "'"})


def test_a_share_beyond_all_numbers_is_the_end(tmp_path: Path) -> None:
    from rftui.tui.logs.jump import jump

    (tmp_path / "rank-00000.log").write_text("".join(f"line {at}\n" for at in range(50)))
    book = LogBook(tmp_path, 0.0)
    jump("9" * 400 + "%")(book)
    row = book.page().row
    assert row is not None and row.text == "line 49"
