"""Described machines, as they are typed: "8xA100-80", "8xH100 4" for four of them, nothing for this one."""

from diagnostics.places import described_place
from engine.findings import FindingsError


def machine_of(line: str) -> tuple[str | None, int]:
    """GPUs of one machine, and the number of machines."""
    gpus, _, nodes = line.strip().rpartition(" ")
    if gpus and nodes.isdecimal():
        return gpus.strip(), int(nodes)
    return line.strip() or None, 1


def what_is_wrong(line: str) -> str:
    """Why no machine is described by a line; nothing where one is."""
    gpus, nodes = machine_of(line)
    try:
        if gpus is not None:
            described_place(gpus, nodes)
    except FindingsError as error:
        return error.findings[0].cause
    return ""
