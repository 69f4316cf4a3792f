"""The samples screen: every key, following a run, searching, comparing; and databases that are not well."""

import json
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from conftest import screen_text, shows, until
from fake_run import FakeRun, finished_run
from fake_samples import keep_samples, sample_row
from textual.events import Key
from textual.pilot import Pilot
from textual.widgets import Input

from rftui.runs.rundir import RunDir
from rftui.tui.app import RftuiApp
from rftui.tui.screens.samples import SamplesScreen
from rftui.tui.settings import Settings
from rftui.tui.widgets.row_list import RowList


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunDir:
    """A finished run of 30 steps, 16 samples of each; tests only read it."""
    made = finished_run(tmp_path_factory.mktemp("runs"), steps=5)
    keep_samples(made, *range(1, 31))
    return made


@asynccontextmanager
async def opened(run: RunDir, size: tuple[int, int] = (120, 40)) -> AsyncIterator[Pilot[None]]:
    """The program, opened on the samples without a look at the live screen."""
    app = RftuiApp(run.path.parent, run, settings=Settings(refresh_s=0.1))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RftuiApp, "on_mount", lambda self: self.open_area("samples"))
        async with app.run_test(size=size, notifications=True) as pilot:
            yield pilot


def screen(pilot: Pilot[None]) -> SamplesScreen:
    assert isinstance(pilot.app.screen, SamplesScreen)
    return pilot.app.screen


def names(pilot: Pilot[None]) -> list[str]:
    return [each.name for each in screen(pilot).samples]


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (160, 48), (200, 60)])
async def test_the_newest_step_with_its_first_sample(run: RunDir, size: tuple[int, int]) -> None:
    async with opened(run, size) as pilot:
        text = await shows(
            pilot, "step 30 of 1…30", "● follow", "In May she sold 40 / 2", "(format 0.100, exact 0.900)"
        )
        assert "▲ flat group of 4: nothing to learn" in text and "flat" in text and "±0.45" in text
        assert "1/25 tokens ≥ 0.1, max 0.150" in text and "label 60" in text
        assert all(len(line) <= size[0] for line in text.split("\n"))
        side_by_side = any("prompt · 6 lines" in line and "response" in line for line in text.split("\n"))
        assert side_by_side == (size[0] >= 150)
        assert ("14   0.6" in text or "1.0…30" in text or "     30" in text) == (size[0] > 80)


async def test_brackets_go_through_samples_and_braces_through_steps(run: RunDir) -> None:
    async with opened(run) as pilot:
        await shows(pilot, "step 30  prompt 0  sample 0", "In May")
        await pilot.press("]", "]")
        await shows(pilot, "step 30  prompt 0  sample 2", "○ f follows")
        await pilot.press("[")
        await shows(pilot, "step 30  prompt 0  sample 1")
        await pilot.press("{", "{")
        await shows(pilot, "step 28 of 1…30", "step 28  prompt 4  sample 0")
        await pilot.press("}")
        await shows(pilot, "step 29 of 1…30", "step 29  prompt 8  sample 0")
        await pilot.press("f")
        await shows(pilot, "step 30 of 1…30", "● follow")


async def test_arrows_and_mouse_in_both_lists(run: RunDir) -> None:
    async with opened(run) as pilot:
        await shows(pilot, "sample 0", "In May")
        await pilot.press("down", "down", "up", "end")
        await shows(pilot, "prompt 3  sample 3")
        await pilot.press("home")
        await shows(pilot, "prompt 0  sample 0")
        await pilot.press("pagedown", "pageup")
        await pilot.click("#samples", offset=(3, 2))
        await shows(pilot, "prompt 0  sample 2")
        await pilot.press("shift+tab", "home")
        await shows(pilot, "step 1 of 1…30", "step 1  prompt 4  sample 0")
        assert screen(pilot).focused is screen(pilot).query_one("#steps")
        await pilot.press("tab")
        assert screen(pilot).focused is screen(pilot).query_one("#samples")


async def test_steps_tell_what_was_kept_of_them(run: RunDir) -> None:
    async with opened(run) as pilot:
        rows = [sample_row(21, g, n) for g in range(4) for n in range(4)]
        mean = sum(row["reward"] for row in rows) / 16
        await shows(pilot, f"21   {mean:.3f}    16")


