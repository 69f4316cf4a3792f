"""Checkpoints of a model under ZeRO: the same names and tensors as of one sharded with FSDP2."""

from collections.abc import Callable, Iterator, Mapping

import torch
from torch import Tensor, nn
from torch.distributed.checkpoint.metadata import TensorStorageMetadata
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.tensor import DTensor, Shard
from torch.optim import Optimizer

from engine.checkpoint.tensors import MODEL, OPTIMIZER, hf_name, kept
from engine.sharding import whole
from engine.strategy.zero_engine import ZeroEngine, shape_of

STEP = "step"


class ZeroAccess:
    """Masters and moments are put together one by one; of each, a rank keeps its rows in host memory.

    `engine_of` finds the engine that trains a model.
    """

    def __init__(self, engine_of: Callable[[nn.Module], ZeroEngine], world_size: int) -> None:
        self._engine_of = engine_of
        self._mesh = init_device_mesh("cpu", (world_size,))

    def tensors(self, model: nn.Module, optimizer: Optimizer) -> dict[str, Tensor]:
        """See `TensorAccess`. The weights are the float32 masters."""
        engine = self._engine_of(model)
        result: dict[str, Tensor] = {
            MODEL + name: _rows(_whole(tensor, engine), self._mesh)
            for name, tensor in kept(dict(_weights(model))).items()
        }
        steps = engine.steps
        if steps is None:
            return result
        for name, parameter in _trained(model):
            for moment in engine.MOMENTS:
                value = engine.moment(parameter, moment)
                result[f"{OPTIMIZER}{name}.{moment}"] = _rows(value, self._mesh)
            result[f"{OPTIMIZER}{name}.{STEP}"] = steps
        return result

    @torch.no_grad()
    def fill(
        self,
        model: nn.Module,
        optimizer: Optimizer,
        saved: Mapping[str, TensorStorageMetadata],
        read: Callable[[dict[str, Tensor]], None],
    ) -> None:
        """See `TensorAccess`."""
        engine = self._engine_of(model)
        values = {name: _allocate(info, self._mesh) for name, info in saved.items()}
        read(values)
        for name, tensor in kept(dict(_weights(model))).items():
            value = whole(values.pop(MODEL + name))
            if isinstance(tensor, nn.Parameter):
                engine.set_weight(tensor, value)
            else:
                tensor.copy_(value)
        steps = [value for name, value in values.items() if name.endswith(f".{STEP}")]
        engine.set_steps(steps[0] if steps else None)
        for name, parameter in _trained(model) if steps else ():
            for moment in engine.MOMENTS:
                engine.set_moment(parameter, moment, whole(values.pop(f"{OPTIMIZER}{name}.{moment}")))
        engine.refresh()

    def weight_shapes(self, model: nn.Module) -> dict[str, Tensor]:
        """See `TensorAccess`."""
        return {
            name: torch.empty(shape_of(tensor), dtype=_saved_dtype(tensor), device="meta")
            for name, tensor in _weights(model)
        }

    def whole_weights(self, model: nn.Module) -> Iterator[tuple[str, Tensor]]:
        """See `TensorAccess`. The weights are the float32 masters."""
        engine = self._engine_of(model)
        for name, tensor in _weights(model):
            yield name, _whole(tensor, engine)


def _whole(tensor: Tensor, engine: ZeroEngine) -> Tensor:
    return engine.weight(tensor) if isinstance(tensor, nn.Parameter) else tensor


def _weights(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Parameters, tied ones once, and persistent buffers, under their Hugging Face names."""
    parameters = dict(model.named_parameters())
    tied = {name for name, _ in model.named_parameters(remove_duplicate=False)} - parameters.keys()
    for name, tensor in model.state_dict(keep_vars=True).items():
        if name not in tied:
            yield hf_name(model, name), tensor


def _trained(model: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            yield hf_name(model, name), parameter


def _saved_dtype(tensor: Tensor) -> torch.dtype:
    return torch.float32 if tensor.requires_grad else tensor.dtype


def _rows(tensor: Tensor, mesh: DeviceMesh) -> Tensor:
    """This rank's rows of a tensor that every rank has whole, as a DTensor in host memory."""
    if tensor.dim() == 0:
        return tensor.cpu()
    return _dtensor(_own(tensor, mesh).to("cpu", copy=True), tensor, mesh)


def _allocate(info: TensorStorageMetadata, mesh: DeviceMesh) -> Tensor:
    """Host memory for this rank's rows of what is saved; scalars are whole on every rank."""
    saved = torch.empty(info.size, dtype=info.properties.dtype, device="meta")
    if saved.dim() == 0:
        return torch.empty_like(saved, device="cpu")
    return _dtensor(torch.empty_like(_own(saved, mesh), device="cpu"), saved, mesh)


def _own(tensor: Tensor, mesh: DeviceMesh) -> Tensor:
    parts = tensor.chunk(mesh.size())  # as DTensor deals rows: the last ranks may have none
    rank = mesh.get_local_rank()
    return parts[rank] if rank < len(parts) else tensor[:0]


def _dtensor(rows: Tensor, like: Tensor, mesh: DeviceMesh) -> Tensor:
    whole = torch.empty(like.shape, device="meta")
    return DTensor.from_local(
        rows, mesh, [Shard(0)], run_check=False, shape=whole.shape, stride=whole.stride()
    )
