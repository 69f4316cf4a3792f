"""The present health of a run, from its events alone: where each rank is, and what is wrong."""

import time

import msgspec

from diagnostics.health.monitor import Monitor
from diagnostics.health.observed import Observed, RankSeen
from engine.config.load import load_resolved
from engine.findings import Finding, Fix
from rftui.runs.follow import EventFollower
from rftui.runs.info import ACTIVE
from rftui.runs.rundir import RunDir
from rftui.runs.state import RunState
from rftui.runs.view import status_of

_TAIL_BYTES = 1 << 20
_SEVERITIES = ("error", "warning", "info")


class RankHealth(msgspec.Struct, frozen=True, kw_only=True):
    """One rank. Seconds; `collective` is the one in flight, or the last one."""

    rank: int
    step: int
    phase: str
    in_phase: float
    last_sign: float
    """Since its last event of any kind."""
    collective: str = ""
    waiting: float | None = None
    """How long that collective has been in flight; None when it is over."""
    wait_share: float | None = None
    """Of the newest steps' time, spent in collectives that need all ranks; None where nothing is known."""


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """What `rft health` tells."""

    run: str
    status: str
    step: int
    ranks: tuple[RankHealth, ...]
    findings: tuple[Finding, ...]


def present_health(run: RunDir, now: float | None = None) -> Health:
    """Read the newest events of a run, live or ended; FindingsError where it cannot be read as a run."""
    now = time.time() if now is None else now
    info = run.read_info()
    state, monitor = RunState(), Monitor(load_resolved(run.config_path).config, run.in_commands)
    follower = EventFollower(run.events_dir, tail_bytes=_TAIL_BYTES)
    while events := follower.poll():
        state.apply(events)
        monitor.take(event for event in events if event.t >= (info.started or 0.0))
    status = status_of(info, state, now)
    live = status in (*ACTIVE, "stalled")
    findings = {finding.id: finding for finding in monitor.look(now, live=live)}
    findings |= {id: alert.finding for id, alert in state.alerts.items()}
    if status == "failed" and info.exit is not None:
        fix = Fix("see why, and what to do", command=f"rft diagnose {run.path}")
        findings["run.failed"] = Finding("run.failed", "error", f"it failed: {info.exit.cause}", fixes=(fix,))
    if any(id.startswith("hang.") and id != "hang.suspected" for id in findings):
        findings.pop("hang.suspected", None)  # it was looked into
    return Health(
        run=run.name,
        status=status,
        step=monitor.seen.step,
        ranks=tuple(_rank(monitor.seen, rank, now) for _, rank in sorted(monitor.seen.ranks.items())),
        findings=tuple(sorted(findings.values(), key=lambda each: _SEVERITIES.index(each.severity))),
    )


def _rank(seen: Observed, rank: RankSeen, now: float) -> RankHealth:
    beat = rank.heartbeat
    return RankHealth(
        rank=rank.rank,
        step=rank.step,
        phase=rank.phase,
        in_phase=max(0.0, now - rank.since),
        last_sign=max(0.0, now - rank.last_seen),
        collective=f"{beat.op} {beat.seq} of {beat.group}" if beat and beat.op else "",
        waiting=beat.waiting if beat else None,
        wait_share=_wait_share(seen, rank),
    )


def _wait_share(seen: Observed, rank: RankSeen) -> float | None:
    steps = {step for step, _ in seen.waits}
    waited = sum(waits.get(rank.rank, 0.0) for waits in seen.waits.values())
    spent = sum(seconds for done in rank.durations.values() for step, seconds in done if step in steps)
    return min(1.0, waited / spent) if spent else None