async def test_s_sorts_and_keeps_the_cursor_at_the_top(run: RunDir) -> None:
    async with opened(run) as pilot:
        await shows(pilot, "In May", "by group")
        await pilot.press("s")
        await shows(pilot, "lowest reward first", "reward 0.100")
        rewards = [each.reward for each in screen(pilot).samples]
        assert rewards == sorted(rewards) and rewards[0] < rewards[-1]
        await pilot.press("s", "s")
        await shows(pilot, "lowest advantage first")
        await pilot.press("s")
        await shows(pilot, "longest first")
        await pilot.press("s", "s")
        await shows(pilot, "by group")
        assert names(pilot)[:2] == ["0.0", "0.1"]


async def test_w_goes_to_the_worst_group_and_then_the_next(run: RunDir) -> None:
    async with opened(run) as pilot:
        await shows(pilot, "In May")
        means = {each.prompt_index: each.group.mean for each in screen(pilot).samples}
        worst = sorted(means, key=lambda prompt: means[prompt])
        await pilot.press("w")
        await shows(pilot, f"prompt {worst[0]}  sample 0", "worst group 1 of 4")
        await pilot.press("w")
        await shows(pilot, f"prompt {worst[1]}  sample 0", "worst group 2 of 4")


async def test_a_search_lists_samples_of_all_steps(run: RunDir) -> None:
    async with opened(run, (160, 48)) as pilot:
        await shows(pilot, "In May")
        await pilot.press("slash", *"guess")
        await shows(pilot, "→ “guess” in prompt or response")
        screen(pilot).query_one("#query", Input).value += " label:63 step>20"
        await pilot.press("enter")
        await shows(pilot, "found: “guess” in prompt or response, step > 20, “63” in label")
        await until(pilot, lambda: len(screen(pilot).samples) > 0)
        assert {each.prompt_index for each in screen(pilot).samples} == {1}
        assert all(each.step > 20 and each.reward < 1 for each in screen(pilot).samples)
        await shows(pilot, "I guess the sum")
        await pilot.press("escape")
        await shows(pilot, "step 30 of 1…30", "step 30  prompt 1  sample 2")  # where the search had led
        assert not screen(pilot).query_one("#query", Input).display
        assert "label:TEXT" not in screen_text(pilot.app)


async def test_a_search_says_what_is_wrong_and_what_it_knows(run: RunDir) -> None:
    async with opened(run, (80, 24)) as pilot:
        await shows(pilot, "In May")
        await pilot.press("slash", *"reward>x", "enter")
        await shows(pilot, "✖ reward>x: 'x' is not a number")
        assert screen(pilot).query_now is None
        await pilot.press("escape")
        assert screen(pilot).focused is screen(pilot).query_one("#samples")
        await pilot.press("slash", *"nowhere", "enter")
        await shows(pilot, "0 found: “nowhere”")
        await pilot.press("y", "d", "m", "w", "s", "e", "]")  # with nothing under the cursor
        await pilot.press("slash", *["backspace"] * 7, "enter")
        await shows(pilot, "step 30 of 1…30", "In May")


async def test_keys_typed_right_behind_the_slash_are_its_text(run: RunDir) -> None:
    async with opened(run, (80, 24)) as pilot:
        await shows(pilot, "In May")
        for key, char in (("slash", "/"), ("e", "e"), ("q", "q"), ("1", "1"), ("slash", "/")):
            pilot.app.post_message(Key(key, char))
        await shows(pilot, "→ “eq1/” in prompt or response")
        assert screen(pilot).query_one("#query", Input).value == "eq1/"


async def test_the_footer_is_whole_at_80_columns(run: RunDir) -> None:
    async with opened(run, (80, 24)) as pilot:
        text = await shows(pilot, "In May", "? help")
        assert text.split("\n")[-1].endswith(": palette")


async def test_d_compares_with_earlier_steps(run: RunDir) -> None:
    async with opened(run, (160, 48)) as pilot:
        await shows(pilot, "In May")
        wrong = next(i for i, each in enumerate(screen(pilot).samples) if each.reward < 1)
        screen(pilot).query_one("#samples", RowList).move_to(wrong)
        await shows(pilot, "I guess the sum")
        assert names(pilot)[wrong] == "1.2"
        await pilot.press("d")
        await shows(
            pilot, "step 27 → 30, reward 0.100 → 0.100 · 1 of 9", "[- 51-]{+ 50+}", "[-gone-]  {+new+}"
        )
        await pilot.press("d")
        await shows(pilot, "step 24 → 30", "2 of 9")
        await pilot.press("]")
        await shows(pilot, "step 27 → 30", "1 of 9")
        await pilot.press("escape")
        await shows(pilot, "|Δ log-prob|")
        assert "step 27 → 30" not in screen_text(pilot.app)


