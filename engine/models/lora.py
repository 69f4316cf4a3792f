"""LoRA through peft: adapters inside a loaded model, which keeps its class and its modules' names.

Only adapters are trained. Their dropout acts in updates alone: log-probability passes run in eval mode, for
the policy that samples has none.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from engine.config.sections import ModelSection
from engine.libraries import require_peft
from engine.models.lora_targets import chosen_targets

Named = tuple[str, Tensor]

ADAPTER = "default"
ADAPTER_CONFIG = "adapter_config.json"
BASE, A, B = ".base_layer.", f".lora_A.{ADAPTER}.", f".lora_B.{ADAPTER}."
"""What peft puts into names: of the layer that got an adapter, and of the adapter's factors."""


def add_adapters(model: Any, settings: ModelSection, *, base: str, seed: int) -> None:
    """Put float32 adapters into a transformers model and freeze the rest.

    The model still computes what it did: adapters begin as zero. `seed` makes them alike on all ranks; `base`
    is where the model came from, for `adapter_config.json`. Raises FindingsError: model.lora-target,
    environment.missing-extra.
    """
    require_peft()
    from peft import LoraConfig, inject_adapter_in_model

    config = LoraConfig(
        task_type="CAUSAL_LM",
        base_model_name_or_path=str(Path(base).resolve()) if Path(base).is_dir() else base,
        r=settings.lora_rank,
        lora_alpha=settings.lora_alpha,
        lora_dropout=settings.lora_dropout,
        target_modules=_targets(model, settings.target_modules),
        fan_in_fan_out=any(isinstance(module, Conv1D) for module in model.modules()),
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        inject_adapter_in_model(config, model, ADAPTER)
    for name, parameter in model.named_parameters():
        if is_adapter(name):
            parameter.data = parameter.data.float()


def is_adapter(name: str) -> bool:
    """Whether a parameter of that name is part of an adapter."""
    return A in name or B in name


def adapter_config(model: nn.Module) -> Any | None:
    """peft's configuration of a model's adapters; None without any."""
    for module in model.modules():
        if ADAPTER in getattr(module, "peft_config", {}):
            return module.peft_config[ADAPTER]  # type: ignore[index]
    return None


def write_adapter_config(model: nn.Module, folder: Path) -> None:
    """peft's `adapter_config.json`, for a model that has adapters."""
    if config := adapter_config(model):
        config.save_pretrained(folder)


@contextmanager
def adapters_disabled(model: nn.Module) -> Iterator[None]:
    """Inside, the model is the one that the adapters were put into."""
    layers: list[Any] = [
        module for module in model.modules() if isinstance(getattr(module, "lora_A", None), nn.ModuleDict)
    ]
    # Not peft's own switch, which also changes `requires_grad`: a sharding strategy looks at that once, at
    # whatever forward pass comes first.
    for layer in layers:
        layer._disable_adapters = True
    try:
        yield
    finally:
        for layer in layers:
            layer._disable_adapters = False


# --- the plain model's weights ---------------------------------------------------------------------------


def plain_name(name: str) -> str:
    """The name that a weight, itself no part of an adapter, had before there were adapters."""
    return name.replace(BASE, ".")


def merged(model: nn.Module, named: Iterable[Named]) -> Iterator[Named]:
    """Weights of `model` in its own order → those of the plain model with its adapters added, one by one.

    One layer's weights are held until its adapter has come. Names are those of `model`'s modules.
    """
    held: list[Named] = []
    factor = torch.empty(0)
    for name, tensor in named:
        if BASE in name:
            held.append((name, tensor))
        elif A in name:
            factor = tensor
        elif B in name:
            layer: Any = model.get_submodule(name.partition(B)[0])
            for base_name, base in held:
                if base_name.endswith(f"{BASE}weight"):
                    base = add_product(base, factor, tensor, layer.scaling[ADAPTER], layer.fan_in_fan_out)
                yield plain_name(base_name), base
            held.clear()
        else:
            yield name, tensor


@torch.no_grad()
def add_product(weight: Tensor, a: Tensor, b: Tensor, scaling: float, transposed: bool) -> Tensor:
    """W + scaling · B·A, computed in float32, in the dtype of `weight`. `transposed`: W is [in, out]."""
    product = b.float() @ a.float()
    return torch.add(weight.float(), product.t() if transposed else product, alpha=scaling).to(weight.dtype)


# --- target modules --------------------------------------------------------------------------------------


def _targets(model: Any, wanted: str) -> list[str]:
    """Names for peft of the layers to adapt. Embeddings and head stay: they may be one weight, used twice."""
    head = model.get_output_embeddings()
    linear = [
        name for name, m in model.named_modules() if isinstance(m, nn.Linear | Conv1D) and m is not head
    ]
    return chosen_targets(linear, wanted)
