"""What the supervisor does about the health of its ranks: alerts, a verdict, and what on_hang asks."""

import json
import time
from collections.abc import Callable
from functools import partial

import pytest
from typer.testing import CliRunner

from diagnostics.health.hang.analysis import Limits, analyse_run
from diagnostics.health.hang.verdict import Verdict
from engine.checkpoint.layout import write_manifest
from engine.config.load import dump_resolved, layer_from_sets, load_resolved, resolve
from engine.events import Alert, EventWriter, Phase
from rftui.cli import hang
from rftui.cli.diagnose import app as diagnose
from rftui.cli.health import app
from rftui.launch import supervisor
from rftui.launch.health import EVENTS, HealthWatch
from rftui.launch.outcome import read_errors
from rftui.runs import diagnosis
from rftui.runs.follow import EventFollower
from rftui.runs.health import present_health
from rftui.runs.rundir import RunDir
from tests.rftui.launch.launch_standin import start, wait_for, wait_until_over

pytestmark = [pytest.mark.dist, pytest.mark.slow]
MakeRun = Callable[..., RunDir]
LIMIT_S = 120.0


def hanging(make_run: MakeRun, on_hang: str, mode: str = "freeze", *more: str) -> RunDir:
    run = make_run(mode, nproc=2)
    sets = [f"model.pretrain={mode}", "parallel.hang_after=1", f"parallel.on_hang={on_hang}", *more]
    run.config_path.write_text(dump_resolved(resolve([layer_from_sets(sets)])))
    (run.checkpoints_dir / "step-20").mkdir(parents=True)
    write_manifest(run.checkpoints_dir / "step-20", 20, world_size=2, torch_version="2")
    start(run)
    return run


def alerts(run: RunDir) -> list[tuple[str, str]]:
    found = EventFollower(run.events_dir).poll()
    return [(event.state, event.finding.id) for event in found if isinstance(event, Alert)]


def test_a_hang_is_reported_and_the_run_left_alone(
    make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hang, "analyse_run", partial(analyse_run, limits=Limits(round_s=0.5)))
    run = hanging(make_run, "report")
    wait_for(lambda: any(id.startswith("hang.") and id != "hang.suspected" for _, id in alerts(run)), LIMIT_S)
    raised = alerts(run)
    assert raised[0] == ("raised", "hang.suspected")
    assert len(raised) == len(set(raised)), "each is raised once"
    found = present_health(run)
    assert found.status == "running"
    told = next(finding for finding in found.findings if finding.id.startswith("hang."))
    assert told.severity == "error" and "hang.suspected" not in {f.id for f in found.findings}
    assert [rank.rank for rank in found.ranks] == [0, 1]
    shown = CliRunner().invoke(app, [str(run.path)])
    assert shown.exit_code == 1
    assert f"{run.name}: running" in shown.output
    asked = CliRunner().invoke(diagnose, ["--hang", str(run.path), "--json"])
    assert asked.exit_code == 1
    answer = json.loads(asked.stdout)
    assert answer["path"] == str(run.path)
    assert {"cause", "group", "evidence", "fixes", "confidence"} <= set(answer["findings"][0])
    assert answer["ranks"] == answer["verdict"]["ranks"]


def test_a_hang_ends_the_run_where_that_is_asked(make_run: MakeRun) -> None:
    run = hanging(make_run, "stop")
    wait_for(lambda: run.read_info().status == "failed", LIMIT_S)
    info = run.read_info()
    assert info.exit is not None and info.exit.cause.startswith("it hung: ")
    assert info.attempt == 1
    kept = diagnosis.read(run)
    assert kept is not None and kept.findings[0].signature.startswith("hang-")
    again = json.loads(CliRunner().invoke(diagnose, [str(run.path), "--json"]).stdout)
    assert again["findings"][0]["meaning"] == kept.findings[0].meaning
    assert kept.findings[0].meaning.startswith(info.exit.cause.removeprefix("it hung: "))


