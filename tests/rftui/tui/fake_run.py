"""Writes a run directory that looks like a real one, so that screens can be tested without training."""

import math
import os
import random
import socket
import time
from pathlib import Path
from typing import Any

from engine.events import Alert, EventWriter, Gpu, Heartbeat, Memory, Metric, Phase, Sample, Status
from engine.findings import Finding, Fix
from rftui.runs.info import Exit, RunInfo, started_after_boot
from rftui.runs.rundir import RunDir, create

GIB = 1 << 30
PROMPT = "Natalia sold clips to 48 of her friends in April, and then half as many in May. How many in total?"
RESPONSE = "In May she sold 48 / 2 = 24 clips.\nTogether that is 48 + 24 = 72.\n#### 72"
PHASES = {"rollout": 5.1, "reward": 0.15, "logprob": 0.9, "update": 1.75, "sync": 0.2}


class FakeRun:
    """A run that grows by `step()` and ends by `end()`; its clock starts `age_s` ago and runs by itself.

    `supervisor` (default: this process) stands in for the supervisor: the run is alive while it exists.
    """

    def __init__(
        self,
        runs_dir: Path,
        name: str,
        *,
        total: int = 300,
        ranks: int = 2,
        gpu: bool = True,
        age_s: float = 3000,
        supervisor: int = 0,
    ) -> None:
        self.run: RunDir = create(runs_dir, name)
        self.total, self.ranks, self.gpu = total, ranks, gpu
        self.now = time.time() - age_s
        self.done = 0
        self.random = random.Random(0)
        self.pace = 1.0
        """Times as long as usual that phases take."""
        self.info = RunInfo(
            name=name,
            status="running",
            created=self.now,
            started=self.now,
            preset="quickstart",
            nproc=ranks,
            host=socket.gethostname(),
            supervisor_pid=supervisor or os.getpid(),
            supervisor_started=started_after_boot(supervisor or os.getpid()),
            total_steps=total,
        )
        self.run.write_info(self.info)
        self.writers = [
            EventWriter(self.run.events_dir / f"rank-{rank:05d}.jsonl", rank=rank, world_size=ranks)
            for rank in range(ranks)
        ]
        self._emit(0, Status, state="running", step=0, total_steps=total)
        self.evaluate()

    def step(self) -> None:
        """One optimizer step: every phase on every rank, the metrics, a line in every log."""
        self.done += 1
        step, start = self.done, self.now
        times = {f"time/{name}": self._phase(step, name, seconds) for name, seconds in PHASES.items()}
        for rank in range(self.ranks):
            self._emit(rank, Heartbeat, step=step, phase="update")
            if self.gpu:
                self._emit(rank, Gpu, **self._gpu(rank))
        values = self._values(step, self.now - start)
        self._emit(0, Metric, step=step, values=values | times)
        if step % 25 == 0:
            self._emit(0, Sample, step=step, prompt=PROMPT, response=RESPONSE, reward=1.0, label="1 7 4")
        for rank in range(self.ranks):
            self.log(rank, f"step {step} reward {values['reward/mean']:.3f} kl {values['kl/ref']:.4f}")
        if step % 50 == 0:
            self.evaluate()

    def evaluate(self) -> None:
        """The held-out accuracy, in an event of its own."""
        self._phase(self.done, "eval", 2.2)
        self._emit(
            0, Metric, step=self.done, values={"eval/accuracy": 0.3 + 0.66 * self._progress(self.done)}
        )

    def log(self, rank: int, line: str) -> None:
        """Append a line to a rank's log, stamped with the run's clock."""
        stamp = time.strftime("%H:%M:%S", time.localtime(self.now))
        with (self.run.logs_dir / f"rank-{rank:05d}.log").open("a") as file:
            file.write(f"{stamp} {line}\n")

    def alert(self, cause: str, id: str = "policy.kl-high") -> None:
        """Raise a warning."""
        finding = Finding(id=id, severity="warning", cause=cause, fixes=(Fix("lower lr"),))
        self._emit(0, Alert, state="raised", finding=finding, step=self.done)

    def end(self, status: str, cause: str = "", ranks: dict[str, str] | None = None) -> None:
        """Close the run as the supervisor would."""
        self.info.status = status  # type: ignore[assignment]
        self.info.ended = self.now
        self.info.steps = self.done
        self.info.supervisor_pid = None
        if cause:
            self.info.exit = Exit(cause, ranks or {})
        self.run.write_info(self.info)

    def _phase(self, step: int, name: str, seconds: float) -> float:
        seconds *= self.pace * self.random.uniform(0.9, 1.15)
        for rank in range(self.ranks):
            self._emit(rank, Phase, step=step, name=name, state="begin")
        self.now += seconds
        for rank in range(self.ranks):
            self._emit(rank, Phase, step=step, name=name, state="end", seconds=seconds)
            self._emit(rank, Memory, step=step, phase=name, **self._memory(name, rank))
        return seconds

    def _progress(self, step: int) -> float:
        return 1 / (1 + math.exp(-(step - self.total * 0.38) / (self.total * 0.11)))

    def _emit(self, rank: int, kind: type[Any], **fields: Any) -> None:
        self.writers[rank].write(kind(t=self.now, rank=rank, **fields))

    def _values(self, step: int, seconds: float) -> dict[str, float | None]:
        noise = self.random.gauss
        progress = self._progress(step)
        reward = 0.22 + 0.7 * progress + noise(0, 0.028)
        length = 412 - 120 * progress + noise(0, 9)
        return {
            "reward/mean": reward,
            "reward/std": math.sqrt(max(reward * (1 - reward), 0.01)),
            "kl/ref": max(0.0, 0.031 * progress + noise(0, 0.0012))
            + (0.02 if step == self.total * 3 // 5 else 0),
            "kl/old": abs(noise(2e-4, 1e-4)),
            "response/length_mean": length,
            "response/length_max": 640.0,
            "response/truncated": max(0.0, 0.05 * (1 - progress) + noise(0, 0.006)),
            "policy/entropy": 0.92 - 0.55 * progress + noise(0, 0.012),
            "policy/clip_low": abs(noise(0.004, 0.002)),
            "policy/clip_high": abs(noise(0.012, 0.004)),
            "policy/loss": noise(0, 0.012),
            "grad/norm": 0.3 + abs(noise(0.25, 0.12)) + 0.5 * math.exp(-step / 20),
            "lr/actor": 1e-4 * min(1.0, (step + 1) / 20),
            "rollout/zero_variance_groups": float(int(28 * progress)),
            "throughput/tokens_per_s": 256 * length / seconds,
            "time/step": seconds,
        }

    def _memory(self, phase: str, rank: int) -> dict[str, int]:
        if not self.gpu:
            return {"rss": int((1.1 + 0.05 * rank) * GIB)}
        busy = {"rollout": 16.5, "update": 18.2}.get(phase, 11.0) + 0.2 * rank
        return {
            "rss": int((3.2 + 0.1 * rank) * GIB),
            "allocated": int(busy * GIB),
            "reserved": int((busy + 1) * GIB),
            "peak": int((busy + 1.7) * GIB),
        }

    def _gpu(self, rank: int) -> dict[str, Any]:
        return {
            "host": "node0",
            "index": rank,
            "name": "NVIDIA A10G",
            "memory_used": 20 * GIB,
            "memory_total": 24 * GIB,
            "utilization": 91.0,
            "power": 228.0,
            "temperature": 63.0,
        }


def finished_run(runs_dir: Path, name: str = "qwen-gsm8k", steps: int = 300, **options: Any) -> RunDir:
    """A run of `steps` steps that finished well."""
    fake = FakeRun(runs_dir, name, total=steps, **options)
    for _ in range(steps):
        fake.step()
    fake.end("finished")
    return fake.run
