"""What a hang analysis says: which ranks, what kind of hang, where, and on what evidence."""

from typing import Literal

import msgspec

HangClass = Literal[
    "dead-process",
    "stopped-process",
    "host-oom",
    "desync",
    "straggler",
    "first-collective",
    "network",
    "storage",
    "engine",
    "data",
    "reward",
    "outside",
    "unknown",
    "no-hang",
]
"""`no-hang`: the run goes on. `stopped-process`: by SIGSTOP, a debugger or a frozen container. `outside`: all
collectives are over, and stacks do not tell what is waited for."""


class Seen(msgspec.Struct, frozen=True):
    """One piece of evidence, and the probe: `processes`, `flight recorder`, `stacks`, `events`, `ras`."""

    probe: str
    text: str
    ranks: tuple[int, ...] = ()


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """The answer. `ranks`: those at fault, empty where all wait alike. `where`: the collective or call site.

    `confidence` is high only if two independent probes name the same ranks. `disproof`: what would show
    that it is wrong.
    """

    kind: HangClass
    ranks: tuple[int, ...]
    cause: str
    """Slug of the taxonomy, or `unknown`."""
    said: str
    """One sentence with the actual values."""
    where: str = ""
    evidence: tuple[Seen, ...] = ()
    confidence: Literal["high", "medium", "low"] = "low"
    disproof: str = ""
    phase: str = ""
    step: int = -1
