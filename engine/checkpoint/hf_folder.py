"""A model as a Hugging Face folder: safetensors of bounded size, an index, and what belongs beside them."""

import json
from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from pathlib import Path

import torch
import torch.distributed as dist
from safetensors.torch import save_file
from torch import Tensor, nn

from engine.checkpoint import layout
from engine.checkpoint.access import TensorAccess
from engine.checkpoint.store import refusals_as_os_error
from engine.models.actor import Actor
from engine.models.lora import is_adapter, merged, plain_name

MAX_FILE_BYTES = 5 * 10**9

HFAssets = Callable[[Path], None]


def write_model(model: nn.Module, access: TensorAccess, assets: HFAssets, folder: Path) -> None:
    """Rank 0 writes the whole model into `folder`, its parameters gathered one at a time. Collective.

    Adapters are merged into the weights that they belong to.

    Raises OSError on rank 0 alone, after all ranks have walked through the parameters together.
    """
    shapes = access.weight_shapes(model)
    tensors = {plain_name(name): tensor for name, tensor in shapes.items() if not is_adapter(name)}
    walk = merged(model.model if isinstance(model, Actor) else model, access.whole_weights(model))
    parts = split({name: tensor.numel() * tensor.element_size() for name, tensor in tensors.items()})
    rank_0 = not dist.is_initialized() or dist.get_rank() == 0
    refused: OSError | None = None
    for file, names in parts.items():
        held: dict[str, Tensor] = {}
        for name, full in islice(walk, len(names)):
            if rank_0 and refused is None:
                held[name] = full.cpu()
        try:
            if rank_0 and refused is None:
                write_part(folder / file, held)
        except OSError as error:
            refused = error
    if refused is not None:
        raise refused
    if rank_0:
        write_index(folder, parts, tensors)
        with refusals_as_os_error():
            assets(folder)
        set_dtype(folder, next(iter(tensors.values())).dtype)
        for path in [*folder.iterdir(), folder]:
            layout.fsync(path)


def split(sizes: Mapping[str, int]) -> dict[str, list[str]]:
    """Which tensors go into which file, in order; none above MAX_FILE_BYTES unless one tensor is."""
    groups: list[list[str]] = [[]]
    held = 0
    for name, size in sizes.items():
        if groups[-1] and held + size > MAX_FILE_BYTES:
            groups.append([])
            held = 0
        groups[-1].append(name)
        held += size
    if len(groups) == 1:
        return {"model.safetensors": groups[0]}
    return {f"model-{i:05d}-of-{len(groups):05d}.safetensors": names for i, names in enumerate(groups, 1)}


def write_part(path: Path, tensors: dict[str, Tensor]) -> None:
    """One safetensors file. Raises OSError if it cannot be written."""
    whole = {name: tensor.contiguous() for name, tensor in tensors.items()}
    with refusals_as_os_error():
        save_file(whole, path, metadata={"format": "pt"})


def write_index(folder: Path, parts: Mapping[str, Iterable[str]], tensors: Mapping[str, Tensor]) -> None:
    """The index of a model in several files; one file needs none."""
    if len(parts) == 1:
        return
    total = sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
    weight_map = {name: file for file, names in parts.items() for name in names}
    index = {"metadata": {"total_size": total}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=2) + "\n")


def set_dtype(folder: Path, dtype: torch.dtype) -> None:
    """Say in config.json which dtype the weights have, so that they are loaded as they are."""
    path = folder / "config.json"
    config = json.loads(path.read_text())
    config.pop("torch_dtype", None)
    config["dtype"] = str(dtype).removeprefix("torch.")
    path.write_text(json.dumps(config, indent=2) + "\n")
