"""NVIDIA's Xid errors in the kernel's log: what each means and what to do.

From NVIDIA's catalogue, with the actions that gpud derives from it.
"""

import re
from typing import NamedTuple

from engine.findings import Finding, Fix, Severity

_LINE = re.compile(r"NVRM: Xid \((?:PCI:)?([0-9a-fA-F:.]+)\): (\d+)")


class Xid(NamedTuple):
    """One error line: the GPU's PCI bus id, the code, and the text."""

    bus: str
    code: int
    line: str


class _Known(NamedTuple):
    meaning: str
    severity: Severity
    acts: tuple[str, ...]


_RESET = (
    "end what runs on it and reset the GPU (nvidia-smi -r -i INDEX)",
    "reboot the machine if that fails",
)
_APPLICATION = (
    "look for an illegal access in the program first (CUDA_LAUNCH_BLOCKING=1 finds the kernel)",
    "if it is always the same card, test that card (dcgmi diag -r 3)",
)
_KNOWN: dict[int, _Known] = {
    **dict.fromkeys((13, 31, 43, 69), _Known("a program's access was wrong", "warning", _APPLICATION)),
    45: _Known("channels were removed after another error", "info", ("read the other Xid of that moment",)),
    48: _Known("double-bit memory error", "error", ("drain the machine, then reset the GPU", *_RESET[1:])),
    **dict.fromkeys(
        (62, 109, 119, 120, 140, 143), _Known("the GPU's own processors stopped", "error", _RESET)
    ),
    63: _Known("a memory row will be remapped", "info", ("reset the GPU at the next chance",)),
    64: _Known("a memory row could not be remapped", "error", _RESET),
    **dict.fromkeys(
        (74, *range(144, 151)),
        _Known(
            "an NVLink error",
            "error",
            ("see nvidia-smi nvlink -e", "reset the GPUs of this island", *_RESET[1:]),
        ),
    ),
    79: _Known(
        "the GPU fell off the bus",
        "error",
        ("reboot the machine", "have the card, its seat, riser and power supply checked if it happens again"),
    ),
    92: _Known(
        "many single-bit memory errors", "warning", ("watch whether they grow (nvidia-smi -q -d ECC)",)
    ),
    94: _Known(
        "a contained memory error", "warning", ("start the program again; the others are not affected",)
    ),
    95: _Known("an uncontained memory error", "error", _RESET),
    136: _Known("link training failed", "error", _RESET),
    **dict.fromkeys(
        (121, 137, 154), _Known("a note beside another error", "info", ("read the neighbouring Xid lines",))
    ),
    151: _Known("the virtual machine must be started again", "error", ("restart the virtual machine",)),
}
_UNKNOWN = _Known("no entry in our table", "warning", ("look the code up in NVIDIA's Xid catalogue",))


def xid_of(line: str) -> Xid | None:
    """The error that a line of the kernel's log tells of."""
    found = _LINE.search(line)
    return Xid(found[1], int(found[2]), line.strip()) if found else None


def xid_finding(xid: Xid, id: str = "gpu.xid") -> Finding:
    """What to tell a person about it."""
    known = _KNOWN.get(xid.code, _UNKNOWN)
    return Finding(
        id=id,
        severity=known.severity,
        cause=f"the GPU at {xid.bus} reported Xid {xid.code}: {known.meaning}.",
        evidence=(xid.line,),
        fixes=tuple(map(Fix, known.acts)),
    )
