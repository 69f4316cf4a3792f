"""The devices that runs are planned for: memory, bandwidth, peak speed and links."""

from dataclasses import dataclass
from typing import Literal

GIB = 1024**3


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
