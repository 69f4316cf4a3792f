"""Sharding a model with `fully_shard`, layer by layer: over all ranks, or over groups of them."""

import torch
from torch import nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import CPUOffloadPolicy, MixedPrecisionPolicy, OffloadPolicy, fully_shard
from torch.distributed.tensor import DTensor

from engine.config.sections import RunConfig
from engine.models.layers import decoder_layers
from engine.strategy.fill import fill_from_rank_0


class FullySharded:
    """Shards the models of one strategy, keeping one mesh per group size.

    On one rank in float32 without offload there is nothing to shard or to cast: models stay as they are.
    """

    def __init__(self, config: RunConfig, device: torch.device, world_size: int) -> None:
        self.config = config
        self.device = device
        self.world_size = world_size
        self.compute_dtype = torch.bfloat16 if config.model.bf16 else torch.float32
        self._meshes: dict[int, DeviceMesh] = {}

    def freeze(self, model: nn.Module, shard_size: int | None = None, *, from_rank_0: bool = False) -> None:
        """Shard a model that is only run forward; any with decoder layers, whatever its head."""
        model.eval()
        model.requires_grad_(False)
        self.shard(model, trainable=False, shard_size=shard_size, from_rank_0=from_rank_0)

    def shard(
        self, model: nn.Module, *, trainable: bool, shard_size: int | None = None, from_rank_0: bool = False
    ) -> None:
        """Shard `model` in place over `shard_size` neighbouring ranks, and replicate it over the rest.

        None: `fsdp_shard_size` ranks, else all. Parameters move to the device with their shards, layer by
        layer: the whole never has to fit. Embedding and head are sharded with the root. `from_rank_0`: the
        others get a layer's parameters, on the device, just before it is sharded.
        """
        memory = self.config.memory
        if self.world_size == 1 and not self.config.model.bf16 and not memory.fsdp_cpu_offload:
            model.to(self.device)
            return
        pinned = self.device.type == "cuda"
        offload = CPUOffloadPolicy(pin_memory=pinned) if memory.fsdp_cpu_offload else OffloadPolicy()
        precision = MixedPrecisionPolicy(param_dtype=self.compute_dtype, reduce_dtype=torch.float32)
        mesh = self._mesh(shard_size or self.config.parallel.fsdp_shard_size or self.world_size)
        if from_rank_0:
            fill_from_rank_0(model.buffers(), self.device)
        for layer in decoder_layers(model):
            if from_rank_0:
                fill_from_rank_0(layer.parameters(), self.device)
            fully_shard(layer, mesh=mesh, mp_policy=precision, offload_policy=offload)
        # What is trained keeps embedding and head whole for the backward pass; there is none otherwise.
        reshard = None if trainable else True
        if from_rank_0:
            fill_from_rank_0([p for p in model.parameters() if not isinstance(p, DTensor)], self.device)
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
