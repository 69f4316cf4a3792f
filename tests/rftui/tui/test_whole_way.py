"""From the plan to the comparison with keys alone: a real quickstart, launched, watched, read, compared."""

from pathlib import Path

import pytest
from conftest import screen_text, shows, until
from fake_run import finished_run

from rftui.runs.rundir import RunDir, names
from rftui.tui.app import RftuiApp
from rftui.tui.screens.compare import CompareScreen
from rftui.tui.screens.plan import PlanScreen

LAUNCH_S = 240


@pytest.mark.slow
@pytest.mark.dist
@pytest.mark.timeout(600)
async def test_a_quickstart_from_its_plan_to_its_comparison(tmp_path: Path) -> None:
    finished_run(tmp_path, "earlier", steps=20, age_s=9000)
    app = RftuiApp(tmp_path)
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        await shows(pilot, "earlier", "quickstart")
        await app.open_plan("quickstart")
        await until(pilot, lambda: isinstance(app.screen, PlanScreen) and not app.screen.busy, 60)
        plan = app.screen
        assert isinstance(plan, PlanScreen) and plan.edits is not None
        short = {"optim.max_steps": 3, "eval.max_eval_samples": 8, "batch.rollout_batch_size": 8}
        plan.change(plan.edits.with_values({**short, "batch.train_batch_size": 64}))
        await until(pilot, lambda: not plan.busy and bool(plan.now and plan.now.edits.values), 60)
        await pilot.press("L")
        await until(pilot, lambda: app.area_now == "live", LAUNCH_S)
        await shows(pilot, "✔ finished", "step 3/3", timeout=LAUNCH_S)
        (name,) = (each for each in names(tmp_path) if each != "earlier")
        assert RunDir(tmp_path / name).read_info().status == "finished"

        await pilot.press("5")
        await shows(pilot, f"{name} ▸ samples", "step 3", "reward", timeout=60)
        await pilot.press("6")
        await shows(pilot, "rft ▸ runs", "earlier", name)
        await pilot.press("space", "down", "space", "c")
        await until(pilot, lambda: isinstance(app.screen, CompareScreen), 30)
        await shows(pilot, "earlier", name, "reward")
        assert "Traceback" not in screen_text(app)
