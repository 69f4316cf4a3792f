"""The model in a checkpoint, read a few tensors at a time, and with its adapters merged if it has some."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors import SafetensorError
from torch import Tensor
from transformers import AutoModelForCausalLM

from engine.checkpoint import layout
from engine.checkpoint.store import read_metadata, read_shards
from engine.checkpoint.tensors import MODEL, model_tensors, saved_tensors
from engine.findings import Finding, FindingsError, Fix
from engine.models.lora import ADAPTER_CONFIG, A, B, add_product, is_adapter


class SavedModel(Protocol):
    """A whole model on disk, under the names of its parameters."""

    @property
    def shapes(self) -> dict[str, Tensor]:
        """What there is; only shape and dtype of the tensors count."""
        ...

    def read(self, names: Iterable[str]) -> dict[str, Tensor]:
        """Some of it, in host memory."""
        ...


def open_model(checkpoint: Path) -> SavedModel:
    """Raises FindingsError (export.base-not-loadable, export.other-base) for adapters without their model."""
    shards = Shards(checkpoint / layout.SHARDS)
    config = checkpoint / layout.HF_ASSETS / ADAPTER_CONFIG
    return WithAdapters(shards, json.loads(config.read_text())) if config.exists() else shards


class Shards:
    """The weights that a checkpoint holds."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.shapes = {
            name.removeprefix(MODEL): torch.empty(info.size, dtype=info.properties.dtype, device="meta")
            for name, info in saved_tensors(read_metadata(folder)).items()
            if name.startswith(MODEL)
        }

    def read(self, names: Iterable[str]) -> dict[str, Tensor]:
        tensors = {MODEL + name: torch.empty_like(self.shapes[name], device="cpu") for name in names}
        read_shards(tensors, self._folder, alone=True)
        return {name.removeprefix(MODEL): tensor for name, tensor in tensors.items()}


class WithAdapters:
    """The model that adapters were trained on, in its own dtype and in memory, with them added on reading."""

    def __init__(self, shards: Shards, config: dict[str, Any]) -> None:
        """`config` is peft's `adapter_config.json`."""
        self._scaling = config["lora_alpha"] / config["r"]
        self._transposed = config["fan_in_fan_out"]
        self._adapters = shards.read(name for name in shards.shapes if is_adapter(name))
        self.shapes = model_tensors(_load(config["base_model_name_or_path"]))
        layers = [name.partition(A)[0] for name in self._adapters if A in name]
        for layer in layers:
            weight, (a, b) = self.shapes.get(f"{layer}.weight"), self._factors(layer)
            size = (a.shape[1], b.shape[0]) if self._transposed else (b.shape[0], a.shape[1])
            if weight is None or weight.shape != size:
                raise FindingsError([_other_base(config["base_model_name_or_path"], layer, size, weight)])
        self._adapted = {f"{layer}.weight": layer for layer in layers}

    def read(self, names: Iterable[str]) -> dict[str, Tensor]:
        return {name: self._merged(name) for name in names}

    def _merged(self, name: str) -> Tensor:
        weight = self.shapes[name]
        if name not in self._adapted:
            return weight
        a, b = self._factors(self._adapted[name])
        return add_product(weight, a, b, self._scaling, self._transposed)

    def _factors(self, layer: str) -> tuple[Tensor, Tensor]:
        return self._adapters[f"{layer}{A}weight"], self._adapters[f"{layer}{B}weight"]


def _load(base: str) -> Any:
    try:
        return AutoModelForCausalLM.from_pretrained(base, dtype="auto")
    except (OSError, ValueError, ImportError, SafetensorError) as error:
        raise FindingsError([_not_loadable(base, error)]) from error


def _not_loadable(base: str, error: Exception) -> Finding:
    return Finding(
        id="export.base-not-loadable",
        severity="error",
        cause=f"The checkpoint holds LoRA adapters of {base}, which cannot be loaded.",
        evidence=tuple(str(error).strip().splitlines()[:4]),
        fixes=(
            Fix(f"put the model back to {base}"),
            Fix(
                f"or change base_model_name_or_path in {layout.HF_ASSETS}/{ADAPTER_CONFIG} of the checkpoint"
            ),
        ),
    )


def _other_base(base: str, layer: str, size: tuple[int, int], weight: Tensor | None) -> Finding:
    there = "nothing of that name" if weight is None else "×".join(map(str, weight.shape))
    return Finding(
        id="export.other-base",
        severity="error",
        cause=f"The checkpoint holds LoRA adapters of another model than there is now at {base}.",
        evidence=(f"{layer}: the adapter is for {size[0]}×{size[1]}, there is {there}",),
        fixes=(
            Fix(f"put the model that was trained back to {base}"),
            Fix(
                f"or change base_model_name_or_path in {layout.HF_ASSETS}/{ADAPTER_CONFIG} of the checkpoint"
            ),
        ),
    )
