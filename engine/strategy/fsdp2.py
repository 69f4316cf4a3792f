"""FSDP2: parameters, gradients and optimizer states sharded with `fully_shard`, over all ranks or some."""

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import (
    CPUOffloadPolicy,
    FSDPModule,
    MixedPrecisionPolicy,
    OffloadPolicy,
    fully_shard,
)
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from engine.checkpoint.access import InPlace, TensorAccess
from engine.config.sections import RunConfig
from engine.models.layers import decoder_layers
from engine.sharding import whole, whole_in_buckets
from engine.strategy.base import Strategy
from engine.strategy.mp_optimizer import MixedPrecisionAdamW
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
        self._meshes: dict[int, DeviceMesh] = {}
        self._shard_size = config.parallel.fsdp_shard_size or self.world_size

    def prepare_model(self, model: nn.Module, *, trainable: bool, shard_size: int | None = None) -> nn.Module:
        """See `Strategy`. On one rank in float32 without offload there is nothing to shard or to cast."""
        model.train(trainable)
        if not trainable:
            model.requires_grad_(False)
        memory = self.config.memory
        if trainable and memory.use_mp_opt:
            model.to(self.compute_dtype)
        if not self._wraps:
            return model.to(self.device)
        self._shard(model, self._mesh(shard_size or self._shard_size), trainable=trainable)
        if not trainable:
            self.maybe_offload_model(model)
        return model

    def _shard(self, model: nn.Module, mesh: DeviceMesh, *, trainable: bool) -> None:
        offload = (
            CPUOffloadPolicy(pin_memory=self.device.type == "cuda")
            if self.config.memory.fsdp_cpu_offload
            else OffloadPolicy()
        )
        precision = MixedPrecisionPolicy(param_dtype=self.compute_dtype, reduce_dtype=torch.float32)
        # Parameters move to the device with their shard, layer by layer: the whole never has to fit.
        for layer in decoder_layers(model):
            fully_shard(layer, mesh=mesh, mp_policy=precision, offload_policy=offload)
        # What is trained keeps embedding and head whole for the backward pass; there is none otherwise.
        reshard = None if trainable else True
        fully_shard(
            model, mesh=mesh, mp_policy=precision, offload_policy=offload, reshard_after_forward=reshard
        )

    def _mesh(self, shard_size: int) -> DeviceMesh:
        """All ranks in one dimension, or replicas of groups that shard."""
        if shard_size not in self._meshes:
            replicas = self.world_size // shard_size
            if replicas == 1:
                mesh = init_device_mesh(self.device.type, (shard_size,))
            else:
                names = ("replicate", "shard")
                mesh = init_device_mesh(self.device.type, (replicas, shard_size), mesh_dim_names=names)
            self._meshes[shard_size] = mesh
        return self._meshes[shard_size]

    @property
    def _wraps(self) -> bool:
        return self.world_size > 1 or self.config.model.bf16 or self.config.memory.fsdp_cpu_offload

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
        for module in model.modules():
            if isinstance(module, FSDPModule):
                module.reshard()  # the root may still be whole after a forward pass without a backward
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

    def maybe_load_optimizer(self, optimizer: Optimizer) -> None:
        if self.config.memory.adam_offload:
            move_states(optimizer, self.device)

    def maybe_offload_optimizer(self, optimizer: Optimizer) -> None:
        if self.config.memory.adam_offload:
            move_states(optimizer, torch.device("cpu"))

    @property
    def checkpoint_access(self) -> TensorAccess:
        return InPlace()
