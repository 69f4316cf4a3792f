"""All rules of live health together: events in, findings out."""

from collections.abc import Callable, Iterable, Iterator

from msgspec.structs import replace

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

    def __init__(
        self, config: RunConfig, name: str, more: Iterable[Callable[[], Iterable[Finding]]] = ()
    ) -> None:
        self.config, self.name = config, name
        self.seen = Observed()
        self._more = tuple(more)

    def take(self, events: Iterable[AnyEvent]) -> None:
        """Fold in what the run said since the last time."""
        self.seen.take(events)

    def look(self, now: float, *, live: bool = True) -> list[Finding]:
        """Everything that is wrong at `now` (Unix seconds); `live` is False for a run that has ended."""
        found = {finding.id: finding for finding in self._findings(now, live)}
        return [self._named(finding) for finding in found.values()]

    def _named(self, finding: Finding) -> Finding:
        """With the run's name in the commands that a rule gives for any run."""
        fixes = (replace(fix, command=fix.command.replace("NAME", self.name)) for fix in finding.fixes)
        return replace(finding, fixes=tuple(fixes))

    def _findings(self, now: float, live: bool) -> Iterator[Finding]:
        yield from training(self.seen, self.config)
        yield from resources(self.seen)
        yield from gpus(self.seen)
        if live:
            yield from ranks(self.seen, now)
            yield from progress(self.seen, now, self.config.parallel.hang_after)
        for source in self._more:
            yield from source()
