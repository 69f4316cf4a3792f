"""What would make a job fit: one change at a time, each with the nearest value that fits; else together."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import msgspec

from diagnostics.rules.foreign import Foreign
from diagnostics.rules.job import Job
from diagnostics.rules.memory_setup import prepare
from diagnostics.rules.telling import divisors, use
from diagnostics.trainers.estimate import estimate
from engine.findings import Fix
from engine.footprint.devices import GIB
from engine.footprint.shape import ModelShape

MOST = 5
MOST_RANKS = 1024


class Change(NamedTuple):
    """A job with one thing other, and how one says it in that framework."""

    job: Job
    fix: Fix


def what_fits(foreign: Foreign, job: Job, shape: ModelShape, card: float, share: float) -> list[Fix]:
    """Fixes under which the update takes at most `share` of the card, the cheapest first.

    Where no single one does it, they are made one after another until it fits, and told as one.
    """
    limit = share * card
    single = [
        change
        for step in STEPS
        if (change := _first(step(foreign, job, shape), shape, card, limit)) is not None
    ]
    if single:
        return [_with_need(change, shape, card) for change in single[:MOST]]
    current, fixes = job, []
    for step in STEPS:
        changes = list(step(foreign, current, shape))
        if not changes:
            continue
        chosen = _first(iter(changes), shape, card, limit) or changes[-1]
        if _need(chosen.job, shape, card) >= _need(current, shape, card):
            continue
        current = chosen.job
        fixes.append(chosen.fix)
        if _need(current, shape, card) <= limit:
            need = _need(current, shape, card) / GIB
            text = f"together, for {need:.1f} GiB: " + "; ".join(fix.text for fix in fixes)
            return [Fix(text, command=" ".join(fix.command for fix in fixes if fix.command))]
    need = _need(current, shape, card) / GIB
    tried = "; ".join(fix.text for fix in fixes)
    return [Fix(f"a larger card or a smaller model: even with all of this it needs {need:.1f} GiB: {tried}")]


def _first(changes: Iterator[Change], shape: ModelShape, card: float, limit: float) -> Change | None:
    return next((change for change in changes if _need(change.job, shape, card) <= limit), None)


def _need(job: Job, shape: ModelShape, card: float) -> float:
    prepared = prepare(job, shape, card)
    return float("inf") if isinstance(prepared, str) else estimate(prepared.profile, prepared.setup).device


def _with_need(change: Change, shape: ModelShape, card: float) -> Fix:
    need = _need(change.job, shape, card) / GIB
    return Fix(f"{change.fix.text}: {need:.1f} GiB", command=change.fix.command)


def _checkpointing(foreign: Foreign, job: Job, shape: ModelShape) -> Iterator[Change]:
    if job.checkpointing is False:
        yield Change(_with(job, checkpointing=True), use(foreign, job.name("checkpointing"), True))


def _micro_batch(foreign: Foreign, job: Job, shape: ModelShape) -> Iterator[Change]:
    """Smaller micro-batches of updates and log-probs together, largest first."""
    if job.micro is None:
        yield from _token_budget(foreign, job)
        return
    for size in reversed(divisors(job.micro)[:-1]):
        forward = min(size, job.micro_forward or size)
        fix = use(foreign, job.name("micro"), size)
        if (job.micro_forward or size) > size and job.name("micro_forward") != job.name("micro"):
            other = use(foreign, job.name("micro_forward"), forward)
            fix = Fix(
                f"{fix.text} and {other.text.removeprefix('set ')}", command=f"{fix.command} {other.command}"
            )
        yield Change(_with(job, micro=size, micro_forward=forward), fix)


def _token_budget(foreign: Foreign, job: Job) -> Iterator[Change]:
    least = -(-((job.prompt_len or 0) + (job.response_len or 0)) // job.sp)
    budget = job.token_budget or 0
    while budget > least:
        budget = max(least, budget // 2)
        forward = min(budget, job.forward_token_budget or budget)
        fix = use(foreign, job.name("token_budget"), budget)
        yield Change(_with(job, token_budget=budget, forward_token_budget=forward), fix)


def _sharding(foreign: Foreign, job: Job, shape: ModelShape) -> Iterator[Change]:
    if job.strategy == "deepspeed" and (job.stage or 0) < 3:
        for stage in range((job.stage or 0) + 1, 4):
            yield Change(_with(job, stage=stage), use(foreign, job.name("stage"), stage))
    if job.strategy == "ddp" and (job.ranks or 1) > 1:
        for stage in (2, 3):
            fix = Fix(f"shard with DeepSpeed ZeRO-{stage}")
            yield Change(_with(job, strategy="deepspeed", stage=stage), fix)
    if job.shard_ranks and job.ranks and job.shard_ranks < job.ranks:
        fix = Fix(f"shard over all {job.ranks} ranks instead of {job.shard_ranks}")
        yield Change(_with(job, shard_ranks=None), fix)


def _offload(foreign: Foreign, job: Job, shape: ModelShape) -> Iterator[Change]:
    if "optimizer" not in job.offload or job.offload_in_update is False:
        words = f"keep optimizer states on the host in the update ({_offload_words(job)})"
        offload = job.offload | {"optimizer"}
        in_update = None if job.strategy == "deepspeed" else True
        yield Change(_with(job, offload=offload, offload_in_update=in_update), Fix(words))


def _offload_words(job: Job) -> str:
    if job.framework in ("verl", "trinity"):
        return "actor.strategy fsdp2 with fsdp_config.offload_policy"
    if job.framework == "trl":
        return "offload_optimizer_device: cpu in accelerate's deepspeed_config"
    return f"{job.name('offload')}"


def _engine(foreign: Foreign, job: Job, shape: ModelShape) -> Iterator[Change]:
    if not job.colocated or job.engine_share is None:
        return
    if job.engine_sleeps is False:
        yield Change(_with(job, engine_sleeps=True), use(foreign, job.name("engine_sleeps"), True))


def _sequence_parallel(foreign: Foreign, job: Job, shape: ModelShape) -> Iterator[Change]:
    if job.framework not in ("verl", "trinity") or job.strategy != "fsdp" or not job.ranks or not job.packs:
        return
    for size in (2, 4, 8):
        if size > job.sp and job.ranks % size == 0 and shape.heads % size == 0 and _kv_allows(shape, size):
            budget = job.token_budget and max(1, job.token_budget * job.sp // size)
            changed = _with(job, sp=size, token_budget=budget, forward_token_budget=budget)
            yield Change(
                changed, use(foreign, job.name("sp"), size, "each rank then holds a part of a sequence")
            )


def _kv_allows(shape: ModelShape, size: int) -> bool:
    return shape.latent is not None or shape.kv_heads % size == 0 or size % shape.kv_heads == 0


def _more_ranks(foreign: Foreign, job: Job, shape: ModelShape) -> Iterator[Change]:
    if job.strategy not in ("fsdp", "deepspeed") or not job.ranks or not (job.stage or 0):
        return
    ranks = 2 * job.ranks
    while ranks <= MOST_RANKS:
        nodes = (job.nodes or 1) * ranks // job.ranks
        fix = Fix(f"use {ranks} GPUs instead of {job.ranks}")
        yield Change(_with(job, ranks=ranks, nodes=nodes, shard_ranks=None), fix)
        ranks *= 2


def _adapters(foreign: Foreign, job: Job, shape: ModelShape) -> Iterator[Change]:
    if job.lora_rank is None:
        yield Change(_with(job, lora_rank=32), Fix("train LoRA adapters (rank 32) instead of all weights"))


def _with(job: Job, **changes: object) -> Job:
    return msgspec.structs.replace(job, **changes)


STEPS: tuple[Callable[[Foreign, Job, ModelShape], Iterator[Change]], ...] = (
    _checkpointing,
    _micro_batch,
    _engine,
    _sharding,
    _sequence_parallel,
    _offload,
    _more_ranks,
    _adapters,
)
