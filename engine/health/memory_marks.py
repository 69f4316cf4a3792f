"""High-water marks of memory, per phase, also where phases nest."""

import os
from pathlib import Path

import psutil
import torch

_HOST_MARK = Path("/proc/self/status")
_RESET_HOST_MARK = "/proc/self/clear_refs"
_KIB = 1024


class MemoryMarks:
    """The memory of this process in bytes, with the peaks since a phase began.

    The system keeps one peak, which is reset as each phase begins and ends; what it was until then counts
    for all phases that were on.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._process = psutil.Process()
        self._peaks: list[dict[str, int]] = []

    def begin(self) -> None:
        """A phase begins, perhaps within another."""
        self._raise_to(self._peaks_now())
        self._reset()
        self._peaks.append({})

    def end(self) -> dict[str, int]:
        """The present phase ends; returns the fields of its `Memory` event."""
        self._raise_to(self._peaks_now())
        peaks = self._peaks.pop()
        self._raise_to(peaks)
        self._reset()
        return {"rss": self._process.memory_info().rss, **self._device_now(), **peaks}

    def _raise_to(self, peaks: dict[str, int]) -> None:
        if self._peaks:
            outer = self._peaks[-1]
            outer.update({name: max(value, outer.get(name, 0)) for name, value in peaks.items()})

    def _device_now(self) -> dict[str, int]:
        if self.device.type != "cuda":
            return {}
        return {
            "allocated": torch.cuda.memory_allocated(self.device),
            "reserved": torch.cuda.memory_reserved(self.device),
            "device_used": _used(self.device),
        }

    def _peaks_now(self) -> dict[str, int]:
        peaks = {"rss_peak": _host_peak() or self._process.memory_info().rss}
        if self.device.type == "cuda":
            peaks["peak"] = torch.cuda.max_memory_allocated(self.device)
            peaks["reserved_peak"] = torch.cuda.max_memory_reserved(self.device)
        return peaks

    def _reset(self) -> None:
        _reset_host_peak()
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)


def _used(device: torch.device) -> int:
    """Bytes of the device that processes hold, this one and others."""
    free, total = torch.cuda.mem_get_info(device)
    return total - free


def _host_peak() -> int:
    """Linux's mark of this process's resident memory; 0 where there is none."""
    try:
        status = _HOST_MARK.read_bytes()
    except OSError:
        return 0
    _, found, rest = status.partition(b"VmHWM:")
    return int(rest.split(maxsplit=1)[0]) * _KIB if found else 0


def _reset_host_peak() -> None:
    """Start the mark anew from present use; where that is not allowed it stays that of the whole process."""
    try:
        fd = os.open(_RESET_HOST_MARK, os.O_WRONLY)
    except OSError:
        return
    try:
        os.write(fd, b"5")
    except OSError:
        return
    finally:
        os.close(fd)
