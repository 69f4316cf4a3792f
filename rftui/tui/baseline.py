"""Another run behind the charts of the one that is shown: which ones would do, and their curves."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

from rftui.runs.digest import settings_of
from rftui.runs.info import ACTIVE
from rftui.runs.listing import RunSummary, list_runs
from rftui.runs.rundir import RunDir
from rftui.runs.view import RunView
from rftui.tui.axis import AxisName, Span
from rftui.tui.blocks import cut_middle
from rftui.tui.curves import Curve, Wanted, axes_of, curves
from rftui.tui.text import clean_line, number

LETTER = "b"
MOST_OFFERED = 40
READ_S = 0.2
_NAME = 22
LIKENESS = {"model": "model.pretrain", "data": "data.prompt_data"}


@dataclass(frozen=True, slots=True)
class Baseline:
    """One moment of it: its curves over the stretch that the charts show. `loading`: bytes still unread."""

    name: str
    curves: Mapping[str, Curve] = field(default_factory=dict)
    loading: int = 0


class BaselineReader:
    """Reads that run as its own screen would. For the thread that reads."""

    def __init__(self, run: RunDir) -> None:
        self.run = run
        self._view = RunView(run)

    def advance(self) -> int:
        """Read on for up to `READ_S`; bytes still unread. What is read whole and has ended stays as it is."""
        view = self._view
        if not view.complete or view.info_problem or view.status in (*ACTIVE, "stalled"):
            view.refresh(READ_S)
        return view.behind

    def look(self, wanted: Wanted, axis: AxisName, x: Span) -> Baseline:
        """The same metrics over the same stretch; nothing along an axis that the run does not tell."""
        view = self._view
        wanted = replace(wanted, stretch=replace(wanted.stretch, axis=axis))
        found = curves(view, wanted, x) if view.series and axis in axes_of(view) else {}
        return Baseline(self.run.name, found, view.behind)


class Candidate(NamedTuple):
    """A run that may be laid behind, and a line that tells of it."""

    run: RunDir
    words: str


def candidates(runs_dir: Path, run: RunDir) -> list[Candidate]:
    """Runs with a step done: alike ones first, of these the finished ones, of these the newest."""
    own = _what(run)
    others = [
        (summary, _alike(own, _what(RunDir(summary.path))))
        for summary in list_runs(runs_dir)
        if summary.step > 0 and summary.path.resolve() != run.path.resolve()
    ]
    others.sort(key=lambda one: (len(one[1]), one[0].status == "finished", one[0].created), reverse=True)
    return [
        Candidate(RunDir(summary.path), _words(summary, alike)) for summary, alike in others[:MOST_OFFERED]
    ]


def _what(run: RunDir) -> dict[str, str]:
    """What is trained on what."""
    settings = settings_of(run.config_path)
    return {word: settings[key] for word, key in LIKENESS.items() if settings.get(key)}


def _alike(one: Mapping[str, str], other: Mapping[str, str]) -> list[str]:
    return [word for word, value in one.items() if other.get(word) == value]


def _words(summary: RunSummary, alike: list[str]) -> str:
    """Short enough for a line of a dialog at 80 columns."""
    same = "alike" if len(alike) == len(LIKENESS) else f"same {alike[0]}" if alike else ""
    name = cut_middle(clean_line(summary.name), _NAME)
    told = f"{summary.status:<8} step {summary.step:<5} reward {number(summary.reward):<6}"
    return f"{name:<{_NAME}} {told} {same}".rstrip()
