"""What the live screen shows at one moment, as immutable values: taken in one thread, painted in another."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import fmean

from engine.events import Sample
from engine.findings import Finding
from rftui.runs.compared import Compared
from rftui.runs.info import ACTIVE
from rftui.runs.series import Bucket
from rftui.runs.view import RunView
from rftui.tui import catalog
from rftui.tui.text import clean_line

PHASE_ORDER = ("rollout", "reward", "logprob", "offload", "update", "sync", "eval", "checkpoint")
PHASE_STEPS = 10
"""Steps over which the phase panel averages."""
ALIVE_S = 30.0
"""A rank that wrote within this time counts as alive; heartbeats come every 5 seconds."""


@dataclass(frozen=True, slots=True)
class RankMemory:
    """Memory of one rank in bytes; what was not told is 0, device fields without a device too."""

    rank: int
    rss: int
    used: int = 0
    peak: int = 0
    total: int = 0
    host_total: int = 0


@dataclass(frozen=True, slots=True)
class Notice:
    """A line of the alert strip."""

    severity: str
    text: str


@dataclass(frozen=True, slots=True)
class Curve:
    """A metric summarised in a number of columns."""

    columns: int = 0
    buckets: tuple[Bucket, ...] = ()


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One moment of a run. `curves` holds the metrics that were asked for."""

    name: str
    status: str
    step: int = 0
    total: int | None = None
    eta_s: float | None = None
    took_s: float | None = None
    alive: int = 0
    ranks: int = 0
    attempt: int = 1
    loading: int = 0
    """Bytes of events still to be read."""
    latest: Mapping[str, float] = field(default_factory=dict)
    metrics: tuple[catalog.Metric, ...] = catalog.PLANNED
    x: tuple[int, int] = (0, 0)
    curves: Mapping[str, Curve] = field(default_factory=dict)
    phases: Mapping[str, float] = field(default_factory=dict)
    phase_now: str = ""
    phase_steps: int = 0
    memory: tuple[RankMemory, ...] = ()
    compared: tuple[Compared, ...] = ()
    """Predicted and measured memory per phase."""
    sample: Sample | None = None
    notices: tuple[Notice, ...] = ()

    @property
    def active(self) -> bool:
        """Whether the run may still change by itself."""
        return self.status in (*ACTIVE, "stalled")


def take(view: RunView, columns: Mapping[str, int], now: float | None = None) -> Snapshot:
    """The view at this moment, with each metric of `columns` in that many columns."""
    now = time.time() if now is None else now
    info = view.info
    bounds = [series.bounds() for series in view.series.values() if len(series)]
    x = (int(min(b[0] for b in bounds)), int(max(b[1] for b in bounds))) if bounds else (0, 0)
    phases, phase_steps = _phases(view)
    running = view.status in (*ACTIVE, "stalled")
    left = (view.total_steps or 0) - view.step
    return Snapshot(
        name=clean_line(info.name),
        status=view.status,
        step=view.step,
        total=view.total_steps,
        eta_s=left * view.step_seconds
        if view.status == "running" and left > 0 and view.step_seconds
        else None,
        took_s=info.ended - info.started if info.ended and info.started else None,
        alive=sum(now - rank.last_seen < ALIVE_S for rank in view.ranks.values()) if running else 0,
        ranks=max(info.nproc, len(view.ranks)),
        attempt=info.attempt,
        loading=view.behind,
        latest=dict(view.latest),
        metrics=tuple(catalog.charted(view.series)),
        x=x,
        curves={
            name: Curve(count, tuple(view.series[name].window(*x, count)))
            for name, count in columns.items()
            if name in view.series and count > 0
        },
        phases=phases,
        phase_now=view.ranks[0].phase if running and 0 in view.ranks else "",
        phase_steps=phase_steps,
        memory=_memory(view),
        compared=tuple(view.compared),
        sample=view.samples[-1] if view.samples else None,
        notices=tuple(_notices(view)),
    )


def _phases(view: RunView) -> tuple[dict[str, float], int]:
    """Mean seconds per phase over the last complete steps, and how many steps those are."""
    steps = list(view.phase_totals)
    if len(steps) > 1 and view.status in (*ACTIVE, "stalled"):
        steps = steps[:-1]
    steps = steps[-PHASE_STEPS:]
    names = {name for step in steps for name in view.phase_totals[step]}
    ordered = [n for n in PHASE_ORDER if n in names] + sorted(names - set(PHASE_ORDER))
    return {n: fmean(view.phase_totals[s].get(n, 0.0) for s in steps) for n in ordered}, len(steps)


def _memory(view: RunView) -> tuple[RankMemory, ...]:
    """Memory per rank; the device's total is known where one host's GPUs are numbered like the ranks."""
    hosts = {host for host, _ in view.gpus}
    totals = {i: gpu.memory_total or 0 for (_, i), gpu in view.gpus.items()} if len(hosts) == 1 else {}
    return tuple(
        RankMemory(
            rank=rank,
            rss=state.memory.rss,
            used=state.memory.reserved,
            peak=state.memory_peak if state.memory.peak else 0,
            total=totals.get(rank, 0) if state.memory.reserved else 0,
            host_total=view.state.hosts[state.header.host].memory_total
            if state.header and state.header.host in view.state.hosts
            else 0,
        )
        for rank, state in sorted(view.ranks.items())
        if state.memory is not None
    )


def _notices(view: RunView) -> list[Notice]:
    """Why the run ended or cannot be read, then failed saves, then alerts, errors first."""
    found: list[Notice] = []
    if view.info_problem:
        found.append(Notice("error", view.info_problem.replace(f"{view.run_dir.path}/", "")))
    elif view.status == "lost":
        found.append(Notice("error", f"the supervisor is gone: rft resume {view.info.name}"))
    if view.info.exit is not None and view.status != "finished":
        severity = "info" if view.status == "stopped" else "error"
        cause, ranks = view.info.exit.cause, view.info.exit.ranks
        found.append(Notice(severity, cause))
        found += [
            Notice(severity, f"rank {rank}: {said}")
            for rank, said in ranks.items()
            if not cause.startswith(f"rank {rank}:")
        ]
    if view.state.failed_checkpoint is not None:
        failed = view.state.failed_checkpoint
        found.append(Notice("warning", f"checkpoint of step {failed.step} failed: {failed.message}"))
    alerts = sorted(view.alerts.values(), key=lambda alert: alert.finding.severity != "error")
    found += [_of(alert.finding) for alert in alerts]
    if view.skipped:
        found.append(Notice("info", f"{view.skipped} damaged or unknown event lines passed over"))
    return [Notice(notice.severity, clean_line(notice.text.replace("\n", " "))) for notice in found]


def _of(finding: Finding) -> Notice:
    todo = f" → {finding.fixes[0].text}" if finding.fixes else ""
    return Notice(finding.severity, f"{finding.id}: {finding.cause}{todo}")
