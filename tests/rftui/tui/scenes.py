"""Screens with fixed data and a clock that stands still: what snapshots show, and what is mashed."""

import os
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import pytest
from fake_cluster import FakeCluster
from fake_run import FakeRun, finished_run
from fake_samples import keep_samples

from diagnostics import hardware, preflight
from diagnostics.doctor.check import CannotCheck, Check, Ok
from diagnostics.doctor.host import Host
from diagnostics.hardware import Hardware, detect
from diagnostics.nvml import Nvml
from engine.config.load import Layer, dump_resolved, resolve
from engine.findings import Finding, Fix
from presets import loader
from rftui.launch.command import Command
from rftui.runs.rundir import RunDir
from rftui.runs.view import RunView
from rftui.tui import home
from rftui.tui.home import Badge, PresetRow
from rftui.tui.planning import consider
from rftui.tui.planning import words as planning_words
from rftui.tui.reader import RunReader
from rftui.tui.screens import doctor_examining
from tests.diagnostics.fake_nvml import H200, FakeNvml

NOW = 1_780_000_000.0
"""28 May 2026, 20:26:40 UTC."""
GIB = 1 << 30
RUNS = Path("runs")
WATCHED, ENDED, BROKEN = "qwen7b-gsm8k", "lr-1e-6", "lr-5e-4"


@dataclass(frozen=True)
class Scene:
    """A screen to look at: the area, keys pressed there, and words that stand there when it is complete."""

    name: str
    area: str
    words: tuple[str, ...]
    run: str | None = None
    keys: tuple[str, ...] = ()
    preset: str = ""


SCENES = (
    Scene("home", "home", ("3 runs, 1 running", "✔ fits", "▲ 2 warnings")),
    Scene("plan", "plan", ("plan quickstart", "✔ fits"), preset="quickstart"),
    Scene("live", "live", ("● running", "step 60/200"), WATCHED),
    Scene("live-ended", "live", ("✔ finished", "step 80/80"), ENDED),
    Scene("live-zoomed", "live", ("✔ finished", "step 80/80"), ENDED, keys=("z", "c")),
    Scene("logs", "logs", ("step 60 reward",), WATCHED),
    Scene("samples", "samples", ("step 12", "In May she sold"), ENDED),
    Scene("runs", "runs", (WATCHED, ENDED, BROKEN)),
    Scene("compare", "runs", (ENDED, BROKEN, "reward"), keys=("down", "space", "down", "space", "c")),
    Scene("doctor", "doctor", ("✖ 1 error", "▲ 1 warning")),
    Scene("help", "home", ("esc closes",), keys=("question_mark",)),
    Scene("stop", "live", ("● running", "step 60/200", "Stop"), WATCHED, keys=("K",)),
)


def make_runs(runs_dir: Path) -> None:
    """A run of 8 GPUs that goes on with one rank late, one that finished, one that failed."""
    ended = finished_run(runs_dir, ENDED, steps=80, age_s=9000, ranks=2)
    _configure(ended, 1e-6)
    keep_samples(ended, *range(1, 13))
    broken = FakeRun(runs_dir, BROKEN, total=80, ranks=2, age_s=90_000)
    for _ in range(30):
        broken.step()
    broken.end("failed", "rank 1: CUDA out of memory", {"1": "exit code 1"})
    _configure(broken.run, 5e-4)
    cluster = FakeCluster(runs_dir, WATCHED, ranks=8, total=200, age_s=510)
    for _ in range(60):
        cluster.step()
    cluster.now = NOW - 5
    cluster.straggle(6)
    cluster.alert("KL 0.31 exceeds the limit of 0.1")
    cluster.log(6, "[rank6]: WARNING gradient all-reduce slow: 9.8 s, median 1.1 s")
    _configure(cluster.run, 2e-6)
    for run, changed in ((ended, NOW - 8000), (broken.run, NOW - 89_000), (cluster.run, NOW - 2)):
        for path in (run.path, *run.path.rglob("*")):
            os.utime(path, (changed, changed))


def still(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One moment, one machine, no settings of the user's; runs are found in `RUNS`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    monkeypatch.setattr(time, "time", lambda: NOW)
    monkeypatch.setattr(RunReader.__init__, "__defaults__", (lambda: NOW,))
    monkeypatch.setitem(RunView.__init__.__kwdefaults__, "clock", lambda: NOW)
    monkeypatch.setattr(socket, "gethostname", lambda: "node0")
    machine = fixed_machine()
    for module in (hardware, consider):
        monkeypatch.setattr(module, "detect", lambda *_, **__: machine)
    monkeypatch.setattr(preflight, "free_port", lambda: 29500)
    monkeypatch.setattr(loader, "user_dir", lambda: tmp_path / "presets")
    monkeypatch.setattr(home, "doctor_badge", lambda: Badge(0, 2))
    monkeypatch.setattr(home, "planned", _fits)
    monkeypatch.setattr(doctor_examining, "known_checks", made_checks)
    monkeypatch.setattr(planning_words, "rank_line", lambda *_: Command(["torchrun", "…"], {"RANKS": "8"}))


def fixed_machine() -> Hardware:
    """Eight H200 in a host that is the same everywhere."""
    seen = detect(Nvml(FakeNvml([H200] * 8)), environ={})
    return msgspec.structs.replace(
        seen,
        host="node0",
        cores=96,
        memory_total=1024 * GIB,
        memory_available=960 * GIB,
        problems=(),
        memory_limit=None,
        oom_kills=None,
        swap_total=0,
        swap_free=0,
        shm_total=512 * GIB,
        shm_free=511 * GIB,
        disk_total=7000 * GIB,
        disk_free=5200 * GIB,
        numa_nodes=2,
    )


def made_checks() -> tuple[Check, ...]:
    """Checks with fixed answers, of each kind."""
    return (
        _check("host.ram", lambda host: Ok("960 GiB of 1024 GiB are free")),
        _check("gpu.ecc", lambda host: Ok("no uncorrected error on 8 GPUs")),
        _check("host.shm", lambda host: _finding("host.shm", "warning", "/dev/shm has 64 MiB, too few")),
        _check("host.disk", lambda host: _finding("host.disk", "error", "the disk of runs has 2 GB left")),
        _check("net.hub", _cannot),
    )


def _check(id: str, run: Callable[[Host], object]) -> Check:
    return Check(id, f"{id} is well", "fast", run)  # type: ignore[arg-type]


def _finding(id: str, severity: str, cause: str) -> Finding:
    fixes = (Fix("make room", command="df -h"),)
    return Finding(id, severity, cause, ("seen with df",), fixes)  # type: ignore[arg-type]


def _cannot(host: Host) -> object:
    raise CannotCheck("huggingface.co does not answer")


def _fits(row: PresetRow) -> PresetRow:
    return replace(row, fits=True, peak_gb=0.8)


def _configure(run: RunDir, rate: float) -> None:
    given = {"pretrain": "toy:sort", "actor_learning_rate": rate}
    run.config_path.write_text(dump_resolved(resolve([Layer("preset quickstart", given)])))


def sizes() -> Sequence[tuple[int, int]]:
    """The sizes at which screens are looked at."""
    return ((80, 24), (120, 40), (200, 60))