async def test_marks_can_be_switched_off(run: RunDir) -> None:
    async with opened(run) as pilot:
        await shows(pilot, "≥ 0.02  ≥ 0.1  ≥ 0.5")
        await pilot.press("m")
        await shows(pilot, "tokens are not marked")
        await pilot.press("m")
        await shows(pilot, "≥ 0.02")


async def test_prompts_unfold_and_texts_zoom(run: RunDir) -> None:
    async with opened(run, (80, 24)) as pilot:
        await shows(pilot, "<|system|>", "In May")
        assert "<|assistant|>" not in screen_text(pilot.app)
        await pilot.press("z")
        await until(pilot, lambda: "▾ by group" not in screen_text(pilot.app))
        await pilot.press("o")
        await shows(pilot, "<|assistant|>", "In May")
        await pilot.press("o", "escape")
        await shows(pilot, "▾ by group")
        await until(pilot, lambda: "<|assistant|>" not in screen_text(pilot.app))


async def test_y_copies_texts_or_differences(run: RunDir, monkeypatch: pytest.MonkeyPatch) -> None:
    copied: list[str] = []
    monkeypatch.setattr(RftuiApp, "copy_to_clipboard", lambda self, text: copied.append(text))
    async with opened(run) as pilot:
        await shows(pilot, "In May")
        await pilot.press("y")
        row = sample_row(30, 0, 0)
        assert copied == [f"{row['prompt']}\n\n{row['response']}"]
        await pilot.press("d")
        await shows(pilot, "1 of 9")
        await pilot.press("y")
        assert copied[1] == row["response"]  # nothing changed: the group is always right


async def test_e_writes_the_list_as_json_lines(run: RunDir, tmp_path: Path) -> None:
    async with opened(run) as pilot:
        await shows(pilot, "In May")
        await pilot.press("s", "e")
        await shows(pilot, "Write 16 samples to")
        line = pilot.app.screen.query_one("#line", Input)
        assert line.value == "qwen-gsm8k-samples-step30.jsonl"
        line.value = str(tmp_path / "out.jsonl")
        await pilot.press("enter")
        await shows(pilot, "16 samples written")
        written = [json.loads(each) for each in (tmp_path / "out.jsonl").read_text().splitlines()]
        assert [row["reward"] for row in written] == [each.reward for each in screen(pilot).samples]
        expected = sample_row(30, written[0]["prompt_index"], written[0]["sample"])
        assert {key: written[0][key] for key in expected} == expected
        await pilot.press("e")
        pilot.app.screen.query_one("#line", Input).value = str(tmp_path / "out.jsonl")
        await pilot.press("enter")
        await shows(pilot, "exists: give another")


async def test_escape_goes_back_to_live_and_help_knows_the_keys(run: RunDir) -> None:
    async with opened(run) as pilot:
        await shows(pilot, "In May")
        await pilot.press("question_mark")
        await shows(pilot, "go to the group with the lowest mean reward", "list: next row")
        await pilot.press("escape", "escape")
        await until(pilot, lambda: pilot.app.area_now == "live")  # type: ignore[attr-defined]


# --- a run that goes on --------------------------------------------------------------------------------


async def test_new_steps_appear_until_one_reads(tmp_path: Path) -> None:
    fake = FakeRun(tmp_path, "growing", total=50)
    fake.step()
    async with opened(fake.run) as pilot:
        await shows(pilot, "No samples have been kept yet")
        keep_samples(fake.run, 1)
        await shows(pilot, "step 1 of 1…1", "● follow", "In May")
        keep_samples(fake.run, 2)
        await shows(pilot, "step 2 of 1…2", "step 2  prompt 8")
        await pilot.press("]")
        keep_samples(fake.run, 3)
        await shows(pilot, "step 2 of 1…3", "○ f follows", "prompt 8  sample 1")
        await pilot.press("f")
        await shows(pilot, "step 3 of 1…3", "● follow")


async def test_a_resumed_run_makes_steps_again(tmp_path: Path) -> None:
    fake = FakeRun(tmp_path, "again", total=50)
    path = keep_samples(fake.run, 1, 2, 3)
    async with opened(fake.run) as pilot:
        await shows(pilot, "step 3 of 1…3")
        with sqlite3.connect(path) as connection:
            connection.execute("DELETE FROM trajectories WHERE step > 1")
        await shows(pilot, "step 1 of 1…1", "step 1  prompt 4")


async def test_hidden_it_reads_nothing(run: RunDir, monkeypatch: pytest.MonkeyPatch) -> None:
    async with opened(run) as pilot:
        await shows(pilot, "In May")
        await pilot.press("3")
        await shows(pilot, "step 5/5")
        looked: list[int] = []
        monkeypatch.setattr(SamplesScreen, "look", lambda self: looked.append(1))
        await pilot.pause(0.4)
        assert looked == []


