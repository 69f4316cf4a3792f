"""Another run behind the charts of the live screen: which are offered, what is drawn, taking it away."""

import os
import shutil
from pathlib import Path

import pytest
from conftest import screen_text, shows, until
from fake_run import FakeRun, finished_run

from engine.config.load import Layer, dump_resolved, resolve
from rftui.runs.rundir import RunDir
from rftui.runs.view import RunView
from rftui.tui.app import RftuiApp
from rftui.tui.axis import Stretch
from rftui.tui.baseline import BaselineReader, candidates
from rftui.tui.curves import Wanted
from rftui.tui.screens.live import LiveScreen
from rftui.tui.widgets.chart import Chart


def configure(run: RunDir, model: str, data: str) -> None:
    layer = Layer("x", {"pretrain": model, "prompt_data": data})
    run.config_path.write_text(dump_resolved(resolve([layer])))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`watched`, and others more or less like it; `older` is twice as long."""
    runs = tmp_path_factory.mktemp("baselines") / "runs"
    configure(finished_run(runs, "watched", steps=60, age_s=1000), "toy:sort", "toy:sort")
    configure(finished_run(runs, "older", steps=120, age_s=9000), "toy:sort", "toy:sort")
    configure(finished_run(runs, "oldest", steps=20, age_s=99_000), "toy:sort", "toy:sort")
    configure(finished_run(runs, "another-task", steps=10, age_s=500), "toy:sort", "toy:count")
    broken = FakeRun(runs, "broken", total=80, age_s=400)
    broken.step()
    broken.end("failed", "rank 1: CUDA out of memory")
    configure(broken.run, "toy:sort", "toy:sort")
    FakeRun(runs, "nothing-done", age_s=100).end("failed")
    return runs


def drawn_behind(app: RftuiApp) -> bool:
    """Whether the first chart has dots in the colour of a run behind it."""
    chart = app.screen.query(Chart).first()
    colour = chart.style_of("behind").color
    segments = [segment for y in range(1, chart.size.height - 1) for segment in chart.render_line(y)]
    dots = [s for s in segments if any("\u2800" < char <= "\u28ff" for char in s.text)]
    return any(segment.style is not None and segment.style.color == colour for segment in dots)


def plot_of_first(app: RftuiApp):  # type: ignore[no-untyped-def]
    return app.screen.query(Chart).first().plot


def test_alike_runs_come_first_then_finished_then_new_ones(folder: Path) -> None:
    found = candidates(folder, RunDir(folder / "watched"))
    assert [each.run.name for each in found] == ["older", "oldest", "broken", "another-task"]
    assert found[0].words.endswith(" alike") and "finished" in found[0].words
    assert found[3].words.endswith(" same model")
    assert max(len(each.words) for each in found) <= 68


def test_a_run_without_configuration_is_offered_without_likeness(tmp_path: Path) -> None:
    finished_run(tmp_path, "one", steps=2)
    finished_run(tmp_path, "two", steps=2)
    (only,) = candidates(tmp_path, RunDir(tmp_path / "one"))
    assert only.run.name == "two"
    assert "same" not in only.words and "alike" not in only.words


@pytest.mark.parametrize("axis", ["step", "wall", "tokens"])
def test_its_curves_are_cut_as_the_charts_are(folder: Path, axis: str) -> None:
    reader = BaselineReader(RunDir(folder / "older"))
    assert reader.advance() == 0
    wanted = Wanted({"reward/mean": 50, "not/there": 50}, Stretch(axis))  # type: ignore[arg-type]
    whole = reader.look(wanted, axis, (0.0, 1e12))  # type: ignore[arg-type]
    assert set(whole.curves) == {"reward/mean"}
    part = reader.look(wanted, "step", (40.0, 59.0))
    assert part.curves["reward/mean"].steps[0] == 40
    assert part.curves["reward/mean"].steps[-1] == 59


def test_along_tokens_the_newest_value_stands_where_its_tokens_are(folder: Path) -> None:
    reader = BaselineReader(RunDir(folder / "watched"))
    reader.advance()
    total = RunView(RunDir(folder / "watched")).load().state.tokens.values[-1]
    wanted = Wanted({"reward/mean": 100}, Stretch("tokens"))
    curve = reader.look(wanted, "tokens", (0.0, 2 * total)).curves["reward/mean"]
    assert curve.steps[-1] == 60
    assert curve.buckets[-1].column in (49, 50)
    whole = reader.look(wanted, "tokens", (0.0, total)).curves["reward/mean"]
    assert (whole.steps[-1], whole.buckets[-1].column) == (60, 99)


def test_a_run_that_tells_no_tokens_has_no_curve_along_them(tmp_path: Path) -> None:
    reader = BaselineReader(FakeRun(tmp_path, "empty").run)
    reader.advance()
    assert reader.look(Wanted({"reward/mean": 9}, Stretch("tokens")), "tokens", (0.0, 9.0)).curves == {}


@pytest.mark.parametrize("size", [(80, 24), (160, 48)])
async def test_b_lays_a_run_behind_and_takes_it_away(folder: Path, size: tuple[int, int]) -> None:
    app = RftuiApp(folder, RunDir(folder / "watched"))
    async with app.run_test(size=size, notifications=True) as pilot:
        await shows(pilot, "step 60/60")
        assert plot_of_first(app).others == ()
        await pilot.press("b")
        text = await shows(pilot, "Which run behind the charts?", "older", "oldest")
        assert text.index("older") < text.index("oldest") < text.index("another-task")
        await pilot.press("enter")
        text = await shows(pilot, "· b older", "dim behind the charts")
        plot = plot_of_first(app)
        assert plot.x == (0.0, 60.0), "its own stretch, not that of the longer run"
        assert [line.letter for line in plot.others] == ["b"]
        assert drawn_behind(app)
        assert all(len(line) <= size[0] for line in text.split("\n"))
        await pilot.press("b")
        await until(pilot, lambda: plot_of_first(app).others == ())
        assert "· b older" not in screen_text(app)
        assert not drawn_behind(app)


async def test_it_goes_with_zoom_axis_smoothing_and_logarithms(folder: Path) -> None:
    app = RftuiApp(folder, RunDir(folder / "watched"))
    async with app.run_test(size=(120, 40)) as pilot:
        await shows(pilot, "step 60/60")
        await pilot.press("b")
        await shows(pilot, "Which run behind the charts?")
        await pilot.press("enter")
        await shows(pilot, "· b older")
        await pilot.press("plus")
        await until(pilot, lambda: plot_of_first(app).x == (30.0, 60.0))
        (line,) = plot_of_first(app).others
        assert line.buckets[0].column < 4 and line.buckets[-1].column > line.columns - 4
        await pilot.press("0", "x")
        await until(pilot, lambda: plot_of_first(app).axis == "wall" and plot_of_first(app).others != ())
        await pilot.press("x")
        await until(pilot, lambda: plot_of_first(app).axis == "tokens" and plot_of_first(app).others != ())
        await pilot.press("x", "s", "g")
        await shows(pilot, "reward · log · b older")
        assert drawn_behind(app)
        await pilot.press("c")
        await until(pilot, lambda: " · b 0." in screen_text(app).split("\n")[2])


async def test_a_metric_that_the_other_run_has_not_is_said(tmp_path: Path) -> None:
    watched, empty = finished_run(tmp_path, "watched", steps=5), FakeRun(tmp_path, "empty")
    empty.step()
    for name in ("rank-00000.jsonl", "rank-00001.jsonl"):
        path = empty.run.events_dir / name
        path.write_text(path.read_text().replace("kl/ref", "kl/other"))
    app = RftuiApp(tmp_path, watched)
    async with app.run_test(size=(160, 48)) as pilot:
        await shows(pilot, "step 5/5")
        await pilot.press("b")
        await shows(pilot, "Which run behind the charts?")
        await pilot.press("enter")
        await shows(pilot, "· b empty", "· not in empty")


async def test_it_is_laid_while_paused_and_may_vanish(folder: Path, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    shutil.copytree(folder, runs)
    app = RftuiApp(runs, RunDir(runs / "watched"))
    async with app.run_test(size=(120, 40)) as pilot:
        await shows(pilot, "step 60/60")
        await pilot.press("space")
        await shows(pilot, "paused")
        await pilot.press("b")
        await shows(pilot, "Which run behind the charts?")
        shutil.rmtree(runs / "older")
        await pilot.press("enter")
        await shows(pilot, "· not in older")
        await pilot.press("b", "b")
        await shows(pilot, "Which run behind the charts?", "oldest")
        await pilot.press("escape")
        screen = app.screen
        assert isinstance(screen, LiveScreen) and screen.baseline is None


async def test_without_another_run_it_says_so(tmp_path: Path) -> None:
    app = RftuiApp(tmp_path, finished_run(tmp_path, "alone", steps=3))
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        await shows(pilot, "step 3/3")
        await pilot.press("b")
        await shows(pilot, "no other run in")


async def test_a_run_that_grows_grows_behind_the_charts(tmp_path: Path) -> None:
    watched = finished_run(tmp_path, "watched", steps=60)
    growing = FakeRun(tmp_path, "growing", total=60, age_s=200, supervisor=os.getpid())
    for _ in range(5):
        growing.step()
    app = RftuiApp(tmp_path, watched)
    async with app.run_test(size=(120, 40)) as pilot:
        await shows(pilot, "step 60/60")
        await pilot.press("b")
        await shows(pilot, "Which run behind the charts?")
        await pilot.press("enter")
        await shows(pilot, "· b growing")
        before = plot_of_first(app).others[0].buckets[-1].column
        for _ in range(20):
            growing.step()
        await until(pilot, lambda: plot_of_first(app).others[0].buckets[-1].column > before + 4)
