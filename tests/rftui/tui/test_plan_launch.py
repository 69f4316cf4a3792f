"""Real launches from the plan screen: one that reaches Live, one that fails and is diagnosed."""

import time
from pathlib import Path

import pytest
from conftest import screen_text, shows, until
from textual.pilot import Pilot

from diagnostics.knowledge.diagnosis import Diagnosed, Diagnosis
from engine.findings import Fix
from rftui.launch import stop
from rftui.runs.info import ACTIVE
from rftui.runs.rundir import RunDir, names
from rftui.runs.view import present_status
from rftui.tui.app import RftuiApp
from rftui.tui.screens.launch import LaunchScreen
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
        await shows(pilot, "boom in the reward", "✖", timeout=LAUNCH_S)
        screen = app.screen
        assert isinstance(screen, LaunchScreen)
        assert all(word in screen_text(app) for word in ("Edit", "Logs", "Diagnose"))
        assert present_status(only_run(tmp_path / "runs")) == "failed"
        await pilot.press("d")
        await until(pilot, lambda: screen.diagnosis is not None, timeout=60)
        fix = Fix("a smaller one", set={"optim.actor_learning_rate": 1e-5})
        found = Diagnosed("unknown", "", "too fast", "", (), (fix,), 1.0)
        screen.post_message(LaunchScreen.Diagnosed(Diagnosis("", (found,))))
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
async def test_leaving_before_there_is_a_run_says_that_it_will_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from types import SimpleNamespace

    from rftui.tui.planning.starting import not_started

    monkeypatch.setattr(LaunchScreen, "start", lambda self: None)
    app = RftuiApp(tmp_path)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        launch = LaunchScreen(None, SimpleNamespace(name="x"))  # type: ignore[arg-type]
        app.push_screen(launch)
        await until(pilot, lambda: app.screen is launch)
        launch.post_message(LaunchScreen.Told(not_started(0.0)))
        await shows(pilot, "preflight")
        await pilot.press("escape")
        await shows(pilot, "the launch goes on")
