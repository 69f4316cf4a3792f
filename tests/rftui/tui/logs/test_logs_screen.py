"""The screen of logs, driven by keys and mouse."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from conftest import screen_text, shows, until
from fake_run import FakeRun
from textual.events import Key
from textual.pilot import Pilot
from textual.widgets import Input

from rftui.tui.app import RftuiApp
from rftui.tui.logs import query
from rftui.tui.logs.book import LogBook
from rftui.tui.notices import LogPlace
from rftui.tui.screens.log_line import LogLineScreen
from rftui.tui.screens.logs import LogsScreen
from rftui.tui.screens.logs_keys import LOGS_KEYS
from rftui.tui.widgets.log_view import LogView

pytestmark = pytest.mark.asyncio

LONG = "WARNING slow all-reduce " + "and so on " * 20 + "the very end"
ENDLESS = "/(a|aa)+$/"
RECORD = 'INFO metrics {"reward": {"mean": 0.61}, "kl": 0.021}'


@pytest.fixture
def logged(tmp_path: Path) -> FakeRun:
    """Two ranks, 60 steps; a long warning, a line of JSON, and the same traceback of both at the end."""
    fake = FakeRun(tmp_path / "runs", "logged", ranks=2, age_s=700)
    for step in range(60):
        fake.step()
        if step == 20:
            fake.log(1, LONG)
        if step == 40:
            fake.log(0, RECORD)
    for rank in (0, 1):
        with (fake.run.logs_dir / f"rank-{rank:05d}.log").open("a") as out:
            out.write(
                f"[rank{rank}]: Traceback (most recent call last):\n"
                f'[rank{rank}]:   File "train.py", line 88, in main\n'
                f"[rank{rank}]: RuntimeError: broken on rank {rank}\n"
            )
    return fake


@asynccontextmanager
async def opened(fake: FakeRun, size: tuple[int, int] = (100, 24)) -> AsyncIterator[Pilot[None]]:
    app = RftuiApp(fake.run.path.parent, fake.run)
    async with app.run_test(size=size, notifications=True) as pilot:
        await pilot.press("4")
        await until(pilot, lambda: isinstance(app.screen, LogsScreen))
        await shows(pilot, "RuntimeError: broken on rank 0")
        await until(pilot, lambda: screen(pilot).page.counted is None)
        yield pilot


def screen(pilot: Pilot[None]) -> LogsScreen:
    return next(s for s in pilot.app.screen_stack if isinstance(s, LogsScreen))


def at_rest(pilot: Pilot[None]) -> str:
    """Whose line the cursor is on, once nothing is searched."""
    page = screen(pilot).page
    return page.row.writer if page.row and page.searched is None else ""


def row(pilot: Pilot[None]) -> str:
    found = screen(pilot).page.row
    return found.text if found else ""


async def test_it_follows_until_it_is_scrolled_and_says_so(logged: FakeRun) -> None:
    async with opened(logged) as pilot:
        assert "▼ following" in screen_text(pilot.app)
        await pilot.press("up")
        await shows(pilot, "■ held: f follows")
        for _ in range(5):
            logged.log(1, "a new line")
        await shows(pilot, "■ held, 5 new lines")
        assert "a new line" not in screen_text(pilot.app)
        await pilot.press("f")
        await shows(pilot, "▼ following", "a new line")
        await pilot.press("space")
        await shows(pilot, "■ held")
        await pilot.press("end")
        await shows(pilot, "▼ following")


async def test_moving(logged: FakeRun) -> None:
    async with opened(logged) as pilot:
        page = screen(pilot).page
        await pilot.press("home")
        await until(pilot, lambda: "step 1 " in row(pilot))
        await pilot.press("j", "down")
        await until(pilot, lambda: "step 2 " in row(pilot))
        await pilot.press("k")
        await until(pilot, lambda: "step 1 " in row(pilot) and screen(pilot).page.cursor == 1)
        await pilot.press("pagedown")
        await until(pilot, lambda: "step 11 " in row(pilot))
        await pilot.press("pageup")
        await until(pilot, lambda: "step 1 " in row(pilot))
        assert page.lines == 128


async def test_search_next_previous_and_back(logged: FakeRun) -> None:
    async with opened(logged) as pilot:
        assert not any(b.key == "n" for b in _footer(pilot))
        await pilot.press("slash", *"step 3", "enter")
        await until(pilot, lambda: "step 39" in row(pilot))
        assert any(b.key == "n" for b in _footer(pilot))
        await pilot.press("N", "N")
        await until(pilot, lambda: "step 38" in row(pilot) and at_rest(pilot) == "r1")
        await pilot.press("n", "n")
        await until(pilot, lambda: "step 39" in row(pilot) and at_rest(pilot) == "r1")
        await pilot.press("escape")
        await until(pilot, lambda: screen(pilot).page.query is None)


async def test_only_and_without_hide_lines_and_escape_shows_them_again(logged: FakeRun) -> None:
    async with opened(logged) as pilot:
        await pilot.press("i", *"step 1", "enter")
        await shows(pilot, "only step 1", "22 lines pass")
        await pilot.press("x", *"/step 1[0-8]/", "enter")
        text = await shows(pilot, "without /step 1[0-8]/", "4 lines pass")
        assert "step 19" in text
        assert "step 18" not in text
        await pilot.press("escape")
        await shows(pilot, "RuntimeError")


async def test_a_wrong_expression_is_told_and_can_be_mended_or_left(logged: FakeRun) -> None:
    async with opened(logged) as pilot:
        await pilot.press("i", *"/(/", "enter")
        await shows(pilot, "is no regular expression")
        assert isinstance(pilot.app.focused, Input)
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(pilot.app.focused, LogView))
        assert screen(pilot).page.filter.open


async def test_levels_by_key_and_mouse(logged: FakeRun) -> None:
    async with opened(logged) as pilot:
        await pilot.press("l")
        text = await shows(pilot, "7 lines pass")
        assert "WARNING slow" in text
        assert "step 59" not in text
        await pilot.press("l")
        await shows(pilot, "6 lines pass")
        await pilot.press("l")
        await shows(pilot, "step 59")
        at = screen_text(pilot.app).splitlines()[1].index("warning")
        await pilot.click("#chips", offset=(at, 0))
        await shows(pilot, "127 lines pass")


async def test_ranks_by_key_and_mouse(logged: FakeRun) -> None:
    async with opened(logged) as pilot:
        await pilot.press("r")
        await shows(pilot, "[r0]")
        await until(pilot, lambda: {r.writer for r in screen(pilot).page.rows} == {"r0"})
        await pilot.press("R")
        await shows(pilot, "[all]")
        at = screen_text(pilot.app).splitlines()[1].index("r1")
        await pilot.click("#chips", offset=(at, 0))
        await shows(pilot, "[r1]")
        await until(pilot, lambda: {r.writer for r in screen(pilot).page.rows} == {"r1"})


async def test_going_to_a_time_and_to_a_line(logged: FakeRun) -> None:
    async with opened(logged) as pilot:
        await pilot.press("home")
        await until(pilot, lambda: "step 1 " in row(pilot))
        first = row(pilot)[:8]
        await pilot.press("g", *"+4m", "enter")
        await until(pilot, lambda: "step 1 " not in row(pilot) and row(pilot)[:8] > first)
        await pilot.press("g", *"line 22", "enter")
        await until(pilot, lambda: screen(pilot).page.number == 22)
        await pilot.press("g", *"never", "enter")
        await shows(pilot, "never is no time")


async def test_tracebacks_unfold_and_fold(logged: FakeRun) -> None:
    async with opened(logged) as pilot:
        await shows(pilot, "×2 ▸ r0-r1", "1 folded")
        await pilot.press("slash", *"broken on rank 0", "enter")
        await until(pilot, lambda: "broken on rank 0" in row(pilot))
        await pilot.press("enter")
        await shows(pilot, "[rank0]: Traceback")
        await pilot.press("enter", "down", "down", "down", "down")
        await shows(pilot, "[rank1]: Traceback", "×2 ▾ r0-r1")
        await pilot.press("up", "up", "up", "up")
        await until(pilot, lambda: "broken on rank 0" in row(pilot))
        await pilot.press("enter")
        await until(pilot, lambda: "Traceback" not in screen_text(pilot.app))
        await pilot.press("c", "end")
        await shows(pilot, "none folded", "[rank1]: Traceback")


async def test_enter_sets_out_json_and_copies(logged: FakeRun) -> None:
    async with opened(logged) as pilot:
        await pilot.press("slash", *"metrics", "enter")
        await until(pilot, lambda: "metrics" in row(pilot))
        await pilot.press("enter")
        await shows(pilot, "rank-00000.log line 42", '    "mean": 0.61')
        await pilot.press("y")
        await until(pilot, lambda: '"mean": 0.61' in pilot.app.clipboard)
        await pilot.press("escape")
        await until(pilot, lambda: not isinstance(pilot.app.screen, LogLineScreen))


async def test_y_copies_the_line(logged: FakeRun) -> None:
    async with opened(logged) as pilot:
        await pilot.press("slash", *"very end", "enter")
        await until(pilot, lambda: "WARNING slow" in row(pilot))
        await pilot.press("y")
        await until(pilot, lambda: pilot.app.clipboard.endswith("the very end"))


async def test_long_lines_are_scrolled_or_folded_and_the_column_is_kept(logged: FakeRun) -> None:
    async with opened(logged) as pilot:
        await pilot.press("slash", *"slow all", "enter")
        await until(pilot, lambda: "WARNING slow" in row(pilot))
        assert "the very end" not in screen_text(pilot.app)
        await pilot.press(*["shift+right"] * 5)
        await shows(pilot, "the very end")
        await pilot.press("up")
        await until(pilot, lambda: "WARNING slow" not in row(pilot))
        assert "the very end" in screen_text(pilot.app)
        await pilot.press("left", "right", "shift+left", "0")
        await until(pilot, lambda: "the very end" not in screen_text(pilot.app))
        await pilot.press("w")
        await shows(pilot, "WARNING slow", "the very end")


async def test_without_a_terminal_the_pager_says_where_the_log_is(logged: FakeRun) -> None:
    async with opened(logged, (160, 24)) as pilot:
        await pilot.press("o")
        await shows(pilot, "there is no terminal")


async def test_the_mouse(logged: FakeRun) -> None:
    async with opened(logged) as pilot:
        await pilot.click("#lines", offset=(20, 3))
        await until(pilot, lambda: screen(pilot).page.cursor == 3)
        await pilot.click("#lines", offset=(20, 3))
        await until(pilot, lambda: isinstance(pilot.app.screen, LogLineScreen))
        await pilot.press("escape")
        await pilot.click("#lines", offset=(99, 0))
        await until(pilot, lambda: screen(pilot).page.top == 0.0)


async def test_a_finding_opens_its_line(logged: FakeRun) -> None:
    app = RftuiApp(logged.run.path.parent, logged.run)
    async with app.run_test(size=(100, 24)) as pilot:
        await app.open_run(logged.run, "logs")
        found = screen(pilot)
        found.show_place(LogPlace(str(logged.run.logs_dir / "rank-00001.log"), 22))
        await until(pilot, lambda: "WARNING slow" in row(pilot))
        assert found.page.number == 22
        found.show_place(LogPlace(rank=0, time=logged.now - 300))
        await until(pilot, lambda: found.page.writer == "r0" and not found.page.following)


async def test_a_run_that_is_deleted_is_told(logged: FakeRun) -> None:
    import shutil

    async with opened(logged) as pilot:
        shutil.rmtree(logged.run.path)
        await shows(pilot, "cannot be read: No")


async def test_escape_goes_to_live_and_hidden_logs_are_not_read(logged: FakeRun) -> None:
    async with opened(logged) as pilot:
        logs = screen(pilot)
        await pilot.press("escape")
        await until(pilot, lambda: pilot.app.area_now == "live")  # type: ignore[attr-defined]
        before = logs.page
        logged.log(0, "while nobody looks")
        await asyncio.sleep(0.5)
        assert logs.page is before
        await pilot.press("4")
        await shows(pilot, "while nobody looks")


async def test_every_key_in_the_footer_has_a_test() -> None:
    tested = {"slash", "n", "i", "l", "r", "f"}
    assert {key.key for key in LOGS_KEYS if key.footer} == tested


@pytest.mark.parametrize("size", [(80, 24), (60, 16), (200, 60)])
async def test_sizes(logged: FakeRun, size: tuple[int, int]) -> None:
    async with opened(logged, size) as pilot:
        text = screen_text(pilot.app)
        assert "[all]" in text
        assert "✖ error" in text
        assert len(text.splitlines()) == size[1]


async def test_the_footer_is_whole_at_80_columns(logged: FakeRun) -> None:
    async with opened(logged, (80, 24)) as pilot:
        assert screen_text(pilot.app).endswith(": palette")
        await pilot.press("slash", *"step 3", "enter")
        await shows(pilot, "n next")
        assert screen_text(pilot.app).endswith(": palette")


@pytest.mark.parametrize(("key", "asked"), [("slash", "search"), ("i", "only"), ("g", "go to")])
async def test_keys_typed_right_behind_a_question_are_its_answer(
    logged: FakeRun, key: str, asked: str
) -> None:
    async with opened(logged) as pilot:
        for each in (key, "e", "r", "q", "1"):
            pilot.app.post_message(Key(each, each if len(each) == 1 else "/"))
        await shows(pilot, asked)
        assert screen(pilot).query_one(Input).value == "erq1"
        assert pilot.app.is_running and screen(pilot).page.writer is None


async def test_an_expression_without_end_is_dropped_and_told(
    logged: FakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(query, "LIMIT_S", 0.1)
    async with opened(logged) as pilot:
        logged.log(0, "a" * 60 + "!")
        await pilot.press("slash", *ENDLESS, "enter")
        await shows(pilot, f"{ENDLESS} takes too long and was dropped")
        assert screen(pilot).page.query is None
        await pilot.press("slash", *"step 59", "enter")
        await until(pilot, lambda: "step 59" in row(pilot))


async def test_a_command_that_fails_is_told_and_the_logs_go_on(logged: FakeRun) -> None:
    def broken(book: LogBook) -> None:
        raise ZeroDivisionError("by nothing")

    async with opened(logged) as pilot:
        screen(pilot).ask(broken)
        await shows(pilot, "that went wrong", "ZeroDivisionError")
        await pilot.press("home")
        await until(pilot, lambda: "step 1 " in row(pilot))


async def test_reading_that_ends_in_a_way_nobody_foresaw_is_told(
    logged: FakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(logged) as pilot:
        monkeypatch.setattr(LogBook, "page", lambda book: 1 / 0)
        await pilot.press("home")
        await shows(pilot, "read has stopped: ZeroDivisionError", "leave with q")


async def test_a_replay_shows_lines_up_to_its_time(tmp_path: Path) -> None:
    fake = FakeRun(tmp_path / "runs", "played", ranks=2, age_s=700)
    for step in range(60):
        fake.step()
        if step == 29:
            half = fake.now
    (fake.run.logs_dir / "launcher.log").write_text("no line of it tells a time\n")
    fake.end("finished")
    app = RftuiApp(tmp_path / "runs", fake.run, speed=1)
    async with app.run_test(size=(120, 24), notifications=True) as pilot:
        clock = app.context.clock
        assert clock is not None
        clock.pause(True)
        clock.jump(half)
        await pilot.press("4")
        text = await shows(pilot, "replay ×1 ", "step 30 reward", "lines of launcher tell no time: they come")
        assert "step 31 " not in text
        clock.jump(half + 20)
        await shows(pilot, "step 32 reward")
        clock.jump(half - 60)
        text = await shows(pilot, "step 22 reward")
        assert "step 23 " not in text and "was cut" not in text
        clock.jump(clock.end)
        await shows(pilot, "at its end", "step 60 reward", "no line of it")


def _footer(pilot: Pilot[None]) -> list[object]:
    return [active.binding for active in pilot.app.screen.active_bindings.values() if active.binding.show]


async def test_a_big_log_is_there_at_once_and_searched_to_its_end(tmp_path: Path) -> None:
    fake = FakeRun(tmp_path / "runs", "big", ranks=1)
    line = (
        b"2026-03-14 10:31:02 INFO step 12 reward 0.612 kl 0.0209 len 409 grad 0.9558 clip 0.07 tok/s 18400\n"
    )
    with (fake.run.logs_dir / "rank-00000.log").open("wb") as out:
        for _ in range(100):
            out.write(line * 10_000)
        out.write(b"2026-03-14 11:00:00 the needle\n")
    app = RftuiApp(tmp_path / "runs", fake.run)
    async with app.run_test(size=(100, 24)) as pilot:
        await until(pilot, lambda: bool(app.screen.query("#log")))
        begun = time.monotonic()
        await pilot.press("4")
        await shows(pilot, "the needle")
        assert time.monotonic() - begun < 5  # 0.1 s on a machine that does nothing else
        await pilot.press("home", "slash", *"the needle", "enter")
        await until(pilot, lambda: "the needle" in row(pilot))
        await shows(pilot, "line 1,000,001 · 1,000,001 lines")
