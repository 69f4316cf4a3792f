"""Finds the pretrained model: its folder, tokenizer and end tokens; loads as many copies as a run needs."""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, GenerationConfig
from transformers.initialization import no_init_weights
from transformers.utils.logging import disable_progress_bar

from engine.config.sections import RunConfig
from engine.findings import Finding, FindingsError, Fix
from engine.models.attention import Attention, choose_attention
from engine.strategy import Strategy
from engine.toy.model import ensure_model

TOY_PREFIX = "toy:"

_REFUSALS = (OSError, ValueError, ImportError, SafetensorError)


@dataclass(frozen=True)
class ModelSource:
    """A pretrained model on disk or in the hub's cache."""

    name: str
    config: Any
    generation: GenerationConfig
    tokenizer: Any
    eos_token_ids: tuple[int, ...]
    pad_token_id: int
    trust_remote_code: bool
    attention: Attention

    def load(self, dtype: torch.dtype, *, flash: bool = True) -> Any:
        """A new copy of the model in `dtype`, in host memory, with the chosen `attention`.

        `flash`: flash-attention will do, if it was chosen; false for use with masks that it cannot take.
        Raises FindingsError (model.not-loadable, model.missing-weights).
        """
        try:
            model, info = AutoModelForCausalLM.from_pretrained(
                self.name,
                dtype=dtype,
                trust_remote_code=self.trust_remote_code,
                attn_implementation=self.attention.name if flash else self.attention.plain,
                output_loading_info=True,
            )
        except _REFUSALS as error:
            raise FindingsError([_not_loadable(self.name, error)]) from error
        if info["missing_keys"]:  # transformers would go on with random weights in their place
            raise FindingsError([_missing_weights(self.name, sorted(info["missing_keys"]))])
        return model

    def outline(self, dtype: torch.dtype) -> Any:
        """The model as `load` makes it, on the meta device: modules and shapes, neither weights nor buffers.

        Raises whatever the model's code does where it wants numbers.
        """
        with torch.device("meta"), no_init_weights():
            model = AutoModelForCausalLM.from_config(
                copy.deepcopy(self.config),  # which it changes
                dtype=dtype,
                trust_remote_code=self.trust_remote_code,
                attn_implementation=self.attention.name,
            )
        model.tie_weights()
        return model

    def save_assets(self, folder: Path) -> None:
        """Configuration, generation settings and tokenizer, as a Hugging Face folder has them."""
        self.tokenizer.save_pretrained(folder)
        self.config.save_pretrained(folder)
        # Not `save_pretrained`, which refuses settings that some published models have.
        self.generation.to_json_file(folder / "generation_config.json")


def recompute_activations(model: Any) -> None:
    """Keep only layer boundaries in the forward pass and compute the rest again in the backward pass."""
    settings = {"use_reentrant": False}
    if hasattr(model, "activation_checkpointing_enable"):  # transformers from 5.20 on
        model.activation_checkpointing_enable(settings)
    else:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs=settings)


def load_source(config: RunConfig, strategy: Strategy, progress: Callable[[str], None]) -> ModelSource:
    """Resolve `model.pretrain`, making the toy model first if it is one. Collective.

    Raises FindingsError: model.not-loadable with what the library said, and as `choose_attention`.
    """
    disable_progress_bar()
    name = config.model.pretrain
    if name.startswith(TOY_PREFIX):
        name = str(_toy_folder(name.removeprefix(TOY_PREFIX), strategy, progress))
    trust = config.model.trust_remote_code
    try:
        model_config = AutoConfig.from_pretrained(name, trust_remote_code=trust)
        tokenizer = AutoTokenizer.from_pretrained(name, trust_remote_code=trust)
        generation = _generation_config(name, model_config)
        eos = _eos_token_ids(generation, tokenizer)
        attention = choose_attention(config, model_config, strategy.device)
    except _REFUSALS as error:
        raise FindingsError([_not_loadable(name, error)]) from error
    pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else eos[0]
    return ModelSource(name, model_config, generation, tokenizer, eos, pad, trust, attention)


def _toy_folder(name: str, strategy: Strategy, progress: Callable[[str], None]) -> Path:
    if strategy.rank == 0:
        ensure_model(name, progress)
    strategy.barrier()
    return ensure_model(name, progress)


def _generation_config(name: str, model_config: Any) -> GenerationConfig:
    try:
        return GenerationConfig.from_pretrained(name)
    except OSError:
        return GenerationConfig.from_model_config(model_config)


def _eos_token_ids(generation: GenerationConfig, tokenizer: Any) -> tuple[int, ...]:
    configured = generation.eos_token_id
    ids = [] if configured is None else [configured] if isinstance(configured, int) else list(configured)
    if tokenizer.eos_token_id is not None:
        ids.append(tokenizer.eos_token_id)
    if not ids:
        raise ValueError("neither the generation config nor the tokenizer names an end-of-sequence token")
    return tuple(dict.fromkeys(ids))


def _not_loadable(name: str, error: Exception) -> Finding:
    return Finding(
        id="model.not-loadable",
        severity="error",
        cause=f"model.pretrain = {name!r} cannot be loaded.",
        evidence=tuple(str(error).strip().splitlines()[:4]),
        param="model.pretrain",
        fixes=(
            Fix("Give a folder with config.json, weights and tokenizer, or a hub id that can be reached."),
        ),
    )


def _missing_weights(name: str, missing: list[str]) -> Finding:
    return Finding(
        id="model.missing-weights",
        severity="error",
        cause=f"model.pretrain = {name!r} lacks {len(missing)} of the weights its configuration calls for.",
        evidence=tuple(missing[:4]),
        param="model.pretrain",
        fixes=(Fix("Give a causal language model with all its weights, not another kind of model."),),
    )
