"""Predictions of memory, corrected by measurements of runs of the same kind where there are any."""

from engine.footprint.job import Job
from engine.footprint.margin import Measured
from engine.footprint.predict import predict
from engine.footprint.terms import Footprint
from rftui.plan import measured


class Memory:
    """Predicts memory; looks measurements up once for each kind of run, and not at all without any."""

    def __init__(self) -> None:
        self._any = measured.any_measured()
        self._known: dict[str, Measured | None] = {}

    def footprint(self, job: Job) -> Footprint:
        """All phases of a job."""
        return predict(job, self.measured(job))

    def measured(self, job: Job) -> Measured | None:
        """How far off predictions of runs like this one were; None where none was measured."""
        if not self._any:
            return None
        kind = repr(measured.subject_of(job))
        if kind not in self._known:
            self._known[kind] = measured.lookup(job)
        return self._known[kind]
