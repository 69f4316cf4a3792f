"""FSDP2: parameters, gradients and optimizer states sharded over all ranks with `fully_shard`."""

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import CPUOffloadPolicy, MixedPrecisionPolicy, OffloadPolicy, fully_shard
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from engine.config.sections import RunConfig
from engine.sharding import whole
from engine.strategy.base import Strategy


class FSDP2Strategy(Strategy):
    """One mesh over all ranks: decoder layers sharded one by one, embedding and head with the root."""

    def __init__(self, config: RunConfig) -> None:
        super().__init__(config)
        self._mesh = init_device_mesh(self.device.type, (self.world_size,))

    def prepare_model(self, model: nn.Module, *, trainable: bool) -> nn.Module:
        """Shard in place; on one rank in float32 without offload there is nothing to shard or to cast."""
        model.train(trainable)
        model.requires_grad_(trainable)
        if not self._wraps:
            return model.to(self.device)
        offload = (
            CPUOffloadPolicy(pin_memory=self.device.type == "cuda")
            if self.config.memory.fsdp_cpu_offload
            else OffloadPolicy()
        )
        precision = MixedPrecisionPolicy(param_dtype=self.compute_dtype, reduce_dtype=torch.float32)
        # Parameters move to the device with their shard, layer by layer: the whole never has to fit.
        for layer in decoder_layers(model):
            fully_shard(layer, mesh=self._mesh, mp_policy=precision, offload_policy=offload)
        # What is trained keeps embedding and head whole for the backward pass; there is none otherwise.
        reshard = None if trainable else True
        fully_shard(
            model,
            mesh=self._mesh,
            mp_policy=precision,
            offload_policy=offload,
            reshard_after_forward=reshard,
        )
        return model

    @property
    def _wraps(self) -> bool:
        return self.world_size > 1 or self.config.model.bf16 or self.config.memory.fsdp_cpu_offload

    def named_full_parameters(self, model: nn.Module) -> Iterator[tuple[str, Tensor]]:
        for name, parameter in model.named_parameters():
            yield name, whole(parameter.detach())

    def backward(self, loss: Tensor, model: nn.Module, optimizer: Optimizer) -> None:
        # FSDP averages gradients over ranks; the loss is a share of a sum.
        (loss * self.world_size).backward()

    def optimizer_step(self, optimizer: Optimizer, model: nn.Module, scheduler: LRScheduler) -> float:
        total = nn.utils.clip_grad_norm_(model.parameters(), self.config.optim.max_norm, foreach=True)
        norm = float(whole(total))
        if math.isfinite(norm):
            optimizer.step()
        scheduler.step()
        optimizer.zero_grad(set_to_none=True)
        return norm


def decoder_layers(model: nn.Module) -> list[nn.Module]:
    """The repeated blocks of a model: the modules of its longest `nn.ModuleList`."""
    lists = [m for m in model.modules() if isinstance(m, nn.ModuleList) and len(m)]
    return list(max(lists, key=len, default=[]))
