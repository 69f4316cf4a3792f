"""The table of runs, driven by its keys and the mouse."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from conftest import screen_text, shows, until
from fake_run import FakeRun, finished_run
from textual.events import Key
from textual.pilot import Pilot
from textual.widgets import Input

from diagnostics.knowledge.diagnosis import Diagnosed, Diagnosis
from engine.config.load import Layer, dump_resolved, resolve
from engine.findings import Fix
from rftui.runs import diagnosis, notes
from rftui.runs.info import started_after_boot
from rftui.runs.rundir import RunDir
from rftui.tui import home
from rftui.tui.app import RftuiApp
from rftui.tui.main import main
from rftui.tui.screens import runs_actions
from rftui.tui.screens.choose import ChooseScreen
from rftui.tui.screens.compare import CompareScreen
from rftui.tui.screens.help import HelpScreen
from rftui.tui.screens.live import LiveScreen
from rftui.tui.screens.runs import RunsScreen
from rftui.tui.screens.runs_keys import RUNS_KEYS
from rftui.tui.screens.stop import StopDialog
from rftui.tui.settings import Settings


@pytest.fixture(autouse=True)
def quiet_home(monkeypatch: pytest.MonkeyPatch) -> None:
    """The home screen, on which the program opens, starts no child processes meanwhile."""
    monkeypatch.setattr(home, "presets_known", list)
    monkeypatch.setattr(home, "doctor_badge", lambda: None)


def configured(run: RunDir, **given: object) -> RunDir:
    run.config_path.write_text(dump_resolved(resolve([Layer("preset x", {"pretrain": "toy:sort", **given})])))
    return run


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three runs that ended: old (lr 1e-6), middle (failed), young (lr 2e-6)."""
    runs = tmp_path / "runs"
    configured(finished_run(runs, "old", steps=8, age_s=90_000), actor_learning_rate=1e-6)
    fake = FakeRun(runs, "middle", total=30, age_s=9000)
    for _ in range(3):
        fake.step()
    fake.end("failed", "rank 0: no memory left")
    configured(fake.run, actor_learning_rate=3e-6)
    configured(finished_run(runs, "young", steps=20, age_s=600), actor_learning_rate=2e-6)
    return runs


@pytest.fixture
def supervisor() -> Iterator[subprocess.Popen[bytes]]:
    """Stands in for the supervisor of a live run."""
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    yield process
    process.kill()
    process.wait()


def rows(app: RftuiApp) -> list[str]:
    """Names in the order of the table."""
    screen = app.screen
    assert isinstance(screen, RunsScreen)
    return [entry.row.name for entry in screen.grid.entries]


async def opened(pilot: Pilot[None], *texts: str) -> RunsScreen:
    """The table, as soon as everything was read."""
    await pilot.press("6")
    await shows(pilot, "rft ▸ runs", *texts)
    screen = pilot.app.screen
    assert isinstance(screen, RunsScreen)
    await until(pilot, lambda: screen.complete and all(row.detail for row in screen.rows))
    return screen


async def choose(pilot: Pilot[None], screen: RunsScreen, name: str) -> None:
    """Put the cursor on a run."""
    await pilot.press("home", *["down"] * [entry.row.name for entry in screen.grid.entries].index(name))
    assert screen.chosen is not None
    assert screen.chosen.name == name


def footer(app: RftuiApp) -> str:
    return screen_text(app).split("\n")[-1]


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (160, 48), (200, 60)])
async def test_a_line_per_run_newest_first(folder: Path, size: tuple[int, int]) -> None:
    app = RftuiApp(folder)
    async with app.run_test(size=size, notifications=True) as pilot:
        await opened(pilot, "3 runs", "✔ finished", "✖ failed", "20/20", "3/30")
        text = screen_text(app)
        assert rows(app) == ["young", "middle", "old"]
        assert all(len(line) <= size[0] for line in text.split("\n"))
        assert ("tok/s" in text.split("\n")[1]) == (size[0] >= 120)
        assert ("toy:sort" in "".join(text.split("\n")[2:5])) == (size[0] >= 160)
        assert "▁" in text


async def test_enter_opens_the_run_and_6_comes_back(folder: Path) -> None:
    app = RftuiApp(folder)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        screen = await opened(pilot)
        await choose(pilot, screen, "middle")
        await pilot.press("enter")
        await shows(pilot, "middle", "step 3/30")
        assert isinstance(app.screen, LiveScreen)
        await pilot.press("6")
        await shows(pilot, "3 runs")
        assert screen.chosen is not None
        assert screen.chosen.name == "middle"
        await pilot.press("escape")
        await until(pilot, lambda: app.area_now == "home")


