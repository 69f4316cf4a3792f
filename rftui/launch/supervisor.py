"""The process beside a run: starts torchrun, samples the machine, ends what has to end, and records why.

`python -m rftui.launch.supervisor RUN_DIR` works in a session of its own, so it outlives the terminal. The
kernel kills torchrun when the supervisor dies, and each rank when torchrun dies.
"""

import argparse
import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Literal

from diagnostics.hardware import detect
from diagnostics.health.hang.verdict import Verdict
from diagnostics.nvml import Nvml
from diagnostics.preflight import free_port
from diagnostics.sampler import Sampler
from engine.config.load import load_resolved
from engine.config.sections import RunConfig
from engine.events import EventWriter, Status
from engine.findings import FindingsError
from rftui.launch import control, logs, outcome, postmortem
from rftui.launch.command import ENGINE_MODULE, Command, rank_command
from rftui.launch.health import HealthWatch
from rftui.launch.processes import kill_group, kill_processes_of, processes_of, start_bound
from rftui.launch.resume import saved_steps
from rftui.plan import measured
from rftui.runs import diagnosis
from rftui.runs.info import Exit, RunInfo, answer_for
from rftui.runs.rundir import RunDir

Killed = Literal["request", "hang"] | None
POLL_S = 0.2
ROTATE_EVERY_S = 30.0
RESERVE_BYTES = 1 << 16


