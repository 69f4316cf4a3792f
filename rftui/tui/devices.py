"""The devices of a run at one moment: what each one does, and what it was predicted to hold."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from engine.events import Gpu
from rftui.runs.compared import needed
from rftui.runs.state import RankState
from rftui.runs.view import RunView
from rftui.tui.text import clean_line

STALE_S = 15.0
"""A GPU is sampled every 2 seconds; one not heard of for this long does not answer."""
NEARLY_FULL = 0.97
HOT_C = 87.0
"""Degrees Celsius from which data-centre GPUs slow down."""
IDLE_BESIDE = 30.0
"""Percentage points below the median from which one GPU stands out."""


@dataclass(frozen=True, slots=True)
class Device:
    """A GPU, or of a run without one a rank's resident memory. Bytes, watts, °C; None: not told.

    `peak` is the most that was seen in use, `predicted` the plan's figure for the fullest phase.
    `trouble` says in a word or two what is wrong with it.
    """

    label: str
    host: str = ""
    rank: int | None = None
    used: int = 0
    peak: int = 0
    total: int = 0
    predicted: int | None = None
    utilization: float | None = None
    power: float | None = None
    power_limit: float | None = None
    temperature: float | None = None
    trouble: str = ""

    @property
    def is_gpu(self) -> bool:
        """Whether it is a GPU, rather than a rank's share of the host's memory."""
        return not self.label.startswith("r")

    @property
    def fullness(self) -> float:
        """Used share of its memory; 0 where the total is unknown."""
        return self.used / self.total if self.total else 0.0


def devices(view: RunView, now: float, live: bool) -> tuple[Device, ...]:
    """All GPUs by host and number, those of ranks with their rank; without GPUs a device per rank."""
    predicted = _predicted(view)
    if not view.gpus:
        return tuple(_of_rank(view, rank, predicted) for _, rank in sorted(view.ranks.items()) if rank.memory)
    owners = _owners(view)
    usual = _median(gpu.utilization for gpu in view.gpus.values())
    return tuple(
        _of_gpu(view, gpu, owners.get(key), predicted, _trouble(gpu, now, usual) if live else "")
        for key, gpu in sorted(view.gpus.items())
    )


def _of_rank(view: RunView, rank: RankState, predicted: int | None) -> Device:
    memory, host = rank.memory, view.state.hosts.get(rank.header.host) if rank.header else None
    assert memory is not None
    on_device = memory.reserved > 0
    return Device(
        label=f"r{rank.rank}",
        host=clean_line(rank.header.host) if rank.header else "",
        rank=rank.rank,
        used=memory.reserved or memory.rss,
        peak=max([rank.memory_peak, *rank.phase_memory.values()]),
        total=0 if on_device or host is None else host.memory_total,
        predicted=predicted if on_device else None,
    )


def _of_gpu(view: RunView, gpu: Gpu, rank: RankState | None, predicted: int | None, trouble: str) -> Device:
    held = list(rank.phase_memory.values()) if rank and rank.memory and rank.memory.device_used else []
    return Device(
        label=str(gpu.index),
        host=clean_line(gpu.host),
        rank=rank.rank if rank else None,
        used=gpu.memory_used or 0,
        peak=max([view.state.gpu_peaks.get((gpu.host, gpu.index), 0), *held]),
        total=gpu.memory_total or 0,
        predicted=predicted if rank else None,
        utilization=gpu.utilization,
        power=gpu.power,
        power_limit=gpu.power_limit,
        temperature=gpu.temperature,
        trouble=trouble,
    )


def _owners(view: RunView) -> dict[tuple[str, int], RankState]:
    """GPU → rank: on each host the ranks use the visible GPUs in order, as torchrun's local ranks do."""
    of_host: dict[str, list[RankState]] = defaultdict(list)
    hosts = {host for host, _ in view.gpus}
    for _, rank in sorted(view.ranks.items()):
        told = rank.header.host if rank.header else ""
        of_host[next(iter(hosts)) if not told and len(hosts) == 1 else told].append(rank)
    found: dict[tuple[str, int], RankState] = {}
    for host, ranks in of_host.items():
        keys = [key for key in view.gpus if key[0] == host]
        if len(ranks) <= len(keys):
            found |= dict(zip(keys, ranks, strict=False))
    return found


def _predicted(view: RunView) -> int | None:
    if view.planned is None:
        return None
    phases = view.planned.footprint.phases
    return max((needed(phase) for phase in phases), default=0) + view.planned.held_by_others


def _trouble(gpu: Gpu, now: float, usual: float | None) -> str:
    """The worst thing to be said of a GPU; empty when all is well."""
    if now - gpu.t > STALE_S:
        return f"silent {now - gpu.t:.0f}s"
    if gpu.utilization is None and gpu.memory_used is None and gpu.power is None:
        return "lost?"
    if gpu.ecc_errors:
        return f"{gpu.ecc_errors} ECC"
    if gpu.throttled:
        return clean_line(gpu.throttled[0])
    if gpu.temperature is not None and gpu.temperature >= HOT_C:
        return "hot"
    if gpu.memory_used and gpu.memory_total and gpu.memory_used > NEARLY_FULL * gpu.memory_total:
        return "full"
    if gpu.utilization is not None and usual is not None and usual - gpu.utilization > IDLE_BESIDE:
        return "idle"
    return ""


def _median(values: Iterable[float | None]) -> float | None:
    known = sorted(value for value in values if value is not None)
    return known[len(known) // 2] if known else None
