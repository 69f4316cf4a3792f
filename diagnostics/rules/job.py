"""What every trainer's configuration says in its own words, in one set of terms.

A framework's reader fills a `Job`; rules that hold anywhere, the arithmetic in words, the memory estimate and
the conversion read it. None: the file does not say, and the framework has no default that could be known.
"""

import math
from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from diagnostics.rules.foreign import Foreign, Framework
from diagnostics.trainers.profile import Strategy

OffloadWhere = Literal["optimizer", "params", "idle", "activations"]
"""As `diagnostics.trainers.setup.Setup.offload` counts them."""


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """One training job. Counts are over all ranks unless they say "per rank"; lengths are in tokens."""

    framework: Framework
    names: Mapping[str, str] = {}
    """The framework's name of the setting that gave a field: `{"samples": "actor_rollout_ref.rollout.n"}`."""

    model: str | None = None
    """Folder or hub id of the policy."""
    ranks: int | None = None
    """Processes that train, on all machines."""
    nodes: int | None = None
    ranks_per_node: int | None = None

    prompts: int | None = None
    """Per rollout."""
    samples: int | None = None
    """Responses per prompt."""
    update: int | None = None
    """Responses per optimizer step."""
    epochs: int = 1
    """Passes over each rollout."""
    micro: int | None = None
    """Responses per training forward, per rank; None with a token budget."""
    micro_forward: int | None = None
    """Responses per forward of log-probabilities, per rank."""
    token_budget: int | None = None
    """Tokens of a training micro-batch per rank, where micro-batches are cut by tokens."""
    forward_token_budget: int | None = None

    prompt_len: int | None = None
    response_len: int | None = None
    model_len: int | None = None
    """The rollout engine's longest sequence, where it is set."""

    engine: Literal["vllm", "sglang", "hf"] | None = None
    colocated: bool | None = None
    """The rollout engine shares the trainer's cards."""
    engine_tp: int = 1
    engine_share: float | None = None
    """Of a card's memory."""
    engine_sleeps: bool | None = None
    """It gives its memory back outside the rollout."""
    engine_ranks: int | None = None
    """Cards of engines that have cards of their own."""

    strategy: Strategy | None = None
    stage: int | None = None
    """What is sharded, as ZeRO counts; FSDP is 3."""
    sp: int = 1
    """Ranks that share a sequence."""
    train_tp: int = 1
    train_pp: int = 1
    train_ep: int = 1
    shard_ranks: int | None = None
    """Neighbouring ranks that states are sharded over and replicated beyond (HSDP); None: all."""
    offload: frozenset[OffloadWhere] = frozenset()
    offload_in_update: bool | None = None
    """What is offloaded stays on the host during the update too; None: as the framework does."""
    checkpointing: bool | None = None
    """Activations are recomputed in the backward pass."""
    packs: bool = False
    """Sequences of a micro-batch lie one after another, without padding."""
    head: Literal["whole", "chunked", "fused"] | None = None
    """How logits are computed; None: as the framework does."""
    bf16: bool | None = None
    """Of the weights as they are loaded for training."""

    lora_rank: int | None = None
    lora_alpha: float | None = None
    quantized: bool = False
    """The frozen base is held in 4 bits."""
    critic: bool = False
    reward_model: str | None = None

    estimator: str | None = None
    """Of advantages, by the framework's own name."""
    group: bool | None = None
    """A response's advantage comes from comparing it with the others of its prompt."""
    by_std: bool | None = None
    """Such advantages are divided by the group's standard deviation."""
    kl_loss: float = 0
    """Weight of the KL to the reference in the loss; 0: none."""
    kl_reward: float = 0
    """Weight of the KL that is taken off the reward; 0: none."""
    kl_estimator: str | None = None
    """`k1`, `k2`, `k3`, whatever the framework calls it."""
    clip_low: float | None = None
    clip_high: float | None = None
    temperature: float | None = None
    top_p: float | None = None
    lr: float | None = None
    episodes: int | None = None
    """Passes over the prompts."""

    @property
    def reference(self) -> bool:
        """A frozen copy of the policy is needed; under LoRA the base without adapters serves."""
        return bool(self.kl_loss or self.kl_reward)

    @property
    def responses(self) -> int | None:
        """Per rollout."""
        return None if self.prompts is None or self.samples is None else self.prompts * self.samples

    def name(self, field: str) -> str:
        """What the framework calls `field`; else the field's own name in words."""
        return self.names.get(field, field.replace("_", " "))


MOST = 10**9
"""Of anything that a job counts."""


def sensible(job: Job) -> Job:
    """`job` without numbers that no job can have: these count as unknown, and `cfg.number` tells of them."""
    changed: dict[str, Any] = {}
    for field in msgspec.structs.fields(Job):
        value, least = getattr(job, field.name), 0 if field.name == "stage" else 1
        counted = isinstance(value, int) and not isinstance(value, bool)
        measured = isinstance(value, float)
        if (counted and not least <= value <= MOST) or (measured and not math.isfinite(value)):
            changed[field.name] = field.default
    return msgspec.structs.replace(job, **changed)


class From(msgspec.Struct, frozen=True):
    """Where a field of `Job` comes from: a setting and the framework's default of it."""

    setting: str
    default: Any = None


def read_fields(foreign: Foreign, table: Mapping[str, From]) -> dict[str, Any]:
    """Keyword arguments of a `Job`: the fields of `table` as far as they are known, and their `names`.

    A value that does not have the field's type, such as a variable that nobody set, counts as unknown.
    """
    types = {field.name: field.type for field in msgspec.structs.fields(Job)}
    values: dict[str, Any] = {}
    for field, origin in table.items():
        value = _as(types[field], foreign.get(origin.setting, origin.default))
        if value is not None:
            values[field] = value
    return {**values, "names": {field: origin.setting for field, origin in table.items()}}


def _as(wanted: Any, given: Any) -> Any:
    """`given` as the type `wanted`, None where it is not one; `64.0` and `1e3` are whole numbers too."""
    for value in (given, _whole(given)):
        try:
            return msgspec.convert(value, wanted, strict=False)
        except msgspec.ValidationError:
            continue
    return None


def _whole(value: Any) -> Any:
    try:
        number = float(value)
        return int(number) if number.is_integer() else number
    except (TypeError, ValueError, OverflowError):
        return value
