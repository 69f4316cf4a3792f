"""How long this rank waits in the collectives that the engine issues, and in which one it is now."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch


class _HostTimer:
    """Seconds between two moments of this thread."""

    def __init__(self) -> None:
        self._started, self._seconds = time.perf_counter(), -1.0

    def stop(self) -> None:
        self._seconds = time.perf_counter() - self._started

    def running(self) -> bool:
        return self._seconds < 0

    def elapsed(self) -> float:
        """So far, or from start to end."""
        return time.perf_counter() - self._started if self.running() else self._seconds


class _DeviceTimer(_HostTimer):
    """Seconds that the device's stream spends: the host only enqueues, and goes on."""

    def __init__(self) -> None:
        super().__init__()
        self._begin, self._end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        self._begin.record()

    def stop(self) -> None:
        self._end.record()
        super().stop()

    def running(self) -> bool:
        return super().running() or not self._end.query()

    def elapsed(self) -> float:
        return super().elapsed() if self.running() else self._begin.elapsed_time(self._end) / 1000


@dataclass(frozen=True)
class _Call:
    step: int
    phase: str
    group: str
    op: str
    size: int
    seq: int
    timer: _HostTimer


@dataclass
class _Total:
    """Several collectives of one kind in one group: the last number, how many, bytes, seconds."""

    seq: int = 0
    count: int = 0
    size: int = 0
    seconds: float = 0.0
    longest: float = 0.0

    def add(self, call: _Call) -> None:
        seconds = call.timer.elapsed()
        self.seq = call.seq
        self.count += 1
        self.size += call.size
        self.seconds += seconds
        self.longest = max(self.longest, seconds)


class CollectiveTimes:
    """A `CollectiveWatch` that numbers the collectives of each group and adds up their seconds.

    Collectives of `size` 0 carry Python objects and happen on the host; others happen on `device`.
    """

    def __init__(self, device: torch.device, where: Callable[[], tuple[int, str]]) -> None:
        """`where` tells the present step and phase."""
        self.device = device
        self._where = where
        self._numbers: dict[str, int] = {}
        self._last: _Call | None = None
        self._done: list[_Call] = []

    def begin(self, group: str, op: str, size: int) -> None:
        """See `CollectiveWatch`."""
        seq = self._numbers[group] = self._numbers.get(group, 0) + 1
        on_device = self.device.type == "cuda" and size > 0
        timer = _DeviceTimer() if on_device else _HostTimer()
        self._last = _Call(*self._where(), group, op, size, seq, timer)

    def end(self) -> None:
        """See `CollectiveWatch`."""
        if self._last is not None:
            self._last.timer.stop()
            self._done.append(self._last)

    def last(self) -> dict[str, Any]:
        """Of a heartbeat: the last collective, and the seconds that it has been in flight, if it is."""
        call = self._last
        if call is None:
            return {}
        waiting = round(call.timer.elapsed(), 3) if call.timer.running() else None
        return {"group": call.group, "op": call.op, "seq": call.seq, "waiting": waiting}

    def take(self) -> list[dict[str, Any]]:
        """Fields of `Collective` events: totals since the last call. The device has done its work."""
        done, self._done = self._done, []
        totals: dict[tuple[int, str, str, str], _Total] = {}
        for call in done:
            totals.setdefault((call.step, call.phase, call.group, call.op), _Total()).add(call)
        return [
            {"step": step, "phase": phase, "group": group, "op": op, **vars(total)}
            for (step, phase, group, op), total in totals.items()
        ]
