"""The tensors of a model and its optimizer under the names they have in a checkpoint.

`model.<Hugging Face name>` and `optimizer.<Hugging Face name>.<moment>`: the policy's wrapper is left out of
the names here and nowhere else, and of tied parameters only the first is kept. Of a model with LoRA adapters
a checkpoint holds these alone: the rest is as it was loaded.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.distributed.checkpoint.metadata import Metadata, TensorStorageMetadata
from torch.optim import Optimizer

from engine.models.actor import Actor
from engine.models.lora import is_adapter

MODEL, OPTIMIZER = "model.", "optimizer."


def model_tensors(model: nn.Module) -> dict[str, Tensor]:
    """Parameters and persistent buffers by Hugging Face name, in the model's own memory; DTensors if sharded.

    Goes through `state_dict`, whose hooks shard again what FSDP2 still holds whole after a forward pass.
    """
    tensors = model.state_dict()
    every = {name for name, _ in model.named_parameters(remove_duplicate=False)}
    tied = every.difference(name for name, _ in model.named_parameters())
    return {hf_name(model, name): tensor for name, tensor in tensors.items() if name not in tied}


def kept(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What a checkpoint holds of a model's weights."""
    adapters = {name: value for name, value in weights.items() if is_adapter(name)}
    return adapters or dict(weights)


def optimizer_tensors(model: nn.Module, optimizer: Optimizer) -> dict[str, Tensor]:
    """The tensors of the optimizer's state, as `<Hugging Face name>.<moment>`. Call `model_tensors` first."""
    return {
        f"{hf_name(model, name)}.{moment}": value
        for name, parameter in model.named_parameters()
        for moment, value in optimizer.state.get(parameter, {}).items()
    }


def checkpoint_tensors(model: nn.Module, optimizer: Optimizer) -> dict[str, Tensor]:
    """All that torch DCP saves."""
    model_part = {MODEL + name: tensor for name, tensor in kept(model_tensors(model)).items()}
    return model_part | {OPTIMIZER + n: t for n, t in optimizer_tensors(model, optimizer).items()}


def allocate_moments(
    model: nn.Module, optimizer: Optimizer, saved: Mapping[str, TensorStorageMetadata]
) -> None:
    """Give each parameter the optimizer state that the checkpoint has for it, to be filled by loading.

    A moment as large as its parameter is sharded like it; others (step counters) are whole on every rank.
    """
    model.state_dict()  # shards again what is whole
    parameters = {hf_name(model, name): parameter for name, parameter in model.named_parameters()}
    on_device = {
        p for g in optimizer.param_groups if g.get("fused") or g.get("capturable") for p in g["params"]
    }
    optimizer.state.clear()
    for key, info in saved.items():
        name, _, moment = key.removeprefix(OPTIMIZER).rpartition(".")
        if not key.startswith(OPTIMIZER) or name not in parameters:
            continue
        parameter, dtype = parameters[name], info.properties.dtype
        if info.size == parameter.shape:
            value = torch.zeros_like(parameter.detach(), dtype=dtype)
        else:
            device = parameter.device if parameter in on_device else "cpu"
            value = torch.zeros(info.size, dtype=dtype, device=device)
        optimizer.state[parameter][moment] = value


def saved_tensors(metadata: Metadata) -> dict[str, TensorStorageMetadata]:
    """What a checkpoint holds, by name."""
    items = metadata.state_dict_metadata.items()
    return {name: info for name, info in items if isinstance(info, TensorStorageMetadata)}


def hf_name(model: nn.Module, name: str) -> str:
    """The Hugging Face name of what `model` calls `name`."""
    return name.removeprefix("model.") if isinstance(model, Actor) else name
