"""What ranks say to each other: reductions and gathers over all ranks, each watched while it lasts."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal, Protocol

import torch
import torch.distributed as dist
from torch import Tensor

from engine.config.sections import RunConfig
from engine.strategy import process_group

_OPS = {
    "sum": dist.ReduceOp.SUM,
    "mean": dist.ReduceOp.SUM,
    "max": dist.ReduceOp.MAX,
    "min": dist.ReduceOp.MIN,
}
WORLD = "world"


class CollectiveError(RuntimeError):
    """A collective that the engine issued failed; says which one, and after how long."""


class CollectiveWatch(Protocol):
    """Told of every collective that the engine issues itself, on the rank that issues it."""

    def begin(self, group: str, op: str, size: int) -> None:
        """A collective of `size` bytes over `group` is entered."""
        ...

    def end(self) -> None:
        """It is over, its result is on this rank."""
        ...


class Collectives:
    """Process group, rank and device of this process. Every method is collective."""

    def __init__(self, config: RunConfig) -> None:
        self.config = config
        self.rank, self.world_size, self.device = process_group.start(config)
        self.watch: CollectiveWatch | None = None

    def all_reduce(self, value: Tensor, op: Literal["sum", "mean", "max", "min"] = "mean") -> Tensor:
        """Reduce a tensor over ranks; the argument is not changed."""
        if self.world_size == 1:
            return value.clone()
        with self.watched("all_reduce", value.nbytes):
            reduced = value.to(self.device, copy=True)
            dist.all_reduce(reduced, op=_OPS[op])
            if op == "mean":
                reduced /= self.world_size
            return reduced.to(value.device)

    def all_reduce_number(self, value: float, op: Literal["sum", "max", "min"]) -> float:
        """`all_reduce` of one Python number."""
        return float(self.all_reduce(torch.tensor(value, dtype=torch.float64), op))

    def all_gather(self, value: Tensor) -> Tensor:
        """Stack a tensor of the same shape from all ranks: [world, …]."""
        if self.world_size == 1:
            return value[None].clone()
        with self.watched("all_gather", value.nbytes):
            local = value.to(self.device).contiguous()
            gathered = [torch.empty_like(local) for _ in range(self.world_size)]
            dist.all_gather(gathered, local)
            return torch.stack(gathered).to(value.device)

    def gather_objects(self, value: Any) -> list[Any] | None:
        """Small Python objects of all ranks, on rank 0; None elsewhere."""
        if self.world_size == 1:
            return [value]
        gathered: list[Any] | None = [None] * self.world_size if self.rank == 0 else None
        with self.watched("gather_objects", 0):
            dist.gather_object(value, gathered, dst=0)
        return gathered

    def all_gather_objects(
        self, value: Any, group: dist.ProcessGroup | None = None, name: str = WORLD
    ) -> list[Any]:
        """Python objects of all ranks of `group`, on each of them, in the order of ranks."""
        size = dist.get_world_size(group) if self.world_size > 1 else 1
        if size == 1:
            return [value]
        gathered: list[Any] = [None] * size
        with self.watched("all_gather_objects", 0, name):
            dist.all_gather_object(gathered, value, group=group)
        return gathered

    def broadcast_object(self, value: Any) -> Any:
        """Rank 0's Python object, on every rank."""
        if self.world_size == 1:
            return value
        box = [value]
        with self.watched("broadcast_object", 0):
            dist.broadcast_object_list(box, src=0, device=self.device)
        return box[0]

    def barrier(self) -> None:
        """Wait for all ranks."""
        if self.world_size > 1:
            self.all_reduce_number(0.0, "sum")

    @contextmanager
    def watched(self, op: str, size: int, group: str = WORLD) -> Iterator[None]:
        """Tell the watch of a collective of `size` bytes that happens inside.

        Raises CollectiveError when it fails: a rank did not come within the timeout, or is lost.
        """
        if self.watch is not None:
            self.watch.begin(group, op, size)
        started = time.monotonic()
        try:
            yield
        except RuntimeError as error:
            seconds = time.monotonic() - started
            raise CollectiveError(f"{op} over {group} failed after {seconds:.1f} s: {error}") from error
        finally:
            if self.watch is not None:
                self.watch.end()
