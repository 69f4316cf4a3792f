"""The devices that runs are planned for: memory, bandwidth, peak speed and links; and how they are named."""

import difflib
import re
from dataclasses import dataclass
from typing import Literal, NamedTuple

from engine.findings import Finding, FindingsError, Fix

GIB = 1024**3
GEN3, GEN4, GEN5 = 12e9, 25e9, 50e9
"""Bytes per second to host memory over 16 lanes of PCIe as reached in practice (nominal 16, 32, 64e9)."""
VISIBLE_SHARE = 0.98
"""Of a nominal size in GB, read as GiB, what torch sees of a device that is not in the table."""


@dataclass(frozen=True, slots=True)
class Device:
    """A kind of GPU (or a CPU). Bytes, bytes per second, FLOP per second; None where it is not known."""

    name: str
    memory: int
    """Bytes that torch sees (an "80 GB" card shows 79.1 to 79.6 GiB)."""
    bandwidth: float | None
    """Of its memory."""
    peak: float | None
    """Dense bfloat16."""
    peak_fp8: float | None = None
    link: float | None = None
    """To a neighbour GPU of the same machine, one way: NVLink where it has one, else PCIe."""
    nvlink: bool = False
    pcie: float = 25e9
    """To host memory, as reached in practice."""
    kind: Literal["cuda", "cpu"] = "cuda"


class _Row(NamedTuple):
    """One device in the units of data sheets: nominal GB, GiB that torch sees, TB/s, TFLOP/s, GB/s one way.

    `words` must all be in a name for it to mean this device; `also` may be.
    """

    name: str
    words: str
    gb: int
    gib: float
    tb_s: float
    bf16: float
    fp8: float | None
    link: float
    pcie: float
    nvlink: bool = False
    also: str = ""


