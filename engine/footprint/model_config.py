"""Reads a model's shape from its `config.json`, as transformers would build it."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from engine.footprint import families
from engine.footprint.config_values import (
    LATENT_SIZES,
    Values,
    check,
    not_a_config,
    text_values,
    tower_values,
)
from engine.footprint.shape import Experts, Latent, ModelShape, Vision
from engine.footprint.vision import TOWERS, vision_modules


def shape_of(config: Mapping[str, Any], name: str) -> ModelShape:
    """The shape of the model with this `config.json`; `name` is what messages call it.

    A family that is not known is read like Llama, and marked as not exact. Raises FindingsError
    (model.config-incomplete, model.config-invalid), with every key that is missing or wrong.
    """
    if not isinstance(config, Mapping):
        raise not_a_config(name, config)
    family = str(config.get("model_type") or "unknown")
    values, tower = text_values(config, family), tower_values(config, family)
    check(config, values, tower, family, name)
    latent, experts = _latent(values, family), _experts(values)
    vision = _vision(tower, family) if tower else None
    window, windowed = _window(values, family)
    note = _note(config, family)
    return ModelShape(
        name=name,
        family=family,
        hidden=values["hidden_size"],
        layers=values["num_hidden_layers"],
        heads=values["num_attention_heads"],
        kv_heads=values["num_key_value_heads"],
        head_dim=latent.nope_dim + latent.rope_dim if latent else values["head_dim"],
        mlp=values["intermediate_size"],
        vocab=values["vocab_size"],
        tied=_tied(config, values, family),
        gated=family != "gpt2",
        qkv_bias=_qkv_bias(values, family),
        qk_norm=family in families.QK_NORM or bool(values.get("use_qk_norm")),
        norms_per_layer=4 if family in families.FOUR_NORMS else 2,
        window=window,
        windowed_layers=windowed,
        experts=experts,
        latent=latent,
        vision=vision,
        out_bias=family == "gpt2" or (_reads_bias(family) and bool(values.get("attention_bias"))),
        mlp_bias=family == "gpt2" or (family in families.MLP_BIAS and bool(values.get("mlp_bias"))),
        norm_bias=family == "gpt2",
        fused=family == "phi3",
        positions=values["n_positions"] if family == "gpt2" else 0,
        context=_context(values),
        exact=not note,
        note=note,
    )


def _context(values: Values) -> int | None:
    found = values.get("max_position_embeddings")
    return found if isinstance(found, int) and found > 0 else None


def _experts(values: Values) -> Experts | None:
    count = values.get("num_experts")
    if not count:
        return None
    width = values["moe_intermediate_size"]
    shared = values.get("shared_expert_intermediate_size")
    layers = values["num_hidden_layers"]
    return Experts(
        count=count,
        per_token=values["num_experts_per_tok"],
        width=width,
        shared_width=shared or width * (values.get("n_shared_experts") or 0),
        dense_layers=min(layers, values.get("first_k_dense_replace") or _dense_layers(values, layers)),
        shared_gate=bool(shared),
    )


def _dense_layers(values: Values, layers: int) -> int:
    """Layers without experts, in families that say which they are or that have them every so many layers."""
    dense = set(values.get("mlp_only_layers") or ())
    step = values.get("decoder_sparse_step") or 1
    return sum(i in dense or (i + 1) % step != 0 for i in range(layers))


def _latent(values: Values, family: str) -> Latent | None:
    if family not in families.LATENT and not values.get("kv_lora_rank"):
        return None
    kv_rank, rope, nope, value = (values[key] for key in LATENT_SIZES)
    return Latent(values.get("q_lora_rank"), kv_rank, rope, nope, value)


def _vision(tower: Values, family: str) -> Vision:
    if family == "qwen2_vl":  # `hidden_size` is the language model's there
        width, out = tower["embed_dim"], tower["hidden_size"]
        mlp = int(width * tower["mlp_ratio"])
    else:
        width, out, mlp = tower["hidden_size"], tower["out_hidden_size"], tower["intermediate_size"]
    dimensions = Vision(
        params=0,
        depth=tower["depth"],
        hidden=width,
        mlp=mlp,
        heads=tower["num_heads"],
        patch=tower["patch_size"],
        merge=tower["spatial_merge_size"],
        frames=tower["temporal_patch_size"],
        channels=tower["in_channels"],
        out=out,
        positions=tower.get("num_position_embeddings", 0),
        deepstack=len(tower.get("deepstack_visual_indexes", ())),
    )
    return replace(dimensions, params=sum(module.params for module in vision_modules(family, dimensions)))


def _window(values: Values, family: str) -> tuple[int | None, int]:
    """Tokens of the sliding window, and the number of layers that have one."""
    window, layers = values.get("sliding_window"), values["num_hidden_layers"]
    if not window or not values.get("use_sliding_window", True):
        return None, 0
    if kinds := values.get("layer_types"):
        windowed = sum(kind == "sliding_attention" for kind in kinds[:layers])
    elif family in families.ALTERNATING:
        windowed = layers - layers // (values.get("sliding_window_pattern") or 2)
    elif family in families.WINDOW_ABOVE:
        windowed = max(0, layers - (values["max_window_layers"] or 0))
    elif family == "qwen2_moe":
        windowed = (min(layers, values["max_window_layers"] or 0) + 1) // 2
    else:
        windowed = layers
    return (window, windowed) if windowed else (None, 0)


def _tied(config: Mapping[str, Any], values: Values, family: str) -> bool:
    """Where a language model is nested, the outer configuration decides; some older files say it inside."""
    key = "tie_word_embeddings"
    nested = config.get("text_config")
    if not isinstance(nested, Mapping) or family not in families.DEFAULTS:
        return bool(values.get(key))
    outer = config.get(key, families.DEFAULTS[family].get(key, False))
    return bool(outer or (family in families.QKV_BIAS and nested.get(key)))


def _reads_bias(family: str) -> bool:
    return family not in (*families.NO_BIAS, *families.QKV_BIAS)


def _qkv_bias(values: Values, family: str) -> bool:
    if family == "gpt2" or family in families.QKV_BIAS:
        return bool(values.get("qkv_bias", True))
    return _reads_bias(family) and bool(values.get("attention_bias") or values.get("qkv_bias"))


def _note(config: Mapping[str, Any], family: str) -> str:
    """Why counts are not exact; empty when they are."""
    if "vision_config" in config and family not in TOWERS:
        return f"the vision tower of {family} is not counted"
    if family not in families.DEFAULTS:
        return f"the family {family} is not known: counted as a llama-like model"
    return ""
