"""Which of transformers' attention implementations a model is loaded with, and why."""

from dataclasses import dataclass
from importlib import import_module
from typing import Any

import torch
from transformers import MODEL_FOR_CAUSAL_LM_MAPPING
from transformers.dynamic_module_utils import get_class_from_dynamic_module

from engine.config.sections import RunConfig
from engine.findings import Finding, FindingsError, Fix
from engine.libraries import require_flash_attn

FLASH, SDPA, EAGER = "flash_attention_2", "sdpa", "eager"


@dataclass(frozen=True)
class Attention:
    """What was chosen: `name` as transformers calls it, the reason in words, what there is to warn of.

    `plain` is the choice where flash-attention does not come into question.
    """

    name: str
    plain: str
    reason: str
    findings: tuple[Finding, ...] = ()


def choose_attention(
    config: RunConfig, model_config: Any, device: torch.device, *, importable: bool | None = None
) -> Attention:
    """Flash-attention where it may be used and can run, else SDPA, else plain products with a warning.

    `importable`: whether flash-attention can be imported; default: tried. Raises FindingsError where it is
    asked for but cannot run: environment.missing-extra, environment.unsupported-version, model.no-flash.
    """
    model_class = _model_class(config, model_config)
    if importable is None:
        importable = device.type == "cuda" and _importable()
    obstacle = _obstacle(config, model_config, model_class, device, importable)
    if config.model.flash_attn and obstacle is not None:
        if not importable:
            require_flash_attn()
        raise FindingsError([_no_flash(obstacle)])
    without = _without_sdpa(model_config, model_class)
    plain = EAGER if without else SDPA
    if obstacle is None:
        return Attention(FLASH, plain, "flash-attention")
    if without is None:
        return Attention(SDPA, plain, f"SDPA ({obstacle})")
    words = f"plain matrix products ({without}; no flash-attention: {obstacle})"
    return Attention(EAGER, plain, words, (_eager(model_config.model_type, words),))


def _model_class(config: RunConfig, model_config: Any) -> Any:
    remote = (getattr(model_config, "auto_map", None) or {}).get("AutoModelForCausalLM")
    if remote and config.model.trust_remote_code:
        return get_class_from_dynamic_module(remote, config.model.pretrain)
    found = MODEL_FOR_CAUSAL_LM_MAPPING.get(type(model_config), None)
    return found[0] if isinstance(found, tuple) else found


def _obstacle(
    config: RunConfig, model_config: Any, model_class: Any, device: torch.device, importable: bool
) -> str | None:
    """What keeps flash-attention from being used, in words."""
    if config.model.flash_attn is False:
        return "flash_attn is false"
    if device.type != "cuda":
        return "there is no GPU"
    if not config.model.bf16:
        return "flash-attention computes in bfloat16, but bf16 is false"
    if not getattr(model_class, "_supports_flash_attn", False):
        return f"{model_config.model_type} models have no form with flash-attention"
    if not importable:
        return "flash_attn is not installed, or cannot be imported"
    return None


def _importable() -> bool:
    """Builds against another torch are found, but fail when they are imported."""
    try:
        import_module("flash_attn")
    except (ImportError, OSError):
        return False
    return True


def _without_sdpa(model_config: Any, model_class: Any) -> str | None:
    """Why a family cannot use SDPA. transformers would leave the cap on attention scores out there."""
    if model_class is not None and not getattr(model_class, "_supports_sdpa", False):
        return f"{model_config.model_type} models have no form with SDPA"
    if cap := getattr(model_config, "attn_logit_softcapping", None):
        return f"SDPA cannot cap attention scores, which {model_config.model_type} models do at {cap:g}"
    return None


def _no_flash(obstacle: str) -> Finding:
    return Finding(
        id="model.no-flash",
        severity="error",
        cause=f"model.flash_attn = true, but {obstacle}.",
        param="model.flash_attn",
        fixes=(Fix("leave the choice open", set={"model.flash_attn": None}),),
    )


def _eager(model_type: str, words: str) -> Finding:
    return Finding(
        id="model.eager-attention",
        severity="warning",
        cause=f"attention of this {model_type} model uses {words}: "
        "slow, and with memory that grows with the square of sequence length.",
        param="model.flash_attn",
        fixes=(
            Fix(
                "install flash-attention, and run on a GPU in bf16", command="pip install 'rftui[flash-attn]'"
            ),
        ),
    )
