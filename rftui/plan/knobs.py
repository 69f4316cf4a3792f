"""What the planner may decide: the parameters that trade memory for speed, and the values worth trying."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

from engine.config import batch as arithmetic
from engine.config.registry import value_of
from engine.config.sections import RunConfig
from engine.footprint.job import Job
from engine.footprint.shape import ModelShape

ENGINE = "rollout.engine_type"
TP, UTIL, SLEEP = "rollout.engine_tp_size", "rollout.engine_mem_util", "rollout.enable_engine_sleep"
CACHE = "rollout.engine_kv_cache_gb"
MICRO, BUDGET = "batch.micro_train_batch_size", "batch.max_tokens_per_micro_batch"
MICRO_ROLLOUT = "batch.micro_rollout_batch_size"
FSDP, STAGE, SHARD = "parallel.fsdp", "parallel.zero_stage", "parallel.fsdp_shard_size"
RECOMPUTE, FUSED, PACKING = (
    "memory.gradient_checkpointing",
    "memory.fused_linear_logprob",
    "memory.packing_samples",
)
ADAM, REFERENCE, CPU = "memory.adam_offload", "memory.ref_reward_offload", "memory.fsdp_cpu_offload"

KNOBS = (
    *(FSDP, STAGE, SHARD, TP, UTIL, SLEEP, MICRO, BUDGET, MICRO_ROLLOUT),
    *(PACKING, RECOMPUTE, FUSED, REFERENCE, ADAM, CPU),
)
"""In the order in which a plan tells them. Batch sizes are not among them: they decide what is learnt."""
LENGTHS = ("rollout.max_len", "rollout.generate_max_len")
BESIDES = (
    *(CACHE, "rollout.engine_quantization", ENGINE, "rollout.engine_enforce_eager"),
    *("rollout.sync_bucket_mb", "parallel.sp_size", "memory.use_mp_opt", "memory.chunk_size", *LENGTHS),
)
"""Given values that can be in the way of every plan; the planner chooses none of them."""

MOST_TOKENS = 65_536
"""Of a micro-batch: beyond, a device is busy and only memory grows."""


def with_values(config: RunConfig, values: Mapping[str, Any]) -> RunConfig:
    """The configuration with some parameters (`section.key`) changed; values are taken as they are."""
    sections: dict[str, dict[str, Any]] = {}
    for key, value in values.items():
        section, _, name = key.partition(".")
        sections.setdefault(section, {})[name] = value
    return config.model_copy(
        update={name: getattr(config, name).model_copy(update=edits) for name, edits in sections.items()}
    )


def with_config(job: Job, values: Mapping[str, Any]) -> Job:
    """The job with some parameters changed."""
    return Job(with_values(job.config, values), job.shape, job.place)


def has_reference(config: RunConfig) -> bool:
    """Whether a reference model is kept: with LoRA it is the model without its adapters."""
    return config.algorithm.init_kl_coef > 0 and config.model.lora_rank == 0


def responses_per_rank(job: Job) -> int:
    """Responses that one group of ranks trains on per optimizer step."""
    groups = arithmetic.data_parallel(job.config, job.place.ranks)
    return max(1, job.config.batch.train_batch_size // groups)


def micro_batches(job: Job) -> list[dict[str, Any]]:
    """Sizes of a training micro-batch from small to large: token budgets of packed rows, else counts."""
    share, longest = responses_per_rank(job), job.config.rollout.max_len
    if job.config.memory.packing_samples:
        most = max(longest, min(MOST_TOKENS, share * longest))
        return [{BUDGET: tokens} for tokens in _growing(longest, most)]
    return [
        {MICRO: count}
        for count in range(1, share + 1)
        if share % count == 0 and (count == 1 or count * longest <= MOST_TOKENS)
    ]


def rollout_micro_batches(job: Job) -> list[dict[str, Any]]:
    """Responses per forward of generation (hf engine) and of log-probs, from small to large."""
    sampled = arithmetic.responses_per_rollout(job.config)
    share = max(1, sampled // arithmetic.data_parallel(job.config, job.place.ranks))
    most = max(1, min(share, MOST_TOKENS // job.config.rollout.max_len))
    return [{MICRO_ROLLOUT: 2**power} for power in range(int(math.log2(most)) + 1)]


def tensor_parallel_sizes(job: Job) -> list[int]:
    """Sizes that divide ranks and heads, inside an island of the fast link."""
    shape, place = job.shape, job.place
    return [
        size
        for size in range(1, place.island + 1)
        if place.ranks % size == 0 and place.ranks_per_node % size == 0 and _splits_heads(shape, size)
    ]


def wider_sizes(job: Job) -> Iterator[int]:
    """Sizes beyond the island of the fast link, but not beyond the machine."""
    place = job.place
    for size in range(place.island + 1, place.ranks_per_node + 1):
        if place.ranks_per_node % size == 0 and _splits_heads(job.shape, size):
            yield size


def _splits_heads(shape: ModelShape, size: int) -> bool:
    """Whether an engine can spread the model's attention over `size` ranks."""
    return shape.heads % size == 0 and (shape.kv_heads % size == 0 or size % shape.kv_heads == 0)


def _growing(low: int, high: int) -> Iterator[int]:
    """`low` times 1, 1.5, 2, 3, 4, 6, 8, 12 … up to `high`."""
    value = low
    while value <= high:
        yield value
        if value * 3 // 2 <= high:
            yield value * 3 // 2
        value *= 2


def given_values(
    config: RunConfig, given: Mapping[str, str], keys: tuple[str, ...] = KNOBS
) -> dict[str, Any]:
    """Of `keys`, those that a layer gave (`given`: sources by `section.key`), with their values."""
    return {key: value_of(config, key) for key in keys if key in given}
