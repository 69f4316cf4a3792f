"""What the live screen shows at one moment, as immutable values: taken in one thread, painted in another."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from statistics import fmean

from engine.events import Sample
from rftui.runs.compared import Compared
from rftui.runs.info import ACTIVE
from rftui.runs.view import RunView
from rftui.tui import catalog
from rftui.tui.axis import AxisName, Span
from rftui.tui.baseline import Baseline
from rftui.tui.curves import Curve, Wanted, axes_of, bounds_of, curves
from rftui.tui.devices import Device, devices
from rftui.tui.notices import Notice, notices_of
from rftui.tui.ranks import Ranks, ranks_of
from rftui.tui.text import clean_line

PHASE_ORDER = ("rollout", "reward", "logprob", "offload", "update", "sync", "eval", "checkpoint")
IDLE = "idle"
"""What is left of a step beside its phases."""
PHASE_STEPS = 10
"""Steps over which the phase panel averages."""
TIMELINE_STEPS = 128
ALIVE_S = 30.0
"""A rank that wrote within this time counts as alive; heartbeats come every 5 seconds."""


@dataclass(frozen=True, slots=True)
class StepTime:
    """How one step's time was spent: seconds by phase in the order of a step, what is left as `idle`."""

    step: int
    seconds: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One moment of a run. `curves` holds the metrics that were asked for, over `x` along `axis`."""

    name: str
    status: str
    step: int = 0
    total: int | None = None
    eta_s: float | None = None
    took_s: float | None = None
    alive: int = 0
    n_ranks: int = 0
    attempt: int = 1
    loading: int = 0
    """Bytes of events still to be read."""
    latest: Mapping[str, float] = field(default_factory=dict)
    metrics: tuple[catalog.Metric, ...] = catalog.PLANNED
    axis: AxisName = "step"
    axes: tuple[AxisName, ...] = ("step",)
    bounds: Span = (0.0, 0.0)
    """First and last x of the run along `axis`."""
    x: Span = (0.0, 0.0)
    curves: Mapping[str, Curve] = field(default_factory=dict)
    phases: Mapping[str, float] = field(default_factory=dict)
    """Mean seconds over the last steps."""
    phase_now: str = ""
    phase_steps: int = 0
    timeline: tuple[StepTime, ...] = ()
    """The newest steps, oldest first."""
    devices: tuple[Device, ...] = ()
    ranks: Ranks = field(default_factory=Ranks)
    compared: tuple[Compared, ...] = ()
    """Predicted and measured memory per phase."""
    sample: Sample | None = None
    notices: tuple[Notice, ...] = ()
    baseline: Baseline | None = None
    """Another run behind the charts."""

    @property
    def active(self) -> bool:
        """Whether the run may still change by itself."""
        return self.status in (*ACTIVE, "stalled")


def take(view: RunView, wanted: Wanted, now: float | None = None) -> Snapshot:
    """The view at this moment, with the curves that are wanted."""
    now = time.time() if now is None else now
    info = view.info
    running = view.status in (*ACTIVE, "stalled")
    axes = axes_of(view)
    if wanted.stretch.axis not in axes:
        wanted = replace(wanted, stretch=replace(wanted.stretch, axis="step"))
    bounds = bounds_of(view, wanted.stretch.axis)
    x = wanted.stretch.span(bounds, running)
    timeline = _timeline(view, running)
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
        n_ranks=max(info.nproc, len(view.ranks)),
        attempt=info.attempt,
        loading=view.behind,
        latest=dict(view.latest),
        metrics=tuple(catalog.charted(view.series)),
        axis=wanted.stretch.axis,
        axes=axes,
        bounds=bounds,
        x=x,
        curves=curves(view, wanted, x),
        phases=_mean(timeline[-PHASE_STEPS:]),
        phase_now=view.ranks[0].phase if running and 0 in view.ranks else "",
        phase_steps=min(PHASE_STEPS, len(timeline)),
        timeline=timeline,
        devices=devices(view, now, running),
        ranks=ranks_of(view, now, running),
        compared=tuple(view.compared),
        sample=view.samples[-1] if view.samples else None,
        notices=notices_of(view),
    )


def _timeline(view: RunView, running: bool) -> tuple[StepTime, ...]:
    """The newest complete steps."""
    steps = list(view.phase_totals)
    if len(steps) > 1 and running:
        steps = steps[:-1]
    return tuple(_step_time(view, step) for step in steps[-TIMELINE_STEPS:])


def _step_time(view: RunView, step: int) -> StepTime:
    spent = view.phase_totals[step]
    names = [n for n in PHASE_ORDER if n in spent] + sorted(spent.keys() - set(PHASE_ORDER))
    begin, end = view.state.step_spans.get(step, (0.0, 0.0))
    idle = max(0.0, end - begin - sum(spent.values()))
    return StepTime(step, {name: spent[name] for name in names} | {IDLE: idle})


def _mean(steps: tuple[StepTime, ...]) -> dict[str, float]:
    """Mean seconds per phase."""
    names = {name for step in steps for name in step.seconds} - {IDLE}
    ordered = [n for n in PHASE_ORDER if n in names] + sorted(names - set(PHASE_ORDER))
    return (
        {name: fmean(step.seconds.get(name, 0.0) for step in steps) for name in [*ordered, IDLE]}
        if steps
        else {}
    )