class Supervisor:
    """Supervises one attempt of a run from start to end."""

    def __init__(
        self, run: RunDir, module: str = ENGINE_MODULE, on_poll: Callable[[], None] | None = None
    ) -> None:
        """`on_poll` is called about five times a second while the ranks run."""
        self.run_dir = run
        self.module = module
        self._on_poll = on_poll or (lambda: None)
        self.info: RunInfo = run.read_info()
        self.events = EventWriter(run.path / "events" / "supervisor.jsonl", host=socket.gethostname())
        self._log = (run.logs_dir / "supervisor.log").open("a", buffering=1)
        self._stops_asked = 0
        self._stops_done = 0
        self._restarted_from: set[int] = set()

    def run(self) -> int:
        """Start the ranks, stay until they have ended, record how; returns the run's exit code."""
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, self._on_stop_signal)
        signal.signal(signal.SIGINT, self._on_stop_signal)
        try:
            while self._supervise():
                self.info.attempt += 1
                outcome.forget_errors(self.run_dir)
        except Exception as error:  # whatever it is, no rank may go on without a supervisor
            kill_processes_of(self.run_dir.path)
            cause = error.findings[0].cause if isinstance(error, FindingsError) else repr(error)
            self._end("failed", Exit(f"the supervisor failed: {cause}"))
            if not isinstance(error, FindingsError):
                raise
        return outcome.exit_code(self.run_dir, self.info.status)

    def _supervise(self) -> bool:
        """One attempt; returns whether another one is to follow, after a hang."""
        nvml = Nvml()
        hardware = detect(nvml)
        config = load_resolved(self.run_dir.config_path).config
        command = self._command(config, hardware.cores)
        log = self.run_dir.logs_dir / "launcher.log"
        offset = log.stat().st_size if log.exists() else 0
        self._record_start(command)
        launcher = start_bound(command.argv, {**os.environ, **command.env}, log)
        self.info.status, self.info.launcher_pid = "running", launcher.pid
        self.run_dir.write_info(self.info)
        self._say("running", f"torchrun has pid {launcher.pid}")
        sampler = Sampler(self.run_dir.path, hardware.gpus, nvml)
        health = HealthWatch(self.run_dir, config, self.info.nproc)
        sampler.start()
        health.start()
        killed = self._stay_with(launcher, health)
        health.stop()
        sampler.stop()
        left = kill_processes_of(self.run_dir.path)
        if left:
            self._say("ended", f"killed {len(left)} processes that were left over: {left}")
        if killed == "hang":
            return self._end_hang(health, config)
        self._record_end(launcher.returncode, killed == "request", outcome.log_since(log, offset))
        return False

    def _command(self, config: RunConfig, cores: int) -> Command:
        return rank_command(
            self.run_dir.path,
            nproc=self.info.nproc,
            master_port=config.parallel.master_port or free_port(),
            cores=cores,
            resume=self.info.attempt > 1,
            ckpt_path=self._own_checkpoint(config) if self._restarted_from else None,
            environ=os.environ,
            module=self.module,
        )

    def _own_checkpoint(self, config: RunConfig) -> Path | None:
        """What a run that began from another's checkpoint goes on from after a hang: its own last one."""
        saved = saved_steps(self.run_dir, config) if config.checkpoint.ckpt_path else {}
        return saved[max(saved)] if saved else None

    def _stay_with(self, launcher: subprocess.Popen[bytes], health: HealthWatch) -> Killed:
        """Wait for torchrun's end, passing on stop requests; returns why it was killed, if it was."""
        rotate_at = time.monotonic() + ROTATE_EVERY_S
        killed: Killed = None
        while True:
            try:
                launcher.wait(POLL_S)
                return killed
            except subprocess.TimeoutExpired:
                pass
            if self._stops_asked >= 1 and self._stops_done == 0:
                self._stops_done = 1
                self._request_stop()
            if not killed and (self._stops_asked >= 2 or control.kill_requested(self.run_dir)):
                killed = "request"
                self._say("stopping", "killed on request")
                kill_group(launcher)
            if not killed and health.demand:
                killed = "hang"
                self._say("stopping", f"killed because it hangs (on_hang: {health.demand})")
                kill_group(launcher)
            self._on_poll()
            if time.monotonic() >= rotate_at:
                logs.rotate(self.run_dir.logs_dir)
                rotate_at = time.monotonic() + ROTATE_EVERY_S

    def _end_hang(self, health: HealthWatch, config: RunConfig) -> bool:
        """Record a run that was ended because it hung; returns whether it is to go on from its checkpoint.

        Not a second time from the same checkpoint: the hang would only come again. Nor beside ranks that the
        kernel holds in a call on a disk: they would go on in the same files.
        """
        why = postmortem.why_it_hung(health.verdict)
        progress = outcome.read_progress(self.run_dir, since=self.info.started or 0.0)
        saved = max(saved_steps(self.run_dir, config), default=0)
        left = processes_of(self.run_dir.path)
        if left:
            self._say("ended", f"processes that cannot be killed are left: {left}")
        wanted = health.demand == "restart" and not self._stops_asked
        again = wanted and saved not in self._restarted_from and not left
        self._restarted_from.add(saved)
        self.info.steps = progress.steps
        if again:
            control.forget_answered(self.run_dir, progress.answered)
            self._say("restarting", f"{why} It goes on after step {saved}.")
        else:
            self._diagnose(health.verdict)
            self._end("failed", Exit(why))
        return again

    def _request_stop(self) -> None:
        try:
            control.request(self.run_dir, "stop")
            self._say("stopping", "a signal asked for a stop after this step; a second one kills")
        except OSError as error:
            self._say("running", f"a stop was asked for, but control.json cannot be written: {error}")

    def _record_start(self, command: Command) -> None:
        self.run_dir.reserve_path.write_bytes(os.urandom(RESERVE_BYTES))  # random: zeros may take no room
        self.info.status = "launching"
        self.info.command = command.argv
        answer_for(self.info)
        self.info.started, self.info.ended, self.info.exit = time.time(), None, None
        self.run_dir.write_info(self.info)
        self._say("launching", f"attempt {self.info.attempt}, {self.info.nproc} ranks")

    def _record_end(self, returncode: int, killed: bool, launcher_output: str) -> None:
        progress = outcome.read_progress(self.run_dir, since=self.info.started or 0.0)
        self.info.steps = progress.steps
        self.info.total_steps = progress.total_steps
        well = outcome.ended_well(progress, returncode)
        if killed:
            self._end("stopped", Exit("killed on request; steps since the last checkpoint are lost"))
        elif well:
            self._end(well, None)
            self._remember_memory()
        else:
            cause = outcome.explain(self.run_dir, returncode, launcher_output)
            self._diagnose(None)
            self._end("failed", cause)

    def _diagnose(self, hung: Verdict | None) -> None:
        """Write `diagnosis.json`: before the end is recorded, so that who waits for the end can read it."""
        try:
            diagnosis.write(self.run_dir, postmortem.examine(self.run_dir, hung=hung))
        except Exception as error:  # how it ended is recorded all the same
            self._say(self.info.status, f"no diagnosis: {error!r}")

    def _remember_memory(self) -> None:
        """Keep what the run needed, against what was predicted, for the next plan."""
        try:
            compared = measured.record(self.run_dir)
        except Exception as error:  # a run that has finished stays finished
            self._say(self.info.status, f"its measured memory is not remembered: {error!r}")
            return
        words = ", ".join(f"{c.phase} {c.ratio:.2f}" for c in compared)
        if words:
            self._say(self.info.status, f"measured memory / predicted: {words}")

    def _end(self, status: str, cause: Exit | None) -> None:
        self.info.status = status  # type: ignore[assignment]
        self.info.exit = cause
        self.info.ended = time.time()
        self.run_dir.reserve_path.unlink(missing_ok=True)
        self.run_dir.write_info(self.info)
        self._say(status, cause.cause if cause else "")

    def _say(self, state: str, message: str) -> None:
        self.events.emit(Status, state=state, message=message)
        stamp = time.strftime("%Y-%m-%d %H:%M:%S")
        with contextlib.suppress(OSError):  # a full disk must not end the run
            self._log.write(f"{stamp} {state}: {message}\n")

    def _on_stop_signal(self, number: int, frame: FrameType | None) -> None:
        self._stops_asked += 1


def main() -> int:
    """Supervise the run named on the command line."""
    parser = argparse.ArgumentParser(prog="python -m rftui.launch.supervisor")
    parser.add_argument("run_dir", type=Path)
    parser.add_argument("--module", default=ENGINE_MODULE, help="module that torchrun starts")
    options = parser.parse_args()
    return Supervisor(RunDir(options.run_dir.resolve()), options.module).run()


if __name__ == "__main__":
    sys.exit(main())