async def test_the_table_follows_the_folder_and_the_cursor_its_run(folder: Path) -> None:
    app = RftuiApp(folder)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        screen = await opened(pilot)
        await choose(pilot, screen, "middle")
        finished_run(folder, "newest", steps=3, age_s=0)
        await pilot.press("r")
        await shows(pilot, "4 runs")
        assert rows(app)[0] == "newest"
        assert screen.chosen is not None
        assert screen.chosen.name == "middle"
        shutil.rmtree(folder / "middle")
        await pilot.press("r")
        await shows(pilot, "3 runs")
        assert rows(app) == ["newest", "young", "old"]


async def test_sorting_by_key_and_by_mouse(folder: Path) -> None:
    app = RftuiApp(folder)
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        screen = await opened(pilot)
        await pilot.press("o")
        assert rows(app) == ["middle", "old", "young"]
        assert "name▲" in screen_text(app)
        await pilot.press("O")
        assert rows(app) == ["young", "old", "middle"]
        await pilot.click("#runs", offset=(screen_text(app).split("\n")[1].index("step"), 0))
        await shows(pilot, "step▼")
        assert rows(app) == ["young", "old", "middle"]
        await pilot.click("#runs", offset=(screen_text(app).split("\n")[1].index("step"), 0))
        await shows(pilot, "step▲")
        assert rows(app) == ["middle", "old", "young"]
        await pilot.click("#runs", offset=(6, 2))
        assert screen.chosen is not None
        assert screen.chosen.name == "old"
        await pilot.click("#runs", offset=(6, 2))
        await until(pilot, lambda: isinstance(app.screen, LiveScreen))


async def test_a_filter_is_applied_while_it_is_written_and_told_when_wrong(folder: Path) -> None:
    app = RftuiApp(folder)
    async with app.run_test(size=(100, 30), notifications=True) as pilot:
        screen = await opened(pilot)
        await pilot.press("slash", *"cfg.lr<=1e-6")
        await until(pilot, lambda: rows(app) == ["old"])
        await pilot.press("enter")
        await shows(pilot, "1 of 3 runs", "/ cfg.lr<=1e-6")
        assert screen.focused is screen.grid
        await pilot.press("slash")
        screen.query_one(Input).value = "rewrad>0.5"
        await shows(pilot, "✖ rewrad>0.5: there is no field 'rewrad'", "Nearest: reward>0.5")
        assert len(rows(app)) == 3
        await pilot.press("enter")
        assert screen.focused is screen.query_one(Input)
        screen.query_one(Input).value = "status:failed"
        await until(pilot, lambda: rows(app) == ["middle"])
        await pilot.press("escape", "escape")
        await until(pilot, lambda: len(rows(app)) == 3)
        assert app.area_now == "runs"


async def test_what_is_typed_right_behind_the_slash_is_text(folder: Path) -> None:
    app = RftuiApp(folder)
    async with app.run_test(size=(100, 30)) as pilot:
        screen = await opened(pilot)
        for key, char in (("slash", "/"), *zip("oO1q", "oO1q", strict=True), ("slash", "/")):
            app.post_message(Key(key, char))
        await pilot.pause()
        assert screen.query_one(Input).value == "oO1q/"
        assert app.area_now == "runs" and app.is_running


async def test_space_marks_up_to_eight_and_c_compares(folder: Path) -> None:
    for number in range(7):
        shutil.copytree(folder / "old", folder / f"more-{number}")
    app = RftuiApp(folder)
    async with app.run_test(size=(100, 30), notifications=True) as pilot:
        screen = await opened(pilot, "10 runs")
        assert "compare" not in footer(app)
        await pilot.press(*["space"] * 9)
        await shows(pilot, "◆ 8 marked", "8 runs are marked, which is the most")
        await pilot.press("escape")
        assert screen.marked == {}
        await pilot.press("home", "space", "space", "home", "space")
        assert len(screen.marked) == 1
        assert "compare" in footer(app)
        await pilot.press("down", "c")
        await until(pilot, lambda: isinstance(app.screen, CompareScreen))
        await shows(pilot, "compare 2 runs")
        await pilot.press("escape")
        await shows(pilot, "◆ 1 marked")


