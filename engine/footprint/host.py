"""Host memory of a machine with all its ranks: loading, what is offloaded, weights of a sleeping engine."""

from engine.footprint import load, rollout, rollout_vllm
from engine.footprint.job import Job
from engine.footprint.states import (
    divided,
    frozen,
    reference_travels,
    shard_ranks,
    states_travel,
    trained,
)
from engine.footprint.terms import Term

GB = 10**9
GPU_PROCESS = 3 * GB
"""Resident memory of a rank with CUDA libraries: an estimate; on a CPU 0.64 to 0.82 GB are measured."""
EXPORT = 5 * GB
"""`engine.checkpoint.hf_folder.MAX_FILE_BYTES`."""
PINNED = "torch's pinned allocator rounds each piece up to a power of two: at most twice"

Terms = tuple[Term, ...]


def host_terms(job: Job, peak: int) -> Terms:
    """Host memory of a machine at the moment that needs most of it; page cache is not counted.

    `peak`: device memory of one rank, which on a CPU is what the host must have for each.
    """
    ranks = min(job.place.ranks, job.place.ranks_per_node)
    if job.place.on_cpu:
        formula = f"{_count(ranks)} × {peak / GB:.2f} GB, the peak of each"
        return (Term("all ranks", ranks * peak, formula, "the phases of a rank"),)
    training, saving = (_times(terms, ranks) for terms in (_training(job), _saving(job)))
    engine = _times(load.engine_copy(job), ranks)
    moments = (_loading(job, ranks), engine, training, (*saving, _exported(job)))
    worst = max(moments, key=lambda terms: sum(term.bytes for term in terms))
    process = Term(
        "processes",
        ranks * GPU_PROCESS,
        f"{_count(ranks)} × {GPU_PROCESS / GB:g} GB, an estimate",
        "measured on a CPU: 0.64 to 0.82 GB",
    )
    return (process, *worst)


def _loading(job: Job, ranks: int) -> Terms:
    """Of rank 0's machine, while models are loaded: rank 0 alone reads what FSDP2 shards.

    Under DeepSpeed that is the reference model, beside which the policy of every rank waits.
    """
    if job.strategy == "fsdp2":
        return load.policy_copies(job)
    policy = _times(load.policy_copies(job), ranks)
    with_reference = policy[:1] + load.reference_copy(job)
    return max(policy, with_reference, key=lambda terms: sum(term.bytes for term in terms))


def _training(job: Job) -> Terms:
    return _offloaded(job) + _asleep(job)


def _saving(job: Job) -> Terms:
    """Per rank, while a checkpoint is written."""
    rows = (checkpoint_rows(job),) if job.strategy == "deepspeed" else ()
    return _training(job) + rows


def checkpoint_rows(job: Job) -> Term:
    """DeepSpeed's masters and moments, put together whole one by one: of each a rank keeps its rows."""
    ranks = job.place.ranks
    formula = f"12 B × {trained(job):,} / {ranks} ranks"
    size = 12 * divided(trained(job), ranks)
    return Term("checkpoint", size, formula, "engine/strategy/zero_state.py")


def _exported(job: Job) -> Term:
    """What rank 0 gathers of the final model before it writes a file."""
    model = 4 * job.shape.params
    formula = f"min({EXPORT / GB:g} GB a file, 4 B × {job.shape.params:,})"
    return Term("final model, one file", min(EXPORT, model), formula, "engine/checkpoint/hf_folder.py")


def _offloaded(job: Job) -> Terms:
    """Per rank: states that are in host memory during updates or between them."""
    n = shard_ranks(job, parameters=False)
    states = divided(trained(job), n)
    memory = job.config.memory
    terms: list[Term] = []
    if job.strategy == "deepspeed" and memory.adam_offload:
        terms += _pinned("masters, Adam, gradients", 16, states, trained(job), n)
    elif job.strategy == "fsdp2" and memory.fsdp_cpu_offload:
        each, adam = (2 * job.compute_bytes, 12) if memory.use_mp_opt else (8, 8)
        terms += _pinned("parameters and gradients", each, states, trained(job), n)
        words = f"{adam} B × {trained(job):,} / {n} ranks, made by the optimizer, not pinned"
        terms.append(Term("Adam", adam * states, words, "docs/planner.md, host memory"))
        if frozen(job):
            terms += _pinned("frozen base", job.compute_bytes, divided(frozen(job), n), frozen(job), n)
    elif states_travel(job):
        terms += _pinned("Adam", 12 if memory.use_mp_opt else 8, states, trained(job), n)
    with_reference = job.config.algorithm.init_kl_coef > 0 and not job.config.model.lora_rank
    if with_reference and (reference_travels(job) or memory.fsdp_cpu_offload):
        n, params = job.shard_ranks, job.shape.params
        size = job.compute_bytes * divided(params, n)
        formula = f"{job.compute_bytes} B × {params:,} / {n} ranks"
        terms.append(Term("reference model", size, formula, "engine/strategy/base.py"))
    return tuple(terms)


def _asleep(job: Job) -> Terms:
    """Per rank: the weights of an engine that sleeps."""
    if not rollout.sleeps(job):
        return ()
    if job.engine == "hf":
        size = job.compute_bytes * job.shape.params
        return (
            Term(
                "engine weights",
                size,
                f"{job.compute_bytes} B × {job.shape.params:,}",
                "engine/rollout/hf.py",
            ),
        )
    weights = rollout_vllm.weights(job)
    pinned = Term("pinned rounding of engine weights", weights.bytes, PINNED, "docs/planner.md, sleep")
    return (Term("engine weights", weights.bytes, weights.formula, weights.source), pinned)


def _pinned(name: str, each: int, states: int, elements: int, ranks: int) -> tuple[Term, Term]:
    """States in pinned memory, and the most that rounding may add."""
    formula = f"{each} B × {elements:,} / {ranks} ranks"
    return (
        Term(name, each * states, formula, "docs/planner.md, host memory"),
        Term(f"pinned rounding of {name}", each * states, PINNED, "docs/planner.md, host memory"),
    )


def _times(terms: Terms, ranks: int) -> Terms:
    """The terms of one rank for all ranks of a machine."""
    return tuple(
        Term(term.name, ranks * term.bytes, f"{_count(ranks)} × ({term.formula})", term.source, term.where)
        for term in terms
    )


def _count(ranks: int) -> str:
    return f"{ranks} rank{'s' * (ranks != 1)}"
