"""Samples as values: what was kept of a response, of its group and of its step."""

from dataclasses import dataclass

LIMIT = 2000
"""Samples in one list."""


@dataclass(frozen=True, slots=True)
class Group:
    """The kept samples of one prompt in one step. `spread`: standard deviation of their rewards."""

    count: int
    mean: float
    spread: float
    flat: bool
    """All rewards are equal, so no sample has an advantage over another."""


@dataclass(frozen=True, slots=True)
class Sample:
    """A sample without its texts. `logprob_diff`: mean |trainer − engine| per token in nats."""

    id: int
    step: int
    prompt_index: int
    sample: int
    reward: float
    advantage: float
    tokens: int
    truncated: bool
    logprob_diff: float | None
    group: Group

    @property
    def name(self) -> str:
        """Prompt and number within its group."""
        return f"{self.prompt_index}.{self.sample}"


@dataclass(frozen=True, slots=True)
class Texts:
    """The rest of a sample. `tokens`: characters of the response and log-prob difference, token by token."""

    prompt: str
    response: str
    label: str
    reward_parts: dict[str, float]
    tokens: tuple[tuple[int, float | None], ...]


@dataclass(frozen=True, slots=True)
class StepSummary:
    """What was kept of one step."""

    count: int
    mean: float
    truncated: int
