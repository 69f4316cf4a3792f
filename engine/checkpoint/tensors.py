"""The tensors of a model and its optimizer under the names they have in a checkpoint.

`model.<Hugging Face name>` and `optimizer.<Hugging Face name>.<moment>`: the policy's wrapper is left out of
the names here and nowhere else, and of tied parameters only the first is kept.
"""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.distributed.checkpoint.metadata import Metadata, TensorStorageMetadata
from torch.optim import Optimizer

from engine.findings import Finding, FindingsError, Fix
from engine.models.actor import Actor

MODEL, OPTIMIZER = "model.", "optimizer."


def model_tensors(model: nn.Module) -> dict[str, Tensor]:
    """Parameters and persistent buffers by Hugging Face name, in the model's own memory; DTensors if sharded.

    Goes through `state_dict`, whose hooks shard again what FSDP2 still holds whole after a forward pass.
    """
    tensors = model.state_dict()
    every = {name for name, _ in model.named_parameters(remove_duplicate=False)}
    tied = every.difference(name for name, _ in model.named_parameters())
    return {hf_name(model, name): tensor for name, tensor in tensors.items() if name not in tied}


def optimizer_tensors(model: nn.Module, optimizer: Optimizer) -> dict[str, Tensor]:
    """The tensors of the optimizer's state, as `<Hugging Face name>.<moment>`. Call `model_tensors` first."""
    return {
        f"{hf_name(model, name)}.{moment}": value
        for name, parameter in model.named_parameters()
        for moment, value in optimizer.state.get(parameter, {}).items()
    }


def checkpoint_tensors(model: nn.Module, optimizer: Optimizer) -> dict[str, Tensor]:
    """All that torch DCP saves."""
    model_part = {MODEL + name: tensor for name, tensor in model_tensors(model).items()}
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


def check_fit(weights: Mapping[str, Tensor], saved: Mapping[str, TensorStorageMetadata], path: Path) -> None:
    """Raise FindingsError (checkpoint.does-not-fit) unless the checkpoint has just a model's `weights`."""
    there = {name.removeprefix(MODEL): info.size for name, info in saved.items() if name.startswith(MODEL)}
    here = {name: tensor.shape for name, tensor in weights.items()}
    wrong = sorted(name for name in there.keys() | here.keys() if there.get(name) != here.get(name))
    if not wrong:
        return
    shown = wrong[:5]
    evidence = [f"{name}: {_size(there.get(name))} saved, {_size(here.get(name))} needed" for name in shown]
    if len(wrong) > len(shown):
        evidence.append(f"and {len(wrong) - len(shown)} more")
    raise FindingsError(
        [
            Finding(
                id="checkpoint.does-not-fit",
                severity="error",
                cause=f"{path} is of another model: {len(wrong)} of {len(here)} tensors differ.",
                evidence=tuple(evidence),
                fixes=(
                    Fix("resume with the model.pretrain that the checkpoint was made with"),
                    Fix("or start a new run: leave load_checkpoint out"),
                ),
                param="checkpoint.ckpt_path",
            )
        ]
    )


def _size(size: torch.Size | None) -> str:
    return "none" if size is None else "×".join(map(str, size)) or "scalar"


def saved_tensors(metadata: Metadata) -> dict[str, TensorStorageMetadata]:
    """What a checkpoint holds, by name."""
    items = metadata.state_dict_metadata.items()
    return {name: info for name, info in items if isinstance(info, TensorStorageMetadata)}


def hf_name(model: nn.Module, name: str) -> str:
    """The Hugging Face name of what `model` calls `name`."""
    return name.removeprefix("model.") if isinstance(model, Actor) else name
