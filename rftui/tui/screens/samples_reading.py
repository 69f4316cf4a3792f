"""The samples screen's readings of the database, each in a thread that posts what it found."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from textual import work
from textual.message import Message
from textual.worker import get_current_worker

from engine.findings import Finding, FindingsError
from rftui.runs.samples import Sample, StepSummary, Texts
from rftui.runs.trajectory_query import Query
from rftui.tui.context import Context
from rftui.tui.samples.diff import Part, word_diff
from rftui.tui.screens.area import AreaScreen

if TYPE_CHECKING:
    from rftui.runs.replay import StepTimes
    from rftui.runs.trajectories import Trajectories

POST_S = 0.15
"""Between two posts of a search that goes on."""
EXPORT_ROWS = 200
"""Samples written at once."""


@dataclass
class Looked(Message):
    """What there is: the newest step and id, and all steps where they have changed; else why nothing is."""

    newest: tuple[int, int] | None
    steps: list[int]
    why_none: str
    replayed: int | None
    """The step that a replay has got to; None without one, and at its end."""


@dataclass
class Loaded(Message):
    """The samples of a step."""

    step: int
    samples: list[Sample]


@dataclass
class Found(Message):
    """What a search has found, down to a step; `done`: all steps were searched, or the list is full."""

    query: Query
    samples: list[Sample]
    down_to: int
    done: bool


@dataclass
class Compared(Message):
    """A sample against another of its prompt; none where there is no other. `of`: how many there are."""

    sample: Sample
    other: Sample | None
    parts: list[Part]
    of: int


@dataclass
class Read(Message):
    """The texts of a sample; None where it was removed."""

    sample: Sample
    texts: Texts | None


@dataclass
class Summed(Message):
    """What was kept of some steps."""

    summaries: dict[int, StepSummary]


@dataclass
class Failed(Message):
    """The database could not be read."""

    finding: Finding


class SamplesReading(AreaScreen):
    """Knows the database; subclasses show what is posted."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.reader: Trajectories | None = None
        self._newest: tuple[int, int] | None = None
        self._steps: list[int] = []
        self._step_times: StepTimes | None = None
        self._seen = False
        """Whether anything was there at any time."""

    @work(thread=True, exclusive=True, group="look", exit_on_error=False)
    def look(self) -> None:
        """Is there anything new? The first time: is there anything?"""
        with self._telling():
            reader, replayed = self._open(), self._replayed()
            reader.until = replayed
            newest, steps = reader.newest(), self._steps  # two looks may overlap: each adds to what it saw
            if newest is None or newest != self._newest:
                if newest is not None and not self._seen:
                    self._seen = True
                    self._post(
                        Looked(newest, [newest[0]], "", replayed)
                    )  # it can be read while the others are looked up
                if newest is None:
                    steps = []
                elif not steps or newest[0] < steps[-1]:
                    steps = reader.steps()
                else:
                    steps = steps + reader.steps(after=steps[-1])
                self._newest, self._steps = newest, steps
            why_none = self._why_none(replayed) if newest is None else ""
            self._post(Looked(newest, steps, why_none, replayed))

    @work(thread=True, exclusive=True, group="list", exit_on_error=False)
    def load(self, step: int) -> None:
        """The samples of a step."""
        with self._telling():
            self._post(Loaded(step, self._open().of_step(step)))

    @work(thread=True, exclusive=True, group="list", exit_on_error=False)
    def find(self, query: Query) -> None:
        """Samples of all steps; what is found is shown while the search goes on."""
        worker, found, posted = get_current_worker(), list[Sample](), 0.0
        with self._telling():
            down_to = 0
            for down_to, more in self._open().search(query):
                found += more
                if worker.is_cancelled:
                    return
                if time.monotonic() - posted > POST_S:
                    self._post(Found(query, list(found), down_to, done=False))
                    posted = time.monotonic()
            self._post(Found(query, found, down_to, done=True))

    @work(thread=True, exclusive=True, group="texts", exit_on_error=False)
    def read(self, sample: Sample) -> None:
        """The texts of a sample."""
        with self._telling():
            self._post(Read(sample, self._open().texts(sample.id)))

    @work(thread=True, exclusive=True, group="compare", exit_on_error=False)
    def compare(self, sample: Sample, nth: int) -> None:
        """A sample against the nth other of its prompt, from the older one to the newer."""
        with self._telling():
            reader = self._open()
            others = reader.same_prompt(sample)
            other = others[nth % len(others)] if others else None
            texts = reader.texts(sample.id)
            against = reader.texts(other.id) if other else None
            if other is None or texts is None or against is None:
                self._post(Compared(sample, None, [], 0))
                return
            earlier, later = (against, texts) if other.step <= sample.step else (texts, against)
            self._post(Compared(sample, other, word_diff(earlier.response, later.response), len(others)))

    @work(thread=True, exclusive=True, group="summaries", exit_on_error=False)
    def sum_up(self, steps: Sequence[int]) -> None:
        """What was kept of the steps in sight."""
        with self._telling():
            self._post(Summed(self._open().summaries(steps)))

    @work(thread=True, group="export", exit_on_error=False)
    def write(self, ids: Sequence[int], path: Path) -> None:
        """Samples with all that is known of them, a line of JSON each."""
        try:
            with self._telling(), path.open("xb") as file:
                encode: Callable[[Any], bytes] = msgspec.json.Encoder().encode
                for start in range(0, len(ids), EXPORT_ROWS):
                    for row in self._open().rows(ids[start : start + EXPORT_ROWS]):
                        file.write(encode(row) + b"\n")
                self.app.call_from_thread(
                    self.notify, f"{len(ids)} sample{'s' * (len(ids) != 1)} written: {path}", markup=False
                )
        except OSError as error:
            self.app.call_from_thread(self.notify, f"not written: {error}", severity="error", markup=False)

    def _open(self) -> "Trajectories":
        if self.reader is None:
            from rftui.runs.trajectory_opening import open_trajectories

            self.reader = open_trajectories(self.context.the_run)
        return self.reader

    def _replayed(self) -> int | None:
        """What a replay has got to; None without one, and at its end."""
        clock = self.context.clock
        if clock is None or clock.ended:
            return None
        if self._step_times is None:
            from rftui.runs.replay import StepTimes

            self._step_times = StepTimes(self.context.the_run)
        return self._step_times.at(clock())

    def _why_none(self, replayed: int | None) -> str:
        from rftui.runs.view import goes_on

        if replayed is not None:
            return f"No samples had been kept by step {replayed}: they come as the replay goes on."
        if goes_on(self.context.the_run, unreadable=True):
            return "No samples have been kept yet: they appear here by themselves as steps are done."
        return "No samples were kept: the run has ended."

    def _post(self, message: Message) -> None:
        if not get_current_worker().is_cancelled:
            self.post_message(message)

    @contextmanager
    def _telling(self) -> Iterator[None]:
        """A database that cannot be read is told of, and opened anew at the next look."""
        try:
            yield
        except FindingsError as error:
            self.reader, self._newest, self._steps = None, None, []
            self._post(Failed(error.findings[0]))