async def test_notes_and_tags_are_written_and_shown(folder: Path) -> None:
    app = RftuiApp(folder)
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        screen = await opened(pilot)
        await choose(pilot, screen, "old")
        await pilot.press("m")
        await shows(pilot, "Note about old")
        await pilot.press(*"low KL", "enter")
        await shows(pilot, "low KL")
        await pilot.press("number_sign")
        await shows(pilot, "Tags of old")
        await pilot.press(*"paper a/b", "enter")
        await shows(pilot, "'a/b' cannot be a tag")
        await pilot.press("number_sign")
        await shows(pilot, "Tags of old")
        await pilot.press(*"paper gsm8k", "enter")
        await shows(pilot, "#gsm8k #paper")
        assert notes.read(RunDir(folder / "old")) == notes.Notes("low KL", ("gsm8k", "paper"))


async def test_a_run_is_deleted_after_its_name_was_typed(folder: Path) -> None:
    app = RftuiApp(folder)
    async with app.run_test(size=(100, 30), notifications=True) as pilot:
        screen = await opened(pilot)
        await choose(pilot, screen, "middle")
        await pilot.press("D")
        await shows(pilot, "Delete middle? Its ", "files go for good")
        await pilot.press(*"old", "enter")
        await shows(pilot, "not deleted: that is not 'middle'")
        await pilot.press("escape")
        assert (folder / "middle").exists()
        await pilot.press("D")
        await shows(pilot, "Delete middle?")
        await pilot.press(*"middle", "enter")
        await shows(pilot, "2 runs", "middle is deleted", "are free again")
        assert not (folder / "middle").exists()
        assert rows(app) == ["young", "old"]


async def test_a_run_that_goes_on_can_be_stopped_and_nothing_else(
    folder: Path, supervisor: subprocess.Popen[bytes]
) -> None:
    fake = FakeRun(folder, "alive", total=50, age_s=20, supervisor=supervisor.pid)
    fake.step()
    app = RftuiApp(folder)
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        screen = await opened(pilot, "● running")
        await choose(pilot, screen, "alive")
        keys = footer(app)
        assert "stop" in keys
        assert "resume" not in keys
        assert "delete" not in keys
        await pilot.press("D", "R", "X")
        assert app.screen is screen
        await pilot.press("K")
        await until(pilot, lambda: isinstance(app.screen, StopDialog))
        await pilot.press("enter")
        await shows(pilot, "alive: stopping after its present step")
        assert json.loads(fake.run.control_path.read_text())["action"] == "stop"
        await pilot.press("K")
        await until(pilot, lambda: isinstance(app.screen, StopDialog))
        await pilot.press("escape")
        assert app.screen is screen


async def test_a_run_that_begins_again_while_it_is_asked_for_is_not_deleted(
    folder: Path, supervisor: subprocess.Popen[bytes]
) -> None:
    app = RftuiApp(folder)
    async with app.run_test(size=(100, 30), notifications=True) as pilot:
        screen = await opened(pilot)
        await choose(pilot, screen, "middle")
        await pilot.press("D")
        await shows(pilot, "Delete middle?")
        run = RunDir(folder / "middle")
        info = run.read_info()
        info.status, info.supervisor_pid = "running", supervisor.pid
        info.supervisor_started = started_after_boot(supervisor.pid)
        run.write_info(info)
        await pilot.press(*"middle", "enter")
        await shows(pilot, "middle is running")
        assert run.events_dir.is_dir()


class Verbs:
    """Stands in for `rft` as a child, which has tests of its own."""

    def __init__(self, code: int = 0, said: str = "") -> None:
        self.code, self.said = code, said
        self.called: list[tuple[str, ...]] = []

    async def __call__(self, *arguments: str, tick: object) -> tuple[int, str]:
        self.called.append(arguments)
        return self.code, self.said