def test_a_hang_is_gone_on_from_once_from_the_same_checkpoint(make_run: MakeRun) -> None:
    run = hanging(make_run, "restart")
    wait_for(lambda: run.read_info().status == "failed", 2 * LIMIT_S)
    info = run.read_info()
    assert info.attempt == 2
    log = (run.logs_dir / "supervisor.log").read_text()
    assert log.count("restarting: it hung") == 1


def test_the_next_attempt_is_not_explained_by_errors_of_the_one_that_hung(make_run: MakeRun) -> None:
    run = hanging(make_run, "restart", "fail_in_vain_once")
    wait_for(lambda: run.read_info().status == "finished", LIMIT_S)
    assert run.read_info().attempt == 2
    assert read_errors(run) == []


def test_a_run_begun_elsewhere_goes_on_from_its_own_checkpoint(make_run: MakeRun) -> None:
    run = hanging(make_run, "restart", "fail_in_vain_once", "checkpoint.ckpt_path=/elsewhere/step-5")
    wait_for(lambda: run.read_info().status == "finished", LIMIT_S)
    assert run.read_info().command[-2:] == ["--ckpt_path", str(run.checkpoints_dir / "step-20")]


def test_no_second_attempt_begins_beside_ranks_that_cannot_be_killed(
    make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run("freeze")
    config = load_resolved(run.config_path).config
    health = HealthWatch(run, config, 1)
    health.demand = "restart"
    monkeypatch.setattr(supervisor, "processes_of", lambda path: [4242])  # in a call that nothing interrupts
    assert supervisor.Supervisor(run)._end_hang(health, config) is False
    assert run.read_info().status == "failed"
    assert "cannot be killed are left: [4242]" in (run.logs_dir / "supervisor.log").read_text()
    monkeypatch.setattr(supervisor, "processes_of", lambda path: [])
    assert supervisor.Supervisor(run)._end_hang(health, config) is True


class Watch(HealthWatch):
    """Looks at a run by a function of the test."""

    look: Callable[[], None]

    def _look(self) -> None:
        self.look()


def test_an_error_of_the_disk_does_not_end_the_watch_and_is_told_while_it_lasts(make_run: MakeRun) -> None:
    run = make_run("finish")
    watch = Watch(run, load_resolved(run.config_path).config, 1)
    fails = iter([True, True])

    def look() -> None:
        if next(fails, False):
            raise OSError(116, "Stale file handle")

    watch.look = look
    watch.start()
    told = [("raised", "health.failed"), ("cleared", "health.failed")]
    wait_for(lambda: alerts(run) == told, 10.0)
    watch.stop()


def test_a_run_that_ends_while_it_is_analysed_did_not_hang(make_run: MakeRun) -> None:
    class Slow(HealthWatch):
        def _analyse(self) -> Verdict:
            self._end.set()
            return Verdict(kind="unknown", ranks=(), cause="unknown", said="All ranks have ended.")

    run = make_run("finish")
    sets = layer_from_sets(["parallel.hang_after=1", "parallel.on_hang=restart"])
    watch = Slow(run, resolve([sets]).config, 1)
    writer = EventWriter(run.events_dir / "rank-00000.jsonl", rank=0)
    writer.emit(Phase, step=1, name="rollout", state="begin")
    watch.start()
    wait_for(watch._end.is_set, 10.0)
    watch.stop()
    assert watch.demand is None
    assert [id for _, id in alerts(run)] == ["hang.suspected"]


def test_healthy_ranks_raise_nothing(make_run: MakeRun) -> None:
    run = make_run("finish", nproc=2)
    began = time.time()
    start(run)
    wait_until_over(run)
    assert (run.events_dir / EVENTS).exists() and time.time() - began < 60
    assert alerts(run) == []
    assert CliRunner().invoke(app, [str(run.path)]).output.endswith("Nothing is wrong.\n")
