"""Reads a model's shape from its `config.json`, as transformers would build it."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from engine.findings import Finding, FindingsError, Fix
from engine.footprint import families
from engine.footprint.shape import Experts, Latent, ModelShape, Vision
from engine.footprint.vision import TOWERS, vision_modules

Values = dict[str, Any]

SIZES = ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "vocab_size")
DERIVED = ("num_key_value_heads", "head_dim")
EXPERT_SIZES = ("num_experts", "num_experts_per_tok", "moe_intermediate_size")
LATENT_SIZES = ("kv_lora_rank", "qk_rope_head_dim", "qk_nope_head_dim", "v_head_dim")
TOWER_SIZES = ("depth", "hidden", "mlp", "num_heads", "patch_size", "spatial_merge_size", "out")
OTHER_NAMES = {
    "n_embd": "hidden_size",
    "n_layer": "num_hidden_layers",
    "n_head": "num_attention_heads",
    "n_inner": "intermediate_size",
    "n_routed_experts": "num_experts",
    "num_local_experts": "num_experts",
}
"""Of one thing, in some families."""


def shape_of(config: Mapping[str, Any], name: str) -> ModelShape:
    """The shape of the model with this `config.json`; `name` is what messages call it.

    A family that is not known is read like Llama, and marked as not exact. Raises FindingsError
    (model.config-incomplete, model.config-invalid), with every key that is missing or wrong.
    """
    if not isinstance(config, Mapping):
        raise FindingsError(
            [_finding("invalid", name, f"holds {type(config).__name__}, not keys and values")]
        )
    family = str(config.get("model_type") or "unknown")
    values = _values(config, family)
    tower = _tower_values(config, family, values.get("hidden_size"))
    _check(values, tower, family, name)
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
        exact=not note,
        note=note,
    )


def _values(config: Mapping[str, Any], family: str) -> Values:
    """Keys of the language model, by one name each, with what the family takes for granted filled in."""
    nested = config.get("text_config")
    given = {**config, **nested} if isinstance(nested, Mapping) else config
    values = {**families.DEFAULTS.get(family, {}), **given}
    for other, name in OTHER_NAMES.items():
        if values.get(other) is not None:
            values[name] = values[other]
    hidden: Any = values.get("hidden_size")
    heads: Any = values.get("num_attention_heads")
    if values.get("num_key_value_heads") is None:
        values["num_key_value_heads"] = heads
    if values.get("head_dim") is None and _is_size(hidden) and _is_size(heads) and hidden % heads == 0:
        values["head_dim"] = hidden // heads
    if family == "gpt2" and values.get("intermediate_size") is None and _is_size(hidden):
        values["intermediate_size"] = 4 * hidden
    if values.get("num_experts") and values.get("moe_intermediate_size") is None:
        values["moe_intermediate_size"] = values.get("intermediate_size")
    return values


def _tower_values(config: Mapping[str, Any], family: str, hidden: Any) -> Values:
    """Keys of the vision tower, with the family's defaults; empty without a tower that is known."""
    if family not in TOWERS:
        return {}
    given = config.get("vision_config")
    values = {**families.TOWER_DEFAULTS[family], **(given if isinstance(given, Mapping) else {})}
    if family == "qwen2_vl":  # `hidden_size` is the language model's there
        width = values["embed_dim"]
        mlp = int(width * values["mlp_ratio"]) if _is_size(width) else None
        return {**values, "hidden": width, "mlp": mlp, "out": values["hidden_size"]}
    return {
        **values,
        "hidden": values["hidden_size"],
        "mlp": values["intermediate_size"],
        "out": values["out_hidden_size"],
    }


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
    depth, hidden, mlp, heads, patch, merge, out = (tower[key] for key in TOWER_SIZES)
    dimensions = Vision(
        params=0,
        depth=depth,
        hidden=hidden,
        mlp=mlp,
        heads=heads,
        patch=patch,
        merge=merge,
        frames=tower["temporal_patch_size"],
        channels=tower.get("in_channels", 3),
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
        windowed = sum(kind == "sliding_attention" for kind in kinds)
    elif family in families.ALTERNATING:
        windowed = layers - layers // (values.get("sliding_window_pattern") or 2)
    elif family in families.WINDOW_ABOVE:
        windowed = max(0, layers - values["max_window_layers"])
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


def _check(values: Values, tower: Values, family: str, name: str) -> None:
    """Raise what is missing and what is no size, all at once."""
    needed = [*SIZES, *DERIVED]
    if family in families.SPARSE or values.get("num_experts"):
        needed += EXPERT_SIZES
    if family in families.LATENT or values.get("kv_lora_rank"):
        needed += LATENT_SIZES
    if family == "gpt2":
        needed.append("n_positions")
    sizes = {key: values.get(key) for key in needed} | {key: tower[key] for key in TOWER_SIZES if tower}
    missing = [key for key, value in sizes.items() if value is None and key not in DERIVED]
    wrong = [f"{key} = {v!r}" for key, v in sizes.items() if v is not None and not _is_size(v)]
    findings = []
    if missing:
        findings.append(_finding("incomplete", name, f"has no {', '.join(missing)}", family))
    if wrong:
        findings.append(
            _finding("invalid", name, f"says {', '.join(wrong)}: not whole numbers above 0", family)
        )
    if not findings and sizes["head_dim"] is None:
        uneven = "hidden_size = {hidden_size}, no multiple of num_attention_heads = {num_attention_heads}"
        findings.append(_finding("invalid", name, f"says {uneven.format(**sizes)}", family))
    if findings:
        raise FindingsError(findings)


def _is_size(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _finding(kind: str, name: str, what: str, family: str = "unknown") -> Finding:
    return Finding(
        id=f"model.config-{kind}",
        severity="error",
        cause=f"the configuration of {name} {what}.",
        evidence=(f"read as config.json of a causal language model, model_type {family}",),
        fixes=(
            Fix("give the folder of a causal language model with the config.json it was published with"),
            Fix("or its size instead", command="rft plan --params 7B"),
        ),
        param="model.pretrain",
    )
