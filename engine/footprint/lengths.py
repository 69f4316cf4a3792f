"""The lengths of responses that an estimate of time assumes, around a given mean."""

from dataclasses import dataclass

from engine.config.batch import generate_max_len
from engine.config.sections import RunConfig


@dataclass(frozen=True, slots=True)
class Lengths:
    """Assumed mean lengths in tokens."""

    prompt: float
    response: float


@dataclass(frozen=True, slots=True)
class Responses:
    """Lengths of responses: the share q of them is at most cap · q^a long, so the mean is cap / (a + 1).

    One number besides the cap, and the shape that is met: many short ones, few that reach the cap.
    """

    mean: float
    cap: float

    @classmethod
    def of(cls, config: RunConfig, lengths: Lengths) -> "Responses":
        """Means beyond the cap, or below one token, are put there."""
        cap = float(generate_max_len(config))
        return cls(min(max(1.0, lengths.response), cap), cap)

    @property
    def exponent(self) -> float:
        return self.cap / self.mean - 1

    @property
    def mean_square(self) -> float:
        return self.cap**2 / (2 * self.exponent + 1)

    def at(self, share: float) -> float:
        """The length that this share of responses does not exceed."""
        return self.cap * share**self.exponent


def prompt_length(config: RunConfig, lengths: Lengths) -> float:
    """The mean prompt, within what the configuration lets through."""
    return min(max(1.0, lengths.prompt), float(config.rollout.prompt_max_len))
