"""FSDP2: parameters, gradients and optimizer states sharded with `fully_shard`, over all ranks or some."""

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from engine.checkpoint.access import InPlace, TensorAccess
from engine.config.sections import RunConfig
from engine.sharding import whole, whole_in_buckets
from engine.strategy.base import Strategy
from engine.strategy.fully_sharded import FullySharded
from engine.strategy.mp_optimizer import MasterAccess, MixedPrecisionAdamW
from engine.strategy.optimizer_states import move_states

MIB = 1024**2


class FSDP2Strategy(Strategy):
    """Decoder layers are sharded one by one, embedding and head with the root.

    With `fsdp_shard_size` (HSDP) parameters are sharded over that many neighbouring ranks and replicated over
    the rest: gathers stay within a group, gradients are reduced within it on every micro-batch and over the
    replicas on the last one.
    """

    def __init__(self, config: RunConfig) -> None:
        super().__init__(config)
        self._sharded = FullySharded(config, self.device, self.world_size)

    def fills_from_rank_0(self, *, trainable: bool) -> bool:
        return self.world_size > 1

    def prepare_model(
        self, model: nn.Module, *, trainable: bool, shard_size: int | None = None, from_rank_0: bool = False
    ) -> nn.Module:
        if not trainable:
            self._sharded.freeze(model, shard_size, from_rank_0=from_rank_0)
            self.maybe_offload_model(model)
            return model
        model.train()
        if self.config.memory.use_mp_opt:
            model.to(self.compute_dtype)
        self._sharded.shard(model, trainable=True, shard_size=shard_size, from_rank_0=from_rank_0)
        return model

    def make_optimizer(self, model: nn.Module, *, lr: float) -> Optimizer:
        optim = self.config.optim
        kind = MixedPrecisionAdamW if self.config.memory.use_mp_opt else torch.optim.AdamW
        return kind(
            [p for p in model.parameters() if p.requires_grad],
            lr=lr,
            betas=optim.adam_betas,
            weight_decay=optim.l2,
            fused=True,
        )

    def named_full_parameters(
        self, model: nn.Module, dtype: torch.dtype | None = None
    ) -> Iterator[tuple[str, Tensor]]:
        self.reshard(model)
        named = ((name, parameter.detach()) for name, parameter in model.named_parameters())
        return whole_in_buckets(named, max_bytes=self.config.rollout.sync_bucket_mb * MIB, dtype=dtype)

    def backward(self, loss: Tensor, model: nn.Module, optimizer: Optimizer, *, last: bool = True) -> None:
        if isinstance(model, FSDPModule):
            model.set_requires_all_reduce(last)  # over the replicas of HSDP; reduce-scatter is every time
        # FSDP averages gradients over ranks; the loss is a share of a sum.
        (loss * self.world_size).backward()

    def optimizer_step(
        self, optimizer: Optimizer, model: nn.Module, scheduler: LRScheduler, name: str = "actor"
    ) -> float:
        trained = [p for p in model.parameters() if p.requires_grad]
        norm = float(whole(nn.utils.clip_grad_norm_(trained, self.config.optim.max_norm, foreach=True)))
        if math.isfinite(norm):
            optimizer.step()
        else:
            self.print(f"{name}: gradient norm {norm}, update skipped")
        scheduler.step()
        optimizer.zero_grad(set_to_none=True)
        return norm

    def reshard(self, model: nn.Module) -> None:
        for module in model.modules():
            if isinstance(module, FSDPModule):
                module.reshard()

    def maybe_load_optimizer(self, optimizer: Optimizer) -> None:
        if self._states_travel:
            move_states(optimizer, self.device)

    def maybe_offload_optimizer(self, optimizer: Optimizer) -> None:
        if self._states_travel:
            move_states(optimizer, torch.device("cpu"))

    @property
    def _states_travel(self) -> bool:
        """With `fsdp_cpu_offload` they are in host memory, and stepped there, all the time."""
        memory = self.config.memory
        return memory.adam_offload and not memory.fsdp_cpu_offload

    @property
    def checkpoint_access(self) -> TensorAccess:
        return MasterAccess() if self.config.memory.use_mp_opt else InPlace()
