"""The keys of a `config.json` that decide a model's shape: one name each, defaults filled in, all checked."""

from collections.abc import Iterator, Mapping
from typing import Any

from engine.findings import Finding, FindingsError, Fix
from engine.footprint import families

Values = dict[str, Any]

SIZES = ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "vocab_size")
DERIVED = ("num_key_value_heads", "head_dim")
EXPERT_SIZES = ("num_experts_per_tok", "moe_intermediate_size")
LATENT_SIZES = ("kv_lora_rank", "qk_rope_head_dim", "qk_nope_head_dim", "v_head_dim")
NUMBERS_OR_NONE = (
    "num_experts",
    "n_shared_experts",
    "shared_expert_intermediate_size",
    "first_k_dense_replace",
    "decoder_sparse_step",
    "q_lora_rank",
    "sliding_window",
    "sliding_window_pattern",
    "max_window_layers",
)
LISTS_OR_NONE = {"layer_types": str, "mlp_only_layers": int}
MOST_LAYERS = 10_000
OTHER_NAMES = {
    "n_embd": "hidden_size",
    "n_layer": "num_hidden_layers",
    "n_head": "num_attention_heads",
    "n_inner": "intermediate_size",
    "n_routed_experts": "num_experts",
    "num_local_experts": "num_experts",
}
"""Of one thing, in some families."""


def text_values(config: Mapping[str, Any], family: str) -> Values:
    """Keys of the language model, which may be nested in `text_config`; None where a size is not known."""
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


def tower_values(config: Mapping[str, Any], family: str) -> Values:
    """Keys of the vision tower that the family reads; empty without a tower that is known."""
    given = config.get("vision_config")
    defaults = families.TOWER_DEFAULTS.get(family, {})
    if not isinstance(given, Mapping):
        return dict(defaults)
    return {key: given.get(key, default) for key, default in defaults.items()}


def check(config: Mapping[str, Any], text: Values, tower: Values, family: str, name: str) -> None:
    """Raise every key that is missing (model.config-incomplete) and every one that is wrong (-invalid)."""
    sizes = {key: text.get(key) for key in _needed(text, family)}
    missing = [key for key, value in sizes.items() if value is None and key not in DERIVED]
    wrong = [f"{key} = {v!r}" for key, v in sizes.items() if v is not None and not _is_size(v)]
    wrong += _wrong_optional(config, text)
    wrong += _wrong_in_tower(tower, family)
    findings = []
    if missing:
        findings.append(_finding("incomplete", name, f"has no {', '.join(missing)}", family))
    if wrong:
        findings.append(_finding("invalid", name, f"cannot be: {', '.join(wrong)}", family))
    if not findings:
        findings += [_finding("invalid", name, what, family) for what in _contradictions(text, tower)]
    if findings:
        raise FindingsError(findings)


def not_a_config(name: str, found: object) -> FindingsError:
    """For a file that holds something else than keys and values."""
    what = f"is {type(found).__name__}, not keys and values"
    return FindingsError([_finding("invalid", name, what, "unknown")])


def _needed(text: Values, family: str) -> Iterator[str]:
    yield from (*SIZES, *DERIVED)
    if family in families.SPARSE or text.get("num_experts"):
        yield from EXPERT_SIZES
    if family in families.LATENT or text.get("kv_lora_rank"):
        yield from LATENT_SIZES
    if family == "gpt2":
        yield "n_positions"


def _wrong_optional(config: Mapping[str, Any], text: Values) -> Iterator[str]:
    for key in ("text_config", "vision_config"):
        if config.get(key) is not None and not isinstance(config[key], Mapping):
            yield f"{key} = {config[key]!r}"
    for key in NUMBERS_OR_NONE:
        if text.get(key) not in (None, 0) and not _is_size(text[key]):
            yield f"{key} = {text[key]!r}"
    for key, kind in LISTS_OR_NONE.items():
        value = text.get(key)
        if value and not (isinstance(value, list | tuple) and all(isinstance(item, kind) for item in value)):
            yield f"{key} = {value!r}"


def _wrong_in_tower(tower: Values, family: str) -> Iterator[str]:
    for key, default in families.TOWER_DEFAULTS.get(family, {}).items():
        value = tower[key]
        listed = isinstance(default, tuple) and isinstance(value, list | tuple)
        ratio = key == "mlp_ratio" and isinstance(value, float) and value > 0
        if not (listed or ratio or (_is_size(value) and not isinstance(default, tuple))):
            yield f"vision_config.{key} = {value!r}"


def _contradictions(text: Values, tower: Values) -> Iterator[str]:
    if text.get("head_dim") is None:
        hidden, heads = text["hidden_size"], text["num_attention_heads"]
        yield f"cannot be: hidden_size = {hidden}, no multiple of num_attention_heads = {heads}"
    experts = text.get("num_experts")
    if experts and (used := text["num_experts_per_tok"]) > experts:
        yield f"cannot be: num_experts_per_tok = {used} of {experts} experts"
    for key, layers in (
        ("num_hidden_layers", text["num_hidden_layers"]),
        ("vision_config.depth", tower.get("depth", 0)),
    ):
        if layers > MOST_LAYERS:
            yield f"cannot be: {key} = {layers}"


def _is_size(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _finding(kind: str, name: str, what: str, family: str) -> Finding:
    return Finding(
        id=f"model.config-{kind}",
        severity="error",
        cause=f"the configuration of {name} {what}.",
        evidence=(f"read as config.json of a causal language model, model_type {family}",),
        fixes=(
            Fix("give the folder of a causal language model with the config.json it was published with"),
            Fix("or plan for a typical model of its size", command="rft plan --params 7B"),
        ),
        param="model.pretrain",
    )
