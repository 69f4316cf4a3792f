"""Synthetic tasks small enough for a CPU, with rows made on the spot: nothing to download.

Each task's instance space is split once by a stable hash, so what is held out was never trained on.
Imports neither torch nor transformers.
"""

import difflib
import random
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from engine.findings import Finding, FindingsError, Fix

Split = Literal["train", "test"]

ROWS: dict[Split, int] = {"train": 16_384, "test": 500}
HELD_OUT_PERCENT = 10
DIGITS = 6


@dataclass(frozen=True)
class Task:
    """`input` is `<instruction> <instance>=`; the right answer is exactly `solve(instance)`."""

    name: str
    instruction: str
    solve: Callable[[str], str]

    def row(self, instance: str) -> dict[str, str]:
        """The prompt and label of one instance."""
        return {"input": f"{self.instruction} {instance}=", "label": self.solve(instance)}


TASKS = {"sort": Task("sort", "sort", lambda instance: "".join(sorted(instance)))}


def get(name: str) -> Task:
    """The task of this name (`toy:` before it is allowed); a finding with the nearest names otherwise."""
    key = name.removeprefix("toy:")
    if key in TASKS:
        return TASKS[key]
    near = difflib.get_close_matches(key, TASKS, cutoff=0.0) or list(TASKS)
    raise FindingsError(
        [
            Finding(
                id="data.unknown-toy-task",
                severity="error",
                cause=f"There is no toy task {key!r}; the tasks are: {', '.join(sorted(TASKS))}.",
                fixes=tuple(Fix(f"use toy:{other}") for other in near),
            )
        ]
    )


def is_held_out(instance: str) -> bool:
    """Which side of the split an instance is on, the same in every process and version."""
    return zlib.crc32(instance.encode()) % 100 < HELD_OUT_PERCENT


def instances(split: Split, seed: str) -> Iterator[str]:
    """Endless random instances of one side of the split, determined by `seed`; may repeat."""
    draw = random.Random(seed)
    while True:
        instance = f"{draw.randrange(10**DIGITS):0{DIGITS}d}"
        if is_held_out(instance) == (split == "test"):
            yield instance


def rows(name: str, split: Split) -> list[dict[str, str]]:
    """The rows `{"input", "label"}` of one split: distinct, always the same ones, disjoint between splits."""
    task = get(name)
    chosen: dict[str, None] = {}
    for instance in instances(split, f"{task.name}/{split}"):
        chosen[instance] = None
        if len(chosen) == ROWS[split]:
            break
    return [task.row(instance) for instance in chosen]
