"""Which checks are shown, and how far each one is: immutable, replaced as results come."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from diagnostics.doctor.check import Check, Result, Status, Tier
from rftui.tui.doctor.ignored import Ignored

State = Literal["waiting", "checking", "ignored"] | Status
WRONG: tuple[Status, ...] = ("error", "warning", "unchecked")
"""What a user may want to mend or to ignore."""


@dataclass(frozen=True)
class Row:
    """One check as it is shown. An answer that is being asked for again stays until the new one comes."""

    check: Check
    state: State
    result: Result | None = None
    ignored: Ignored | None = None

    @property
    def said(self) -> str:
        """The first finding's cause, or what was seen, or the check's title as long as nothing was."""
        if self.result is None:
            return self.check.title
        causes = [finding.cause for finding in self.result.findings]
        more = f" (and {len(causes) - 1} more)" if len(causes) > 1 else ""
        return causes[0] + more if causes else self.result.said or self.check.title


@dataclass(frozen=True)
class Board:
    """`checks`: all there are, of which those of `tiers` are shown, and those that were run by name."""

    checks: tuple[Check, ...] = ()
    tiers: frozenset[Tier] = frozenset({"fast"})
    results: Mapping[str, Result] = field(default_factory=dict)
    running: frozenset[str] = frozenset()
    ignored: Mapping[str, Ignored] = field(default_factory=dict)

    def started(self, checks: Iterable[Check]) -> "Board":
        """These are being run."""
        return replace(self, running=self.running | {check.id for check in checks})

    def ended(self, results: Iterable[Result]) -> "Board":
        """These have answered."""
        new = {result.id: result for result in results}
        return replace(self, results={**self.results, **new}, running=self.running - new.keys())

    def stopped(self, checks: Iterable[Check]) -> "Board":
        """These are not being run any more, without an answer."""
        return replace(self, running=self.running - {check.id for check in checks})

    def with_tier(self, tier: Tier) -> "Board":
        """The checks of this tier are shown too."""
        return replace(self, tiers=self.tiers | {tier})

    def ignoring(self, ignored: Mapping[str, Ignored]) -> "Board":
        """With these ignored, by check."""
        return replace(self, ignored=ignored)

    def of_tiers(self, *tiers: Tier) -> tuple[Check, ...]:
        """The checks of these tiers."""
        return tuple(check for check in self.checks if check.tier in tiers)

    @property
    def shown(self) -> tuple[Check, ...]:
        return self.of_tiers(*self.tiers)

    def row(self, id: str) -> Row | None:
        """The check of that id."""
        return next((self._row(check) for check in self.checks if check.id == id), None)

    def rows(self, words: str = "") -> tuple[Row, ...]:
        """What is shown, in order; with `words` only rows that have all of them somewhere."""
        wanted = words.lower().split()
        rows = [self._row(check) for check in self.shown]
        return tuple(row for row in rows if all(word in _text(row) for word in wanted))

    def _row(self, check: Check) -> Row:
        result, ignored = self.results.get(check.id), self.ignored.get(check.id)
        if check.id in self.running:
            return Row(check, "checking", result)
        if result is None:
            return Row(check, "waiting")
        if ignored is not None and result.status in WRONG and ignored.covers(result):
            return Row(check, "ignored", result, ignored)
        return Row(check, result.status, result)


def counts(rows: Sequence[Row]) -> Counter[State]:
    """How many rows are in each state."""
    return Counter(row.state for row in rows)


def _text(row: Row) -> str:
    from rftui.tui.doctor.looks import WORDS

    return f"{row.check.id} {row.check.title} {WORDS[row.state]} {row.said}".lower()
