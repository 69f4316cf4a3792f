"""NVIDIA's Xid codes: errors that the driver writes to the kernel log, and what to do about each.

Meanings and actions after NVIDIA's catalogue (https://docs.nvidia.com/deploy/xid-errors), as gpud applies it.
"""

import re
from collections.abc import Iterator
from typing import Literal

import msgspec

Act = Literal[
    "application",
    "follow",
    "drain",
    "reset",
    "none",
    "nvlink",
    "restart",
    "watch",
    "restart-app",
    "read",
    "restart-vm",
]

ACTIONS: dict[Act, tuple[str, str]] = {
    "application": ("most often the application's own error: restart it and look for an illegal access", ""),
    "follow": ("look at the Xid before it, which is the cause", ""),
    "drain": ("end what runs on the GPU and reset it", "sudo nvidia-smi --gpu-reset -i {gpu}"),
    "reset": ("reset the GPU", "sudo nvidia-smi --gpu-reset -i {gpu}"),
    "none": ("nothing now: it takes effect at the next reset", ""),
    "nvlink": (
        "look at the links; if it comes again, have cable, bridge and switch looked at",
        "nvidia-smi nvlink --status",
    ),
    "restart": ("restart the machine; if it comes again, have the hardware inspected", "sudo reboot"),
    "watch": (
        "watch it: a card whose error counts grow is to be replaced",
        "nvidia-smi -q -d ECC,ROW_REMAPPER",
    ),
    "restart-app": ("restart the application; the error was contained", ""),
    "read": ("read it together with the Xids around it", ""),
    "restart-vm": ("restart the virtual machine", ""),
}
"""In words, and the command where one does it."""


class Xid(msgspec.Struct, frozen=True):
    """One code. `severity`: of a machine whose kernel log has it."""

    meaning: str
    act: Act
    severity: Literal["error", "warning", "info"]


_ROWS: tuple[tuple[tuple[int, ...], str, Act, Literal["error", "warning", "info"]], ...] = (
    ((13,), "graphics engine exception", "application", "warning"),
    ((31,), "memory page fault", "application", "warning"),
    ((43,), "a channel stopped", "application", "warning"),
    ((69,), "graphics engine class error", "application", "warning"),
    ((45,), "channels removed", "follow", "info"),
    ((48,), "double-bit ECC error", "drain", "error"),
    ((62,), "the GPU's microcontroller halted", "reset", "error"),
    ((109,), "context switch timeout", "reset", "error"),
    ((119,), "the GPU's system processor (GSP) timed out", "reset", "error"),
    ((120,), "error in the GPU's system processor (GSP)", "reset", "error"),
    ((140,), "unrecovered ECC error", "reset", "error"),
    ((143,), "initialisation error", "reset", "error"),
    ((63,), "a memory row is to be replaced", "none", "info"),
    ((64,), "a memory row could not be replaced", "reset", "error"),
    ((74, *range(144, 151)), "NVLink error", "nvlink", "error"),
    ((79,), "the GPU fell off the bus", "restart", "error"),
    ((92,), "many single-bit ECC errors", "watch", "warning"),
    ((94,), "contained ECC error", "restart-app", "warning"),
    ((95,), "uncontained ECC error", "reset", "error"),
    ((121,), "error of the link between chips (C2C)", "read", "warning"),
    ((136,), "link training failed", "reset", "error"),
    ((137,), "NVLink privilege error", "read", "warning"),
    ((151,), "key rotation error", "restart-vm", "error"),
    ((154,), "the driver says how to recover", "read", "warning"),
)
XIDS: dict[int, Xid] = {code: Xid(*row[1:]) for row in _ROWS for code in row[0]}
UNKNOWN = Xid("not in our table; see NVIDIA's catalogue of Xid errors", "read", "warning")
LOST = 79

_LINE = re.compile(r"NVRM: Xid \(PCI:([0-9a-fA-F:.]+)\): (\d+)(.*)")
_OFF_THE_BUS = re.compile(r"NVRM: The NVIDIA GPU ([0-9a-fA-F:.]+)")
"""What newer drivers write, over several lines, of a card that was gone before they knew it: no code."""


class Seen(msgspec.Struct, frozen=True):
    """A line of the kernel log with an Xid."""

    code: int
    bus: str
    """PCI address as logged, "0000:3b:00"."""
    text: str

    @property
    def xid(self) -> Xid:
        return XIDS.get(self.code, UNKNOWN)


def read_xids(log: str) -> Iterator[Seen]:
    """The Xids of a kernel log, in its order; a card that fell off the bus counts as 79."""
    lines = log.splitlines()
    for number, line in enumerate(lines):
        if found := _LINE.search(line):
            yield Seen(int(found[2]), found[1], found[0])
        elif (found := _OFF_THE_BUS.search(line)) and any(
            "fallen off the bus" in near for near in lines[number : number + 3]
        ):
            yield Seen(LOST, found[1], f"{found[0]} has fallen off the bus")


def same_card(logged: str, bus: str | None) -> bool:
    """Whether a logged address ("0000:3b:00") is that of a GPU ("00000000:3B:00.0")."""
    return bus is not None and _short(logged) == _short(bus)


def _short(address: str) -> str:
    domain, _, rest = address.partition(":")
    return f"{int(domain, 16):x}:{rest.partition('.')[0].lower()}"
