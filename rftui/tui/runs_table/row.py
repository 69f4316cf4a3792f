"""One run as the table knows it: its summary at once, the rest as soon as it was read."""

from dataclasses import dataclass, field

from rftui.runs.digest import Digest
from rftui.runs.listing import RunSummary
from rftui.runs.notes import Notes

MODEL = "model.pretrain"
GOING = ("planned", "launching", "running", "stalled")
"""States of a run that cannot be deleted or resumed, but stopped."""


@dataclass(frozen=True, slots=True)
class Detail:
    """What takes longer to read. Times are Unix seconds; `settings`: `section.key` → text."""

    digest: Digest = field(default_factory=Digest)
    settings: dict[str, str] = field(default_factory=dict)
    started: float | None = None
    ended: float | None = None
    attempt: int = 1
    cause: str = ""
    """How it ended, where that was no good end."""
    diagnosed: str = ""
    """What the diagnosis says it died of."""


@dataclass(frozen=True, slots=True)
class Row:
    """`detail` is None until it was read."""

    summary: RunSummary
    notes: Notes = field(default_factory=Notes)
    detail: Detail | None = None

    @property
    def name(self) -> str:
        return self.summary.name

    @property
    def status(self) -> str:
        return self.summary.status

    @property
    def going(self) -> bool:
        """Whether it has not ended, as far as is known."""
        return self.summary.status in GOING

    @property
    def digest(self) -> Digest:
        return self.detail.digest if self.detail else Digest()

    @property
    def settings(self) -> dict[str, str]:
        return self.detail.settings if self.detail else {}

    @property
    def reward(self) -> float | None:
        return self.summary.reward if self.digest.last is None else self.digest.last

    @property
    def model(self) -> str:
        return self.settings.get(MODEL, "")

    def seconds(self, now: float) -> float | None:
        """How long its last attempt took, or has taken until now."""
        if self.detail is None or self.detail.started is None:
            return None
        until = self.detail.ended or (now if self.going else self.summary.updated)
        return max(0.0, until - self.detail.started)

    def age(self, now: float) -> float:
        """Seconds since it was created."""
        return max(0.0, now - self.summary.created)
