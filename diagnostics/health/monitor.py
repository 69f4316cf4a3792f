"""All rules of live health together: events in, findings out."""

from collections.abc import Callable, Iterable, Iterator

from diagnostics.health.gpus import gpus
from diagnostics.health.observed import Observed
from diagnostics.health.progress import progress
from diagnostics.health.ranks import ranks
from diagnostics.health.resources import resources
from diagnostics.health.training import training
from engine.config.sections import RunConfig
from engine.events import AnyEvent
from engine.findings import Finding


class Monitor:
    """Watches one run. `more`: further sources of findings, such as the kernel's log."""

    def __init__(self, config: RunConfig, more: Iterable[Callable[[], Iterable[Finding]]] = ()) -> None:
        self.config = config
        self.seen = Observed()
        self._more = tuple(more)

    def take(self, events: Iterable[AnyEvent]) -> None:
        """Fold in what the run said since the last time."""
        self.seen.take(events)

    def look(self, now: float, *, live: bool = True) -> list[Finding]:
        """Everything that is wrong at `now` (Unix seconds); `live` is False for a run that has ended."""
        return list({finding.id: finding for finding in self._findings(now, live)}.values())

    def _findings(self, now: float, live: bool) -> Iterator[Finding]:
        yield from training(self.seen, self.config)
        yield from resources(self.seen)
        yield from gpus(self.seen)
        if live:
            yield from ranks(self.seen, now)
            yield from progress(self.seen, now, self.config.parallel.hang_after)
        for source in self._more:
            yield from source()