async def test_resuming_says_what_it_will_do_and_offers_the_fix(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = RunDir(folder / "middle")
    fix = Fix("halve the micro-batch", set={"batch.micro_train_batch_size": 1})
    found = Diagnosed("oom", "memory", "Out of memory in the update", "", (), (fix,), 0.9)
    diagnosis.write(run, Diagnosis("x", (found,)))
    verbs = Verbs()
    monkeypatch.setattr(runs_actions, "rft", verbs)
    app = RftuiApp(folder)
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        screen = await opened(pilot)
        await choose(pilot, screen, "middle")
        await shows(pilot, "no memory left", "Out of memory in the update")
        await pilot.press("R")
        await shows(
            pilot,
            "Resume middle (failed at step 3)?",
            "Go on from the start, as it has no checkpoint, with the",
            "batch.micro_train_batch_size = 1",
        )
        await pilot.press("down", "enter")
        await shows(pilot, "middle goes on")
        await choose(pilot, screen, "young")
        await pilot.press("R")
        await shows(pilot, "It has finished its 20 steps. Train on to step 40")
        verbs.code, verbs.said = 2, "error x.y: that cannot be\n  → do this"
        await pilot.press("enter")
        await shows(pilot, "error x.y: that cannot be", "→ do this")
        await pilot.press("R")
        await until(pilot, lambda: isinstance(app.screen, ChooseScreen))
        await pilot.press("escape")
    where = ("--runs-dir", str(folder))
    assert verbs.called == [
        ("resume", "middle", *where, "--apply-fix"),
        ("resume", "young", *where, "--max-steps", "40"),
    ]


async def test_the_real_verb_refuses_what_it_cannot_resume(folder: Path) -> None:
    run = RunDir(folder / "middle")
    run.config_path.write_text("model: {pretrain: /nowhere/at/all}\n")
    app = RftuiApp(folder)
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        screen = await opened(pilot)
        await choose(pilot, screen, "middle")
        await pilot.press("R")
        await shows(pilot, "Go on from the start")
        await pilot.press("enter")
        await shows(pilot, "/nowhere/at/all", timeout=60)
    assert run.read_info().status == "failed"


async def test_a_checkpoint_is_chosen_and_exported(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder.parent)
    verbs = Verbs()
    monkeypatch.setattr(runs_actions, "rft", verbs)
    monkeypatch.setattr(
        runs_actions.continuing,
        "checkpoints",
        lambda run: {5: folder, 8: folder} if run.name == "old" else {},
    )
    app = RftuiApp(folder)
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        screen = await opened(pilot)
        await choose(pilot, screen, "young")
        await pilot.press("X")
        await shows(pilot, "young has no complete checkpoint")
        await choose(pilot, screen, "old")
        await pilot.press("X")
        await shows(pilot, "Export which of old?", "step 8, the last", "step 5")
        await pilot.press("down", "enter")
        await shows(pilot, "Write step 5 of old as a Hugging Face folder to")
        line = app.screen.query_one(Input)
        line.value = "runs"
        await pilot.press("enter")
        await shows(pilot, "runs is not empty")
        line.value = "out"
        await pilot.press("enter")
        await shows(pilot, "step 5 of old is in out")
    assert verbs.called == [("export", "old", "--runs-dir", str(folder), "--step", "5", "--to", "out")]


async def test_readonly_leaves_only_looking(folder: Path) -> None:
    app = RftuiApp(folder, settings=Settings(readonly=True))
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        screen = await opened(pilot)
        await choose(pilot, screen, "old")
        await pilot.press("m", "number_sign", "K", "R", "X", "D")
        assert app.screen is screen
        assert not any(word in footer(app) for word in ("note", "resume", "delete"))
        assert "open" in footer(app)


async def test_damaged_and_vanishing_runs_are_rows_with_a_message(folder: Path) -> None:
    (folder / "half").mkdir()
    (folder / "half" / "run.json").write_text("{")
    (folder / "old" / "events" / "rank-00000.jsonl").write_bytes(
        b'{"kind":"metric"\n\xff\xfe\n{"reward/mean":'
    )
    (folder / "old" / "notes.json").write_text("[1")
    (folder / "young" / "config.yaml").write_text("- [")
    app = RftuiApp(folder)
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        screen = await opened(pilot, "4 runs", "! unreadable")
        await choose(pilot, screen, "half")
        await shows(pilot, "half/run.json cannot be read as a run")
        await choose(pilot, screen, "old")
        await shows(pilot, "notes.json cannot be read")
        await choose(pilot, screen, "young")
        await pilot.press("R")
        await shows(pilot, "config.yaml")
        assert app.screen is screen
        await choose(pilot, screen, "half")
        shutil.rmtree(folder / "half")
        await pilot.press("D")
        await shows(pilot, "Delete half?")
        await pilot.press(*"half", "enter")
        await shows(pilot, "half cannot be deleted")
        shutil.rmtree(folder)
        await pilot.press("r")
        await shows(pilot, "No runs in")


async def test_an_empty_folder_tells_what_to_do_next(tmp_path: Path) -> None:
    app = RftuiApp(tmp_path / "nothing-here")
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await pilot.press("6")
        await shows(pilot, "No runs in", "rft launch quickstart", "rftui --runs-dir DIR")
        await pilot.press("enter", "space", "c", "m", "D", "R", "K", "X", "down", "end")
        assert isinstance(app.screen, RunsScreen)
        assert "open" not in footer(app)


async def test_the_cursor_moves_and_stays_in_sight(folder: Path) -> None:
    for number in range(60):
        shutil.copytree(folder / "old", folder / f"more-{number:02d}")
    app = RftuiApp(folder)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        screen = await opened(pilot, "63 runs")
        for keys, at in ((("end",), 62), (("k", "up"), 60), (("j", "down", "down"), 62), (("home",), 0)):
            await pilot.press(*keys)
            assert screen.grid.cursor == at
            chosen = screen.chosen
            assert chosen is not None
            await until(pilot, lambda name=chosen.name: name in "".join(screen_text(app).split("\n")[2:19]))  # type: ignore[misc]
        await pilot.press("pagedown", "pagedown")
        assert 20 < screen.grid.cursor < 62
        await pilot.press("pageup", "pageup")
        assert screen.grid.cursor == 0


async def test_help_tells_the_filter(folder: Path) -> None:
    app = RftuiApp(folder)
    async with app.run_test(size=(120, 60), notifications=True) as pilot:
        await opened(pilot)
        await pilot.press("question_mark")
        await until(pilot, lambda: isinstance(app.screen, HelpScreen))
        await shows(pilot, "reward>0.5 cfg.lr<=1e-6 tag:x status:failed", "cfg.PARAMETER")
        for key in RUNS_KEYS:
            assert key.name in screen_text(app)


async def test_a_thousand_runs_are_listed_within_a_second(folder: Path) -> None:
    content = msgspec.json.decode((folder / "old" / "run.json").read_bytes())
    for number in range(1000):
        run = folder / f"run-{number:04d}"
        (run / "events").mkdir(parents=True)
        content["name"], content["created"] = run.name, content["created"] - 60
        (run / "run.json").write_bytes(msgspec.json.encode(content))
        os.link(folder / "old" / "events" / "rank-00000.jsonl", run / "events" / "rank-00000.jsonl")
    app = RftuiApp(folder)
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        await pilot.press("6")
        await shows(pilot, "1003 runs", timeout=3.0)
        await pilot.press("end")
        await shows(pilot, "run-0999", timeout=1.0)


async def test_a_damaged_run_opens_too(tmp_path: Path) -> None:
    (tmp_path / "half").mkdir()
    (tmp_path / "half" / "run.json").write_text("{")
    app = RftuiApp(tmp_path)
    async with app.run_test(size=(100, 24)) as pilot:
        await opened(pilot, "half", "! unreadable")
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, LiveScreen))
        await shows(pilot, "cannot be read as a run")


