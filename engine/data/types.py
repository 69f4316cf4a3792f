"""What the data part hands to the rest of the engine."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Prompt:
    """One prompt, rendered and tokenized once. `index` is its place in the prompt set.

    `text` is what was tokenized (chat template included); `label` and `reference` go to the rewards as they
    stand in the data.
    """

    index: int
    text: str
    token_ids: tuple[int, ...]
    label: Any
    reference: Any
