"""What a diagnosis says: causes, best first, each with where it was seen and how it is mended."""

import msgspec

from engine.findings import Fix

UNKNOWN = "unknown"


class Evidence(msgspec.Struct, frozen=True, omit_defaults=True):
    """A line that tells of a cause. `line` counts from 1; `rank` is −1 where it is not known."""

    file: str
    line: int
    text: str
    rank: int = -1
    t: float | None = None


class Diagnosed(msgspec.Struct, frozen=True, omit_defaults=True):
    """One cause: a slug of the taxonomy, or `unknown`."""

    cause: str
    group: str
    title: str
    meaning: str
    evidence: tuple[Evidence, ...]
    fixes: tuple[Fix, ...]
    confidence: float
    """0 to 1."""
    ruled_out: tuple[Evidence, ...] = ()
    """Lines that look like causes, and follow from this one."""
    signature: str = ""
    numbers: dict[str, str] = {}


class Diagnosis(msgspec.Struct, frozen=True, omit_defaults=True):
    """Of one PATH. `findings` is empty where nothing failed."""

    path: str
    findings: tuple[Diagnosed, ...] = ()
    notes: tuple[str, ...] = ()
    """What could not be read, and what was left out."""
    ranks: tuple[int, ...] | None = None
    """Of flight-recorder dumps: the ranks at fault."""
    lines: int = 0
    bytes: int = 0