async def test_a_replay_shows_samples_up_to_its_step(tmp_path: Path) -> None:
    fake = FakeRun(tmp_path, "played", total=30)
    for _ in range(30):
        fake.step()
        if fake.done == 12:
            then = fake.now
    fake.end("finished")
    keep_samples(fake.run, *range(5, 31))
    app = RftuiApp(tmp_path, fake.run, settings=Settings(refresh_s=0.1), speed=1)
    async with app.run_test(size=(140, 40), notifications=True) as pilot:
        clock = app.context.clock
        assert clock is not None
        clock.pause(True)
        clock.jump(then)
        await pilot.press("5")
        await shows(pilot, "replay ×1 step 12", "step 12 of 5…12", "In May")
        clock.jump(then + 10)
        await shows(pilot, "replay ×1 step 13", "step 13 of 5…13")
        clock.jump(then - 80)
        await shows(pilot, "No samples had been kept by step 2")
        assert screen(pilot).samples == []
        clock.jump(then + 10)  # to the same newest step again
        await shows(pilot, "replay ×1 step 13", "step 13 of 5…13", "In May")
        clock.jump(clock.end)
        await shows(pilot, "at its end", "step 30 of 5…30")


async def test_of_a_run_that_ended_without_samples_none_are_waited_for(tmp_path: Path) -> None:
    fake = FakeRun(tmp_path, "without", total=3)
    fake.step()
    fake.end("failed", "rank 0: boom")
    async with opened(fake.run) as pilot:
        text = await shows(pilot, "No samples were kept: the run has ended")
        assert "wait" not in text and "yet" not in text
        sqlite3.connect(keep_samples(fake.run, 1)).execute("DELETE FROM trajectories").connection.commit()
        await shows(pilot, "No samples were kept: the run has ended.")


# --- databases that are not well -----------------------------------------------------------------------


async def test_what_is_shown_stays_when_the_database_goes(tmp_path: Path) -> None:
    fake = FakeRun(tmp_path, "fleeting", total=50)
    path = keep_samples(fake.run, 1, 2)
    async with opened(fake.run) as pilot:
        await shows(pilot, "step 2 of 1…2", "In May")
        path.rename(tmp_path / "away.db")
        await shows(pilot, "▲ No samples have been kept yet", "In May")
        await pilot.press("{", "w", "d", "s", "]")
        (tmp_path / "away.db").rename(path)
        await shows(pilot, "step 1 of 1…2", "step 1  prompt 4")


async def test_damaged_and_foreign_databases_are_told(tmp_path: Path) -> None:
    fake = FakeRun(tmp_path, "damaged", total=50)
    path = fake.run.path / "trajectories.db"
    path.write_bytes(b"\x00\xffnot a database, for sure" * 100)
    async with opened(fake.run, (80, 24)) as pilot:
        await shows(pilot, "is damaged", "file is not a database")
        await pilot.press("slash", *"x", "enter", "escape", "f", "{", "w", "d", "e", "y")
        path.unlink()
        sqlite3.connect(path).execute("CREATE TABLE other (id)").connection.close()
        await shows(pilot, "holds no trajectories")


async def test_a_locked_database_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rftui.runs.trajectory_opening.BUSY_S", 0.05)
    fake = FakeRun(tmp_path, "locked", total=50)
    writer = sqlite3.connect(keep_samples(fake.run, 1), isolation_level=None)
    writer.execute("BEGIN EXCLUSIVE")
    async with opened(fake.run) as pilot:
        await shows(pilot, "is locked by another")
        writer.execute("COMMIT")
        await shows(pilot, "step 1 of 1…1", "In May")
    writer.close()


async def test_foreign_text_is_harmless(tmp_path: Path) -> None:
    fake = FakeRun(tmp_path, "foreign", total=50)
    with sqlite3.connect(keep_samples(fake.run, 1)) as connection:
        bad = "[red]bold[/] \x1b[31mred\x1b]0;title\x07 \u202ereversed\ttab"
        connection.execute(
            "UPDATE trajectories SET response = ?, prompt = ?, label = ?, tokens = NULL, reward = 9e999",
            (bad, bad, bad),
        )
    async with opened(fake.run) as pilot:
        text = await shows(
            pilot, "[red]bold[/] ␛[31mred␛]0;title␇ �reversed    tab", "no log-prob differences"
        )
        assert "reward ∞" in text and "\x1b" not in text