def test_an_unknown_run_names_the_nearest(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    finished_run(tmp_path, "quickstart-1", steps=1)
    with pytest.raises(SystemExit) as exit:
        main(["quickstrat-1", "--runs-dir", str(tmp_path)])
    assert exit.value.code == 2
    said = capsys.readouterr().err
    assert "run.unknown" in said
    assert "quickstart-1" in said


@pytest.mark.parametrize("target", ["", "~no-such-user-here/x", "x" * 300])
def test_a_folder_that_cannot_be_is_no_target_of_an_export(target: str) -> None:
    from rftui.tui.screens.runs_actions import _used

    assert _used(target)


async def test_e_writes_the_rows_that_are_shown(folder: Path, tmp_path: Path) -> None:
    app = RftuiApp(folder)
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        await pilot.press("6")
        await shows(pilot, "3 runs")
        await pilot.press("slash", *"status:finished", "enter", "o")
        await shows(pilot, "2 of 3 runs")
        await pilot.press("e")
        await shows(pilot, "Write these 2 runs to", ".csv: the table")
        app.screen.query_one(Input).value = str(tmp_path / "table")
        await pilot.press("enter")
        await shows(pilot, "written:")
    lines = (tmp_path / "table.csv").read_text().splitlines()
    assert [line.partition(",")[0] for line in lines] == ["name", "old", "young"]
    assert (tmp_path / "table.md").read_text().count("\n") == 4
    assert not (tmp_path / "table.svg").exists()
