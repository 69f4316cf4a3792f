"""The supervisor with real torchrun and a stand-in for the trainer."""

import json
import os
import pty
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from engine.events import AnyEvent, Host
from engine.findings import FindingsError
from rftui.launch import stop
from rftui.launch.outcome import read_progress
from rftui.launch.processes import processes_of
from rftui.launch.progress import Progress
from rftui.launch.start import start_detached
from rftui.runs.follow import EventFollower
from rftui.runs.info import effective_status, supervisor_alive
from rftui.runs.rundir import RunDir
from tests.rftui.launch.launch_standin import ranks_up, start, wait_for, wait_until_over

pytestmark = pytest.mark.dist
MakeRun = Callable[..., RunDir]


def test_finished_run_is_recorded(make_run: MakeRun) -> None:
    run = make_run("finish")
    start(run)
    wait_until_over(run)
    info = run.read_info()
    assert (info.status, info.exit, info.steps, info.total_steps) == ("finished", None, 3, 3)
    assert info.command[1:3] == ["-m", "torch.distributed.run"]
    events: list[AnyEvent] = EventFollower(run.events_dir).poll()
    assert any(isinstance(event, Host) and event.memory_total > 0 for event in events)
    lines: list[str] = []
    progress = Progress(run, lines.append, since=info.created)
    assert progress.wait() == "finished"
    assert progress.result()["eval"] == {"accuracy": 0.375}
    assert "step 3/3  reward 0.75" in lines


def test_failing_rank_is_named_and_the_other_ended(make_run: MakeRun) -> None:
    run = make_run("fail_on_rank_1", nproc=2)
    start(run)
    wait_until_over(run)
    ended = run.read_info().exit
    assert ended is not None
    assert ended.cause == "rank 1: exit code 1: ValueError: reward is NaN"
    assert ended.ranks["0"] == "ended by torchrun after another rank failed"
    assert processes_of(run.path) == []


def test_killed_rank_is_named(make_run: MakeRun) -> None:
    run = make_run("train", nproc=2)
    start(run)
    wait_for(lambda: ranks_up(run, 2))
    victim = next(pid for pid in processes_of(run.path) if _environ(pid).get("RANK") == "1")
    os.kill(victim, signal.SIGKILL)
    wait_until_over(run)
    info = run.read_info()
    assert info.status == "failed" and info.exit is not None
    assert info.exit.cause.startswith("rank 1: killed by SIGKILL")
    assert info.exit.ranks["1"].startswith("killed by SIGKILL")


def test_killed_supervisor_leaves_nothing_and_the_run_can_be_buried(make_run: MakeRun) -> None:
    run = make_run("hang", nproc=2)
    start(run)
    wait_for(lambda: ranks_up(run, 2))
    supervisor = run.read_info().supervisor_pid
    assert supervisor is not None
    os.kill(supervisor, signal.SIGKILL)
    wait_for(lambda: processes_of(run.path) == [], seconds=5)
    assert effective_status(run.read_info()) == "lost"
    assert stop.bury(run) == []
    assert run.read_info().status == "stopped"


@pytest.mark.alone
def test_stop_ends_after_the_step_and_kill_ends_a_hang(make_run: MakeRun) -> None:
    run = make_run("train")
    start(run)
    wait_for(lambda: ranks_up(run, 1))
    assert stop.stop(run, timeout=20) == "stopped"
    assert run.read_info().steps > 0

    hung = make_run("hang")
    start(hung)
    wait_for(lambda: ranks_up(hung, 1))
    began = time.monotonic()
    assert stop.kill(hung) == "stopped"
    assert time.monotonic() - began < 5
    info = hung.read_info()
    assert info.exit is not None and info.exit.cause.startswith("killed on request")
    assert processes_of(hung.path) == []


def test_run_outlives_the_terminal_it_was_started_from(make_run: MakeRun) -> None:
    run = make_run("train")
    session, terminal = pty.fork()
    if session == 0:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)  # whoever runs the tests may ignore it
        start(run)
        time.sleep(600)
    wait_for(lambda: ranks_up(run, 1))
    os.close(terminal)  # the kernel hangs up on everything in the terminal's session
    _, how = os.waitpid(session, 0)
    assert os.WTERMSIG(how) == signal.SIGHUP
    steps = _steps(run)
    wait_for(lambda: _steps(run) > steps)
    assert stop.stop(run, timeout=20) == "stopped"


def test_first_sigterm_stops_second_kills(make_run: MakeRun) -> None:
    run = make_run("hang")
    start(run)
    wait_for(lambda: ranks_up(run, 1))
    pid = run.read_info().supervisor_pid
    assert pid is not None
    os.kill(pid, signal.SIGTERM)
    wait_for(run.control_path.exists)
    assert json.loads(run.control_path.read_text())["action"] == "stop"
    os.kill(pid, signal.SIGHUP)  # ignored
    assert not stop.is_over(run)
    os.kill(pid, signal.SIGTERM)
    wait_until_over(run)
    assert run.read_info().status == "stopped"


def test_port_taken_meanwhile_is_the_cause(make_run: MakeRun) -> None:
    run = make_run("finish")
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        text = run.config_path.read_text().replace("master_port: null", f"master_port: {port}")
        run.config_path.write_text(text)
        start(run)
        wait_until_over(run)
    ended = run.read_info().exit
    assert ended is not None and "EADDRINUSE" in ended.cause


def test_run_can_have_only_one_supervisor(make_run: MakeRun) -> None:
    run = make_run("hang")
    start(run)
    with pytest.raises(Exception, match=r"run\.alive"):
        start_detached(run)
    stop.kill(run)


def test_end_is_recorded_on_a_full_disk(make_run: MakeRun, small_disk: Path) -> None:
    run = make_run("train", runs_dir=small_disk)
    start(run)
    wait_for(lambda: ranks_up(run, 1))
    with pytest.raises(OSError, match="No space"):
        (small_disk / "filler").write_bytes(bytes(8 << 20))
    launcher = run.read_info().launcher_pid
    assert launcher is not None
    os.kill(launcher, signal.SIGKILL)
    wait_until_over(run)
    info = run.read_info()
    assert info.status == "failed" and info.exit is not None and "SIGKILL" in info.exit.cause
    wait_for(lambda: supervisor_alive(info) is False)  # it holds files open on the disk


def test_supervisor_that_does_not_answer_is_ended(make_run: MakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rftui.launch.start.START_TIMEOUT_S", 0.01)
    run = make_run("hang")
    with pytest.raises(FindingsError, match="did not answer"):
        start(run)
    time.sleep(1.0)  # long enough for one that was let go on to start the ranks
    assert run.read_info().status == "failed" and processes_of(run.path) == []


def test_unreadable_configuration_ends_the_run_with_its_cause(make_run: MakeRun) -> None:
    run = make_run("finish")
    run.config_path.write_text("batch: {train_batch_size: many}\n")
    start(run)
    wait_until_over(run)
    info = run.read_info()
    assert info.status == "failed" and info.exit is not None
    assert "train_batch_size" in info.exit.cause


def _steps(run: RunDir) -> int:
    return read_progress(run, since=0.0).steps


def _environ(pid: int) -> dict[str, str]:
    return psutil.Process(pid).environ()