# GiB: the totals that torch names in its out-of-memory messages on these cards, the smaller where they differ
# (ECC on or off, driver); A40, A30 and L20 after cards of the same memory. NVLink means that every GPU of the
# usual machine is joined: bridges, which join pairs of PCIe cards, are only known of a machine that was seen.
# Of rows that fit a name equally, the first counts.
_ROWS = (
    # The systems that planners and trainers ship with; fp8, the 4090 and the L4 from data sheets, recalled.
    _Row("A100-80", "a100", 80, 79.1, 2.04, 312, None, 300, GEN4, True),
    _Row("A100-40", "a100", 40, 39.4, 1.56, 312, None, 300, GEN4, True),
    _Row("A100-PCIe-80", "a100 pcie", 80, 79.1, 1.94, 312, None, 32, GEN4),
    _Row("H100", "h100", 80, 79.1, 3.35, 989, 1979, 450, GEN5, True),
    _Row("H100-PCIe", "h100 pcie", 80, 79.1, 2.0, 756, 1513, 64, GEN5),
    _Row("H800", "h800", 80, 79.1, 3.35, 989, 1979, 200, GEN5, True),
    _Row("H200", "h200", 141, 139.7, 4.8, 989, 1979, 450, GEN5, True),
    _Row("H20", "h20", 96, 95.1, 4.0, 148, 296, 450, GEN5, True),
    _Row("B200", "b200", 180, 178.3, 7.7, 2250, 4500, 900, GEN5, True),
    _Row("GB200", "gb200", 189, 184.3, 8.0, 2500, 5000, 900, GEN5, True, also="superchip"),
    _Row("L40S", "l40s", 48, 44.4, 0.86, 362, 733, 32, GEN4),
    _Row("L20", "l20", 48, 44.4, 0.86, 120, 239, 32, GEN4),
    _Row("L4", "l4", 24, 22.0, 0.30, 121, 242, 32, GEN4),
    _Row("A40", "a40", 48, 44.4, 0.70, 150, None, 32, GEN4),
    _Row("A6000", "a6000", 48, 47.4, 0.77, 155, None, 32, GEN4),
    _Row("A10", "a10", 24, 22.0, 0.60, 125, None, 32, GEN4),
    _Row("A30", "a30", 24, 23.5, 0.93, 165, None, 32, GEN4),
    _Row("RTX4090", "4090", 24, 23.5, 1.01, 165, 330, 32, GEN4),
    _Row("RTX-PRO-6000", "pro 6000", 96, 94.9, 1.79, 468, None, 64, GEN5),
    # From the vendor's data sheets, recalled and not read again: variants of the above, and other cards.
    _Row("A100-PCIe-40", "a100 pcie", 40, 39.4, 1.56, 312, None, 32, GEN4),
    _Row("A800-80", "a800", 80, 79.1, 2.04, 312, None, 200, GEN4, True),
    _Row("A800-PCIe-80", "a800 pcie", 80, 79.1, 1.94, 312, None, 32, GEN4),
    _Row("H100-NVL", "h100 nvl", 94, 93.0, 3.9, 835, 1671, 64, GEN5),
    _Row("H800-PCIe", "h800 pcie", 80, 79.1, 2.0, 756, 1513, 64, GEN5),
    _Row("H200-NVL", "h200 nvl", 141, 139.7, 4.8, 835, 1671, 64, GEN5),
    _Row("L40", "l40", 48, 44.4, 0.86, 181, 362, 32, GEN4),
    _Row("RTX6000-Ada", "6000 ada", 48, 47.4, 0.96, 364, 728, 32, GEN4),
    _Row("A10G", "a10g", 24, 22.0, 0.60, 70, None, 32, GEN4),
    _Row("RTX3090", "3090", 24, 23.6, 0.94, 71, None, 32, GEN4),
    _Row("RTX5090", "5090", 32, 31.3, 1.79, 209, 419, 64, GEN5),
    # As well; Grace's link to host memory is faster than PCIe (nominal 450 GB/s), by how much is not known.
    _Row("GH200", "gh200", 96, 94.5, 4.0, 989, 1979, 64, GEN5, also="480gb superchip"),
    # As well; without bfloat16 units: the peak is that of float16.
    _Row("V100-32", "v100", 32, 31.7, 0.90, 125, None, 150, GEN3, True),
    _Row("V100-16", "v100", 16, 15.7, 0.90, 125, None, 150, GEN3, True),
    _Row("V100-PCIe-32", "v100 pcie", 32, 31.7, 0.90, 112, None, 16, GEN3),
    _Row("V100-PCIe-16", "v100 pcie", 16, 15.7, 0.90, 112, None, 16, GEN3),
    _Row("T4", "t4", 16, 14.7, 0.32, 65, None, 16, GEN3),
)
_DECORATION = re.compile(
    "nvidia|tesla|geforce|quadro|rtx|gpu|generation|blackwell|workstation|server|edition|sxm[2-5]?|hbm[23]e?"
)
"""Words of a full name that do not tell devices apart. Others do: "Laptop", "Ti", "Max-Q", "D"."""
_SIZE = re.compile(r"(?:unknown[-_ ]?)?(\d+(?:\.\d+)?)[-_ ]?(gib|gb|g)?", re.IGNORECASE)


def devices() -> tuple[Device, ...]:
    """The whole table."""
    return tuple(_device(row) for row in _ROWS)


def find_device(name: str) -> Device:
    """The device of a name.

    Reads this table's names in any case ("A100-80", "a100-80gb", "rtx4090") and CUDA's ("NVIDIA H100 80GB
    HBM3"). Every word counts: an RTX A1000 is no A100, a 4090 D no 4090. For a device that is not in the
    table, its memory does ("unknown-24", "24GB": nominal, torch sees 2 % less; "23.5GiB": exactly that);
    speeds are None then. A name without its memory ("A100") is the first such device of the table, which
    `assumed_of_name` says.
    Raises FindingsError `hardware.unknown-gpu` with the nearest names.
    """
    row = _find_row(name)
    if row:
        return _device(row)
    size = _explicit_size(name)
    if size:
        return Device(name=name, memory=size, bandwidth=None, peak=None)
    raise FindingsError([_unknown(name)])


