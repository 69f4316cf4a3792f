"""Whether a checkpoint is one of the model that is to be filled from it, and if not, why not."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.distributed.checkpoint.metadata import TensorStorageMetadata

from engine.checkpoint.tensors import MODEL
from engine.findings import Finding, FindingsError, Fix
from engine.models.lora import A, is_adapter

Sizes = Mapping[str, torch.Size]


def check_fit(weights: Mapping[str, Tensor], saved: Mapping[str, TensorStorageMetadata], path: Path) -> None:
    """Raise FindingsError (checkpoint.does-not-fit) unless the checkpoint has just these `weights`."""
    there = {name.removeprefix(MODEL): info.size for name, info in saved.items() if name.startswith(MODEL)}
    here = {name: tensor.shape for name, tensor in weights.items()}
    wrong = sorted(name for name in there.keys() | here.keys() if there.get(name) != here.get(name))
    if not wrong:
        return
    shown = wrong[:5]
    evidence = [f"{name}: {_size(there.get(name))} saved, {_size(here.get(name))} needed" for name in shown]
    if len(wrong) > len(shown):
        evidence.append(f"and {len(wrong) - len(shown)} more")
    cause, fixes = _adapters(there, here, path) or _another_model(len(wrong), here, path)
    raise FindingsError(
        [
            Finding(
                id="checkpoint.does-not-fit",
                severity="error",
                cause=cause,
                evidence=tuple(evidence),
                fixes=(*fixes, Fix("or start a new run: leave load_checkpoint out")),
                param="checkpoint.ckpt_path",
            )
        ]
    )


def check_adapter(saved: Path, here: Mapping[str, Any], path: Path) -> None:
    """Raise FindingsError (checkpoint.does-not-fit) where adapters were made for something else.

    `saved` is the checkpoint's `adapter_config.json`, `here` what would be written now.
    """
    there = json.loads(saved.read_text())
    differ = [name for name in _ADAPTER_SETTINGS if there.get(name) != here.get(name)]
    if not differ:
        return
    evidence = tuple(f"{name}: {there.get(name)} saved, {here.get(name)} now" for name in differ)
    fixes = [Fix(f"resume with {_ADAPTER_SETTINGS[name]} = {there.get(name)}") for name in differ]
    if "base_model_name_or_path" in differ:
        fixes.append(Fix(f"or, if it is the same model in another place, write that into {saved}"))
    finding = Finding(
        id="checkpoint.does-not-fit",
        severity="error",
        cause=f"{path} holds LoRA adapters that were trained with another {' and '.join(differ)}.",
        evidence=evidence,
        fixes=(*fixes, Fix("or start a new run: leave load_checkpoint out")),
        param="checkpoint.ckpt_path",
    )
    raise FindingsError([finding])


_ADAPTER_SETTINGS = {"base_model_name_or_path": "model.pretrain", "lora_alpha": "model.lora_alpha"}


def _another_model(wrong: int, here: Sizes, path: Path) -> tuple[str, tuple[Fix, ...]]:
    cause = f"{path} is of another model: {wrong} of {len(here)} tensors differ."
    return cause, (Fix("resume with the model.pretrain that the checkpoint was made with"),)


def _adapters(there: Sizes, here: Sizes, path: Path) -> tuple[str, tuple[Fix, ...]] | None:
    """What is wrong where adapters are the reason."""
    saved, needed = _rank(there), _rank(here)
    to_saved = Fix(f"set lora_rank to {saved}", set={"model.lora_rank": saved})
    new_base = Fix(
        "or train what it holds anew: export it, and name the folder as model.pretrain",
        command=f"python -m engine.checkpoint.export {path} --to FOLDER",
    )
    if saved and not needed:
        cause = (
            f"{path} holds LoRA adapters of rank {saved}, but this run trains all weights (lora_rank = 0)."
        )
        return cause, (to_saved, new_base)
    if needed and not saved:
        cause = f"{path} holds all weights of a model, but this run trains LoRA adapters of rank {needed}."
        return cause, (to_saved, new_base)
    if saved != needed:
        return f"{path} holds LoRA adapters of rank {saved}, but this run has lora_rank = {needed}.", (
            to_saved,
        )
    if saved and there.keys() != here.keys():
        adapted, wanted = (",".join(_modules(sizes)) for sizes in (there, here))
        cause = f"{path} holds LoRA adapters of other layers than target_modules names now."
        fix = f"set target_modules to what was adapted ({adapted}; now {wanted})"
        return cause, (Fix(fix, set={"model.target_modules": adapted}),)
    return None


def _rank(sizes: Sizes) -> int:
    """The rank of the adapters among some weights; 0 without any."""
    return next((size[0] for name, size in sizes.items() if A in name), 0)


def _modules(sizes: Sizes) -> list[str]:
    """The last part of the names of adapted layers."""
    names = (name.partition(".lora_")[0].rpartition(".")[2] for name in sizes if is_adapter(name))
    return list(dict.fromkeys(names))


def _size(size: torch.Size | None) -> str:
    return "none" if size is None else "×".join(map(str, size)) or "scalar"
