"""What the supervisor does about the health of its ranks: alerts, a verdict, and what on_hang asks."""

import time
from collections.abc import Callable

import pytest
from typer.testing import CliRunner

from engine.config.load import dump_resolved, layer_from_sets, resolve
from engine.events import Alert
from rftui.cli.health import app
from rftui.launch.health import EVENTS
from rftui.runs.follow import EventFollower
from rftui.runs.health import present_health
from rftui.runs.rundir import RunDir
from tests.rftui.launch.launch_standin import start, wait_for, wait_until_over

pytestmark = [pytest.mark.dist, pytest.mark.slow]
MakeRun = Callable[..., RunDir]
LIMIT_S = 120.0


def hanging(make_run: MakeRun, on_hang: str) -> RunDir:
    run = make_run("freeze", nproc=2)
    sets = ["model.pretrain=freeze", "parallel.hang_after=2", f"parallel.on_hang={on_hang}"]
    run.config_path.write_text(dump_resolved(resolve([layer_from_sets(sets)])))
    start(run)
    return run


def alerts(run: RunDir) -> list[tuple[str, str]]:
    found = EventFollower(run.events_dir).poll()
    return [(event.state, event.finding.id) for event in found if isinstance(event, Alert)]


def test_a_hang_is_reported_and_the_run_left_alone(make_run: MakeRun) -> None:
    run = hanging(make_run, "report")
    wait_for(lambda: any(id.startswith("hang.") and id != "hang.suspected" for _, id in alerts(run)), LIMIT_S)
    raised = alerts(run)
    assert raised[0] == ("raised", "hang.suspected")
    assert len(raised) == len(set(raised)), "each is raised once"
    found = present_health(run)
    assert found.status == "running"
    hang = next(finding for finding in found.findings if finding.id.startswith("hang."))
    assert hang.severity == "error" and "hang.suspected" not in {f.id for f in found.findings}
    assert [rank.rank for rank in found.ranks] == [0, 1]
    shown = CliRunner().invoke(app, [str(run.path)])
    assert shown.exit_code == 1
    assert f"{run.name}: running" in shown.output


def test_a_hang_ends_the_run_where_that_is_asked(make_run: MakeRun) -> None:
    run = hanging(make_run, "stop")
    wait_for(lambda: run.read_info().status == "failed", LIMIT_S)
    info = run.read_info()
    assert info.exit is not None and info.exit.cause.startswith("it hung: ")
    assert info.attempt == 1


def test_a_hang_is_gone_on_from_once_from_the_same_checkpoint(make_run: MakeRun) -> None:
    run = hanging(make_run, "restart")
    wait_for(lambda: run.read_info().status == "failed", 2 * LIMIT_S)
    info = run.read_info()
    assert info.attempt == 2
    log = (run.logs_dir / "supervisor.log").read_text()
    assert log.count("restarting: it hung") == 1


def test_healthy_ranks_raise_nothing(make_run: MakeRun) -> None:
    run = make_run("finish", nproc=2)
    began = time.time()
    start(run)
    wait_until_over(run)
    assert (run.events_dir / EVENTS).exists() and time.time() - began < 60
    assert alerts(run) == []
    assert CliRunner().invoke(app, [str(run.path)]).output.endswith("Nothing is wrong.\n")
