"""Runs held against each other: their curves over one axis, settings that differ, numbers at the end."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from typing import Any

from engine.config.load import load_resolved
from engine.config.values import show
from engine.findings import FindingsError
from rftui.runs.listing import REWARD
from rftui.runs.rundir import RunDir
from rftui.runs.view import RunView
from rftui.tui.axis import AxisName, Span, Stretch
from rftui.tui.catalog import charted
from rftui.tui.curves import Curve, Wanted, axes_of, bounds_of, curves

LETTERS = "abcdefgh"
NOT_THERE = "—"
UNREADABLE = "not readable"


@dataclass(frozen=True)
class Asked:
    """What is to be drawn."""

    metric: str = REWARD
    axis: AxisName = "step"
    columns: int = 100


@dataclass(frozen=True)
class Compared:
    """One run of a comparison; `letter` stands for it in the chart. `behind`: bytes still unread."""

    letter: str
    name: str
    status: str
    step: int
    curve: Curve = field(default_factory=Curve)
    behind: int = 0
    problem: str = ""


@dataclass(frozen=True)
class Difference:
    """A setting that is not the same in all runs."""

    key: str
    values: tuple[str, ...]


@dataclass(frozen=True)
class Delta:
    """A number of each run at its end, and how far the others are from the first: absolute and relative."""

    metric: str
    values: tuple[float | None, ...]
    deltas: tuple[float | None, ...]
    shares: tuple[float | None, ...]


@dataclass(frozen=True)
class Comparison:
    """One moment of it."""

    asked: Asked
    runs: tuple[Compared, ...]
    x: Span
    metrics: tuple[str, ...]
    """Those that any of the runs tells, the known ones first."""
    axes: tuple[AxisName, ...]
    differences: tuple[Difference, ...]
    deltas: tuple[Delta, ...]


class Comparer:
    """Reads the runs as their screens do, and keeps what was read, by the runs' folders."""

    def __init__(self, runs: Sequence[RunDir], view_of: Callable[[RunDir], RunView] = RunView) -> None:
        self.runs = runs
        self.views: dict[Path, RunView] = {}
        self._view_of = view_of
        self._settings: dict[Path, Mapping[str, str] | None] = {}

    def advance(self, budget_s: float) -> int:
        """Read on for about that long; how many bytes are left."""
        deadline = time.monotonic() + budget_s
        for run in self.runs:
            view = self.views.get(run.path)
            if view is None:
                view = self.views[run.path] = self._view_of(run)
                self._settings[run.path] = settings(run)
            view.refresh(max(0.0, deadline - time.monotonic()))
        return sum(view.behind for view in self.views.values())

    def look(self, asked: Asked) -> Comparison:
        """What was read so far."""
        views = [self.views[run.path] for run in self.runs]
        axes = _common_axes(views)
        axis = asked.axis if asked.axis in axes else axes[0]
        bounds = [bounds_of(view, axis) for view in views if view.series]
        x = (min(low for low, _ in bounds), max(high for _, high in bounds)) if bounds else (0.0, 0.0)
        names = {name for view in views for name in view.series}
        metrics = tuple(metric.name for metric in charted(names) if metric.name in names)
        wanted = Wanted({asked.metric: asked.columns}, Stretch(axis))
        runs = [
            Compared(
                letter,
                view.run_dir.name,
                "unreadable" if view.info_problem else view.status,
                view.step,
                curves(view, wanted, x).get(asked.metric, Curve()) if view.series else Curve(),
                view.behind,
                view.info_problem,
            )
            for letter, view in zip(LETTERS, views, strict=False)
        ]
        return Comparison(
            Asked(asked.metric, axis, asked.columns),
            tuple(runs),
            x,
            metrics,
            axes,
            tuple(differences([self._settings[run.path] for run in self.runs])),
            tuple(deltas([numbers(view) for view in views], ("steps", "duration", "best reward", *metrics))),
        )


def settings(run: RunDir) -> Mapping[str, str] | None:
    """`section.key` → value as in YAML; None where the configuration cannot be read."""
    try:
        sections = load_resolved(run.config_path).config.model_dump()
    except (FindingsError, OSError):
        return None
    return {
        f"{section}.{key}": show(value) for section, keys in sections.items() for key, value in keys.items()
    }


def differences(found: Sequence[Mapping[str, str] | None]) -> list[Difference]:
    """The settings that are not the same in all runs; one row says whose cannot be read."""
    readable = [each for each in found if each is not None]
    rows = []
    if len(readable) < len(found):
        rows.append(
            Difference("configuration", tuple(UNREADABLE if each is None else "read" for each in found))
        )
    for key in dict.fromkeys(key for each in readable for key in each):
        if len({each.get(key, NOT_THERE) for each in readable}) > 1:
            values = (UNREADABLE if each is None else each.get(key, NOT_THERE) for each in found)
            rows.append(Difference(key, tuple(values)))
    return rows


def numbers(view: RunView) -> dict[str, float]:
    """What a run came to: its last values, its best reward, how long it took and how far it came."""
    found = {name: value for name, value in view.latest.items() if isfinite(value)}
    found["steps"] = float(view.step)
    series = view.series.get(REWARD)
    if series is not None and len(series):
        best = max((value for value in series.values if isfinite(value)), default=None)
        if best is not None:
            found["best reward"] = best
    if view.info.started is not None:
        until = view.info.ended or view.state.last_event
        if until:
            found["duration"] = max(0.0, until - view.info.started)
    return found


def deltas(found: Sequence[Mapping[str, Any]], order: Sequence[str]) -> list[Delta]:
    """A row per number that any run has, in this order; the first run is what others are held against."""
    rows = []
    for name in order:
        values = tuple(each.get(name) for each in found)
        if all(value is None for value in values):
            continue
        first = values[0]
        apart = tuple(None if first is None or value is None else value - first for value in values)
        shares = tuple(None if by is None or not first else by / abs(first) for by in apart)
        rows.append(Delta(name, values, apart, shares))
    return rows


def _common_axes(views: Sequence[RunView]) -> tuple[AxisName, ...]:
    """Tokens only where all runs tell theirs."""
    told = [set(axes_of(view)) for view in views if view.series]
    return tuple(axis for axis in ("step", "wall", "tokens") if all(axis in each for each in told))
