"""Rules about sizes that must divide: tensor, pipeline, expert and sequence parallelism, whatever the "
"trainer."""

from collections.abc import Callable, Iterator

from diagnostics.rules.foreign import Foreign
from diagnostics.rules.job import Job
from diagnostics.rules.telling import divisors, told, use
from engine.findings import Finding
from engine.footprint.shape import ModelShape

CommonRule = Callable[[Foreign, Job, ModelShape | None], Iterator[Finding]]


def _engine_tp(foreign: Foreign, job: Job, shape: ModelShape | None) -> Iterator[Finding]:
    tp, name = job.engine_tp, job.name("engine_tp")
    if job.colocated and job.ranks and job.ranks % tp:
        default = "" if name in foreign.settings else ", the framework's default,"
        yield told(
            foreign,
            "cfg.tp",
            "error",
            name,
            f"{job.ranks} ranks cannot be divided into rollout engines of {name} = {tp}{default} ranks.",
            *(use(foreign, name, size) for size in _divisors_near(tp, job.ranks, shape)),
            also=(job.name("ranks"),),
        )
    yield from _heads(foreign, job, shape, tp, name, "cfg.tp", "rollout engine")
    if job.ranks_per_node and tp > job.ranks_per_node:
        yield told(
            foreign,
            "cfg.tp-across-nodes",
            "warning",
            name,
            f"{name} = {tp} is more than the {job.ranks_per_node} GPUs of a machine: every layer's "
            "all-reduce then crosses the network.",
            use(foreign, name, job.ranks_per_node),
        )


def _train_tp(foreign: Foreign, job: Job, shape: ModelShape | None) -> Iterator[Finding]:
    size, name = job.train_tp * job.train_pp, job.name("train_tp")
    if job.ranks and job.ranks % size:
        yield told(
            foreign,
            "cfg.tp",
            "error",
            name,
            f"{job.ranks} ranks are not a multiple of tensor × pipeline parallelism = {job.train_tp} × "
            f"{job.train_pp} = {size}.",
            *(
                use(foreign, name, tp)
                for tp in _divisors_near(job.train_tp, job.ranks // job.train_pp, shape)
            ),
            also=(job.name("train_pp"),),
        )
    yield from _heads(foreign, job, shape, job.train_tp, name, "cfg.tp", "trainer")
    if shape and job.train_pp > shape.layers:
        cause = f"pipeline parallelism of {job.train_pp} is more than the model's {shape.layers} layers."
        yield told(foreign, "cfg.tp", "error", job.name("train_pp"), cause)
    experts = shape.experts.count if shape and shape.experts else None
    if experts and experts % job.train_ep:
        yield told(
            foreign,
            "cfg.tp-experts",
            "error",
            job.name("train_ep"),
            f"{experts} experts do not divide by expert parallelism of {job.train_ep}.",
            *(use(foreign, job.name("train_ep"), d) for d in _around(job.train_ep, divisors(experts))),
        )


def _heads(
    foreign: Foreign, job: Job, shape: ModelShape | None, tp: int, name: str, id: str, who: str
) -> Iterator[Finding]:
    if shape is None or tp <= 1:
        return
    if shape.heads % tp:
        yield told(
            foreign,
            f"{id}-heads",
            "error",
            name,
            f"{shape.name} has {shape.heads} attention heads, which do not divide by {name} = {tp}: the "
            f"{who} stops.",
            *(use(foreign, name, d) for d in _divisors_near(tp, job.ranks or shape.heads, shape)),
        )
    elif shape.latent is None and shape.kv_heads % tp and tp % shape.kv_heads:
        yield told(
            foreign,
            f"{id}-kv-heads",
            "error",
            name,
            f"{shape.name} has {shape.kv_heads} key-value heads: {name} = {tp} must divide them or be a "
            "multiple.",
            *(use(foreign, name, d) for d in _divisors_near(tp, job.ranks or shape.heads, shape)),
        )


def _sp(foreign: Foreign, job: Job, shape: ModelShape | None) -> Iterator[Finding]:
    sp, name = job.sp, job.name("sp")
    if sp <= 1:
        return
    if job.ranks and job.ranks % sp:
        yield told(
            foreign,
            "cfg.sp",
            "error",
            name,
            f"{job.ranks} ranks cannot be divided into groups of {name} = {sp} that share a sequence.",
            *(use(foreign, name, d) for d in _around(sp, divisors(job.ranks))),
        )
    if shape and shape.heads % sp:
        yield told(
            foreign,
            "cfg.sp-heads",
            "error",
            name,
            f"Ulysses gives every rank whole heads: {shape.name}'s {shape.heads} do not divide by {name} = "
            f"{sp}.",
            *(use(foreign, name, d) for d in _around(sp, divisors(shape.heads))),
        )
    elif shape and shape.latent is None and shape.kv_heads % sp and sp % shape.kv_heads:
        yield told(
            foreign,
            "cfg.sp-heads",
            "error",
            name,
            f"{shape.name}'s {shape.kv_heads} key-value heads and {name} = {sp} do not divide one another.",
            *(use(foreign, name, d) for d in _around(sp, divisors(shape.kv_heads))),
        )


def _around(value: int, allowed: list[int]) -> list[int]:
    below = max((d for d in allowed if d < value), default=None)
    above = min((d for d in allowed if d > value), default=None)
    return [d for d in (below, above) if d]


def _divisors_near(tp: int, ranks: int, shape: ModelShape | None) -> list[int]:
    """Divisors of the ranks next to `tp` that the model's heads allow."""
    allowed = divisors(max(1, ranks))
    if shape:
        allowed = [
            d
            for d in allowed
            if shape.heads % d == 0 and (shape.latent or shape.kv_heads % d == 0 or d % shape.kv_heads == 0)
        ]
    return _around(tp, allowed)


RULES: tuple[CommonRule, ...] = (_engine_tp, _train_tp, _sp)
