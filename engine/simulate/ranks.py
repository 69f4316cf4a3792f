"""A process group of N ranks of which one is there, and what the others, who do the same, would say."""

import os
from typing import Any, Literal

import torch
import torch.distributed as dist
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor
from torch.testing._internal.distributed.fake_pg import FakeStore, _create_fake_pg

from engine.simulate import accelerator
from engine.strategy import process_group
from engine.strategy.collectives import WORLD, Collectives

BACKEND = "absent"


def join(world_size: int, device: torch.device) -> None:
    """Become rank 0 of `world_size`; what `process_group.start` then finds. Collectives move nothing."""
    os.environ |= {"RANK": "0", "WORLD_SIZE": str(world_size), "LOCAL_RANK": "0"}
    dist.Backend.register_backend(
        BACKEND, _create_fake_pg, extended_api=True, devices=["cpu", accelerator.NAME]
    )
    backends = f"cpu:{BACKEND},{accelerator.NAME}:{BACKEND}"
    dist.init_process_group(backends, store=FakeStore(), rank=0, world_size=world_size)
    process_group._device = lambda config: device


class AllAlike(Collectives):
    """Collectives among ranks that all have what this one has."""

    def all_reduce(self, value: Tensor, op: Literal["sum", "mean", "max", "min"] = "mean") -> Tensor:
        """On the device like any other; of real numbers the true result."""
        if isinstance(value, FakeTensor):
            return super().all_reduce(value, op)
        return value * self.world_size if op == "sum" else value.clone()

    def gather_objects(self, value: Any) -> list[Any] | None:
        return [value] * self.world_size

    def all_gather_objects(
        self, value: Any, group: dist.ProcessGroup | None = None, name: str = WORLD
    ) -> list[Any]:
        return [value] * dist.get_world_size(group)

    def broadcast_object(self, value: Any) -> Any:
        return value