def known_device(name: str) -> Device | None:
    """The table's device of a name as CUDA or NVML gives it; None when it is not in the table."""
    row = _find_row(name)
    return _device(row) if row else None


def assumed_of_name(name: str) -> list[Finding]:
    """What `find_device` had to assume: which of several devices a name means, or that no speed is known."""
    rows = _fitting_rows(name)
    others = [row.name for row in rows[1:] if row.words == rows[0].words]
    if others:
        return [
            Finding(
                id="hardware.gpu-assumed",
                severity="info",
                cause=f"{name} may be {' or '.join([rows[0].name, *others])}: {rows[0].name} is assumed.",
                fixes=tuple(Fix(f"name the other one: {other}") for other in others),
            )
        ]
    if not rows and _explicit_size(name):
        cause = f"of {name} only the memory is known, not how fast it is: memory is predicted, time is not."
        fix = Fix("name the GPU, if it is a known one")
        return [Finding("hardware.speed-unknown", "info", cause, (_known_names(),), (fix,))]
    return []


def _device(row: _Row) -> Device:
    return Device(
        name=row.name,
        memory=int(row.gib * GIB),
        bandwidth=row.tb_s * 1e12,
        peak=row.bf16 * 1e12,
        peak_fp8=row.fp8 * 1e12 if row.fp8 else None,
        link=row.link * 1e9,
        nvlink=row.nvlink,
        pcie=row.pcie,
    )


def _find_row(name: str) -> _Row | None:
    return next(iter(_fitting_rows(name)), None)


def _fitting_rows(name: str) -> list[_Row]:
    """Rows that a name may mean, those that explain more of its words first."""
    words = _words(name)
    rows = [row for row in _ROWS if _fits(words, row)]
    return sorted(rows, key=lambda row: -len(row.words.split()))


def _fits(words: set[str], row: _Row) -> bool:
    required = set(row.words.split())
    rest = words - required - set(row.also.split())
    return required <= words and all(re.fullmatch(rf"{row.gb}(gi?b?)?", word) for word in rest)


def _words(name: str) -> set[str]:
    """The words that count: "NVIDIA A100-SXM4-80GB" has a100 and 80gb, "rtx4090" has 4090."""
    words = re.findall(r"[a-z0-9.]+", re.sub(r"rtx(?=\w)", "rtx ", name.lower()))
    return {word for word in words if not _DECORATION.fullmatch(word)}


def _explicit_size(name: str) -> int | None:
    match = _SIZE.fullmatch(name.strip())
    if not match or not (match[2] or name.lower().startswith("unknown")):
        return None
    share = 1.0 if (match[2] or "").lower() == "gib" else VISIBLE_SHARE
    return int(float(match[1]) * GIB * share)


def _unknown(name: str) -> Finding:
    return Finding(
        id="hardware.unknown-gpu",
        severity="error",
        cause=f"no GPU called {name!r} is known.",
        evidence=(_known_names(),),
        fixes=(
            *(Fix(f"did you mean {near}?") for near in _near_names(name)),
            Fix("give its memory, for example unknown-24 for 24 GB: memory is then predicted, time is not"),
        ),
    )


def _near_names(name: str) -> list[str]:
    spellings = {row.name.lower(): row.name for row in _ROWS}
    spellings |= {" ".join(sorted(row.words.split())): row.name for row in reversed(_ROWS)}
    wanted = " ".join(sorted(_words(name)))
    near = [
        *difflib.get_close_matches(wanted, spellings, n=3, cutoff=0.6),
        *difflib.get_close_matches(name.lower(), spellings, n=3, cutoff=0.6),
    ]
    return list(dict.fromkeys(spellings[spelling] for spelling in near))[:3]


def _known_names() -> str:
    return f"known: {', '.join(row.name for row in _ROWS)}"
