"""Real launches from the plan screen: one that reaches Live, one that fails and is diagnosed."""

import threading
import time
from pathlib import Path

import pytest
from conftest import shows, until
from fake_run import FakeRun
from textual.pilot import Pilot

from diagnostics.knowledge.diagnosis import Diagnosed, Diagnosis
from engine.findings import Finding, FindingsError, Fix
from rftui.launch import stop
from rftui.launch.prepare import Prepared
from rftui.runs import diagnosis
from rftui.runs.info import ACTIVE
from rftui.runs.rundir import RunDir, names
from rftui.runs.view import present_status
from rftui.tui.app import RftuiApp
from rftui.tui.notify import News
from rftui.tui.planning import consider
from rftui.tui.planning.consider import Ground
from rftui.tui.planning.edits import Edits
from rftui.tui.screens.launch import Decision, LaunchScreen
from rftui.tui.screens.plan import PlanScreen

SMALL = {"optim.max_steps": 3, "eval.max_eval_samples": 8, "batch.rollout_batch_size": 8}
SMALL |= {"batch.train_batch_size": 64}
LAUNCH_S = 150


async def launched(pilot: Pilot[None], edits: dict[str, object]) -> None:
    """The quickstart with a few edits, and L."""
    app = pilot.app
    assert isinstance(app, RftuiApp)
    await app.open_plan("quickstart")
    await until(pilot, lambda: isinstance(app.screen, PlanScreen) and not app.screen.busy)
    screen = app.screen
    assert isinstance(screen, PlanScreen) and screen.edits is not None
    screen.change(screen.edits.with_values(edits))
    await until(pilot, lambda: not screen.busy and bool(screen.now and screen.now.edits.values))
    await pilot.press("L")


def only_run(runs: Path) -> RunDir:
    (name,) = names(runs)
    return RunDir(runs / name)


@pytest.mark.slow
@pytest.mark.dist
async def test_the_quickstart_is_launched_and_watched_from_its_first_step(tmp_path: Path) -> None:
    app = RftuiApp(tmp_path)
    async with app.run_test(size=(100, 30), notifications=True) as pilot:
        await launched(pilot, SMALL)
        await shows(pilot, "✔ preflight", "✔ run directory", timeout=60)
        await until(pilot, lambda: app.area_now == "live", timeout=LAUNCH_S)
        run = only_run(tmp_path)
        assert app.context.run is not None and app.context.run.path == run.path
        await shows(pilot, run.name, "step ")
    deadline = time.monotonic() + LAUNCH_S
    while present_status(run) in ACTIVE and time.monotonic() < deadline:
        time.sleep(0.2)
    info = run.read_info()
    assert (info.status, info.steps, info.preset) == ("finished", 3, "quickstart")
    assert "optim.max_steps: user" in run.config_path.read_text()


@pytest.mark.slow
@pytest.mark.dist
async def test_a_run_that_fails_says_why_is_diagnosed_and_mended(tmp_path: Path) -> None:
    reward = tmp_path / "reward.py"
    reward.write_text("def score(responses, labels):\n    raise ValueError('boom in the reward')\n")
    app = RftuiApp(tmp_path / "runs")
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        edits = SMALL | {"reward.reward_rule": None, "reward.reward_fn": f"{reward}:score"}
        await launched(pilot, edits)
        text = await shows(
            pilot, "boom in the reward", "Edit", "Retry", "Logs", "reward or workflow code", timeout=LAUNCH_S
        )
        assert "^^^" not in text and "errors/rank-00000.json:" in text
        screen = app.screen
        assert isinstance(screen, LaunchScreen)
        assert present_status(only_run(tmp_path / "runs")) == "failed"
        await until(pilot, lambda: screen.diagnosis is not None, timeout=60)
        fix = Fix("a smaller one", set={"optim.actor_learning_rate": 1e-5})
        found = Diagnosed("unknown", "", "too fast", "", (), (fix,), 1.0)
        screen.post_message(LaunchScreen.Diagnosed(only_run(tmp_path / "runs"), Diagnosis("", (found,))))
        await shows(pilot, "f ▸ a smaller one", "Apply fix")
        await pilot.press("f")
        await until(pilot, lambda: isinstance(app.screen, PlanScreen) and not app.screen.busy)
        plan = app.screen
        assert isinstance(plan, PlanScreen) and plan.edits is not None
        assert plan.edits.values["optim.actor_learning_rate"] == 1e-5


@pytest.mark.slow
@pytest.mark.dist
async def test_leaving_a_launch_lets_it_go_on(tmp_path: Path) -> None:
    app = RftuiApp(tmp_path)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await launched(pilot, SMALL)
        await shows(pilot, "✔ supervisor", timeout=LAUNCH_S)
        await pilot.press("escape")
        await shows(pilot, "goes on")
        assert isinstance(app.screen, PlanScreen)
    run = only_run(tmp_path)
    assert present_status(run) in ACTIVE
    stop.kill(run)


