"""DeepSpeed: ZeRO 1 shards optimizer states, 2 gradients too, 3 also parameters, over all ranks."""

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from engine.checkpoint.access import TensorAccess
from engine.config.sections import RunConfig
from engine.sharding import buckets
from engine.strategy.base import Strategy
from engine.strategy.fully_sharded import FullySharded
from engine.strategy.zero_engine import ZeroEngine, load_deepspeed, shape_of
from engine.strategy.zero_state import ZeroAccess

MIB = 1024**2


class DeepSpeedStrategy(Strategy):
    """Trains with DeepSpeed's engine, which is made with the optimizer; frozen models are sharded by FSDP2.

    With `adam_offload` masters and optimizer states stay in host memory, and the optimizer steps there.
    """

    def __init__(self, config: RunConfig) -> None:
        load_deepspeed()
        super().__init__(config)
        self._engines: dict[nn.Module, ZeroEngine] = {}
        self._sharded = FullySharded(config, self.device, self.world_size)

    def fills_from_rank_0(self, *, trainable: bool) -> bool:
        """See `Strategy`. DeepSpeed makes masters of whole parameters, on every rank."""
        return not trainable and self.world_size > 1

    def prepare_model(
        self, model: nn.Module, *, trainable: bool, shard_size: int | None = None, from_rank_0: bool = False
    ) -> nn.Module:
        """See `Strategy`. A trainable model stays in host memory until its optimizer is made."""
        if trainable:
            return model.train()
        self._sharded.freeze(model, shard_size, from_rank_0=from_rank_0)
        self.maybe_offload_model(model)
        return model

    def make_optimizer(self, model: nn.Module, *, lr: float) -> Optimizer:
        engine = self._engines[model] = ZeroEngine(model, self.config, self.device, lr=lr)
        return engine.optimizer

    def named_full_parameters(
        self, model: nn.Module, dtype: torch.dtype | None = None
    ) -> Iterator[tuple[str, Tensor]]:
        """See `Strategy`. The parameters, not their masters; under ZeRO 3 gathered in their own dtype."""
        engine = self._engines[model]
        named = dict(model.named_parameters())
        sizes = [(n, torch.empty(shape_of(p), dtype=p.dtype, device="meta")) for n, p in named.items()]
        for bucket in buckets(sizes, self.config.rollout.sync_bucket_mb * MIB, dtype):
            with engine.gathered([named[name] for name, _ in bucket]):
                for name, _ in bucket:
                    yield name, named[name].detach().to(dtype or named[name].dtype)

    def backward(self, loss: Tensor, model: nn.Module, optimizer: Optimizer, *, last: bool = True) -> None:
        # DeepSpeed averages gradients over ranks; the loss is a share of a sum.
        self._engines[model].backward(loss * self.world_size, last=last)

    def optimizer_step(
        self, optimizer: Optimizer, model: nn.Module, scheduler: LRScheduler, name: str = "actor"
    ) -> float:
        norm = self._engines[model].step()
        if not math.isfinite(norm):
            self.print(f"{name}: gradient norm {norm}, update skipped")
        scheduler.step()
        return norm

    def maybe_load_optimizer(self, optimizer: Optimizer) -> None:
        """Nothing: with `adam_offload` the optimizer steps in host memory."""

    def maybe_offload_optimizer(self, optimizer: Optimizer) -> None:
        """Nothing: see `maybe_load_optimizer`."""

    @property
    def checkpoint_access(self) -> TensorAccess:
        return ZeroAccess(self._engines.__getitem__, self.world_size)