@pytest.mark.usefixtures("still_home")
async def test_leaving_before_there_is_a_run_starts_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, go_on, prepare = threading.Event(), threading.Event(), consider.prepared_launch

    def held(edits: Edits, ground: Ground) -> Prepared:
        prepared = prepare(edits, ground)
        asked.set()
        go_on.wait(20)
        return prepared

    app = RftuiApp(tmp_path / "runs")
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await app.open_plan("quickstart")
        await until(pilot, lambda: isinstance(app.screen, PlanScreen) and not app.screen.busy)
        monkeypatch.setattr(consider, "prepared_launch", held)
        await pilot.press("L")
        await until(pilot, asked.is_set)
        launch = app.screen
        await shows(pilot, "◌ preflight", "esc cancels: nothing runs yet")
        await pilot.press("escape")
        await shows(pilot, "cancelled: nothing was started")
        go_on.set()
        await until(pilot, lambda: all(work.is_finished for work in app.workers if work.node is launch))
    assert names(tmp_path / "runs") == []


@pytest.mark.usefixtures("still_home")
async def test_what_is_refused_can_be_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[int] = []

    def refused(edits: Edits, ground: Ground) -> Prepared:
        tried.append(1)
        raise FindingsError([Finding("a.b", "error", f"the disk is full, said {len(tried)} times.")])

    app = RftuiApp(tmp_path / "runs")
    async with app.run_test(size=(80, 24)) as pilot:
        await app.open_plan("quickstart")
        await until(pilot, lambda: isinstance(app.screen, PlanScreen) and not app.screen.busy)
        monkeypatch.setattr(consider, "prepared_launch", refused)
        await pilot.press("L")
        text = await shows(pilot, "✖ preflight", "said 1 times", "Retry", "Edit", "esc closes")
        assert "Logs" not in text
        await pilot.press("r")
        await shows(pilot, "said 2 times")
        await pilot.press("e")
        await until(pilot, lambda: isinstance(app.screen, PlanScreen))


def stand_ins(monkeypatch: pytest.MonkeyPatch, folder: Path) -> list[FakeRun]:
    """Launches make runs that do what the test says; they are added to the list when they are started."""
    started: list[FakeRun] = []

    def create(prepared: Prepared, runs_dir: Path, name: str | None) -> RunDir:
        fake = FakeRun(folder, f"run-{len(started)}", ranks=1, age_s=1)
        started.append(fake)
        return fake.run

    monkeypatch.setattr("rftui.launch.start.create", create)
    monkeypatch.setattr("rftui.launch.start.start_detached", lambda run: None)
    return started


@pytest.mark.usefixtures("still_home")
async def test_the_run_that_is_being_launched_is_told_of_by_its_dialog_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_ins(monkeypatch, tmp_path / "runs")
    app = RftuiApp(tmp_path / "runs")
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        await app.open_plan("quickstart")
        await until(pilot, lambda: isinstance(app.screen, PlanScreen) and not app.screen.busy)
        await pilot.press("L")
        await shows(pilot, "Launch run-0")
        said = [News(f"{name} failed", f"{name} is out", "error", name) for name in ("run-0", "other")]
        app.post_message(app.Happened(said))
        text = await shows(pilot, "other is out")
        assert "run-0 is out" not in text


@pytest.mark.usefixtures("still_home")
async def test_a_run_whose_first_step_comes_while_help_is_read_is_opened_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = stand_ins(monkeypatch, tmp_path / "runs")
    app = RftuiApp(tmp_path / "runs")
    async with app.run_test(size=(80, 24)) as pilot:
        await app.open_plan("quickstart")
        await until(pilot, lambda: isinstance(app.screen, PlanScreen) and not app.screen.busy)
        await pilot.press("L")
        await until(pilot, lambda: isinstance(app.screen, LaunchScreen) and bool(started))
        launch = app.screen
        assert isinstance(launch, LaunchScreen)
        await pilot.press("question_mark")
        await until(pilot, lambda: app.screen is not launch)
        started[0].step()
        await until(pilot, lambda: launch.starting is not None and launch.starting.first_step)
        await pilot.press("escape")
        await until(pilot, lambda: app.area_now == "live")
        assert app.context.run == started[0].run


@pytest.mark.usefixtures("still_home")
async def test_the_diagnosis_of_a_run_that_was_tried_again_comes_too_late(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = stand_ins(monkeypatch, tmp_path / "runs")
    fix = Fix("a smaller one", set={"optim.actor_learning_rate": 1e-5})
    found = Diagnosis("", (Diagnosed("unknown", "", "too fast", "", (), (fix,), 1.0),))
    app = RftuiApp(tmp_path / "runs")
    async with app.run_test(size=(80, 24)) as pilot:
        await app.open_plan("quickstart")
        await until(pilot, lambda: isinstance(app.screen, PlanScreen) and not app.screen.busy)
        await pilot.press("L")
        await until(pilot, lambda: bool(started))
        launch = app.screen
        assert isinstance(launch, LaunchScreen)
        diagnosis.write(started[0].run, found)
        started[0].end("failed", "rank 0: boom")
        await shows(pilot, "rank 0: boom", "Retry", "f ▸ a smaller one", "Apply fix")
        await pilot.press("r")
        launch.post_message(LaunchScreen.Diagnosed(started[0].run, found))
        await until(pilot, lambda: launch.starting is not None and launch.starting.run == started[-1].run)
        assert len(started) == 2
        launch.post_message(LaunchScreen.Diagnosed(started[0].run, found))
        await pilot.pause(0.2)
        assert launch.diagnosis is None and launch.check_action("fix", ()) is False


def test_what_was_decided_first_holds() -> None:
    decision = Decision()
    assert decision.open
    assert decision.is_for("start") and not decision.is_for("cancel") and decision.is_for("start")
    assert not decision.open
