"""Checks of memory for the run on this machine, by the same prediction that the planner uses."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from diagnostics.doctor.check import Answer, Check, DoesNotApply, Ok
from diagnostics.doctor.checks.run_facts import job
from diagnostics.doctor.host import Host
from engine.config.registry import value_of
from engine.config.sections import RunConfig
from engine.config.values import show
from engine.findings import Finding, Fix, Severity
from engine.footprint.job import Job
from engine.footprint.predict import predict
from engine.footprint.rollout import kv_capacity
from engine.footprint.terms import PhaseMemory

TRAINING = ("logprob", "update", "step", "checkpoint")
ENGINE = ("load", "rollout", "sync")
FULL = 0.9
"""Share of a rank's memory from which on a run may fail for what a prediction does not know."""
MOST_OVER_ON_CPU = 2.0
"""Host memory is shared and can be swapped: a launch is refused only from this many times on."""
GB = 1e9
UTIL = "rollout.engine_mem_util"

Edit = dict[str, Any]
"""Settings by `section.key`."""
Edits = Callable[[Job], Iterator[Edit]]


def _training(host: Host) -> Answer:
    return _fits(job(host), "cfg.mem.train", TRAINING, _training_edits)


def _engine(host: Host) -> Answer:
    found = job(host)
    capacity = kv_capacity(found)
    if not capacity.starts:
        return _no_sequence(found)
    return _fits(found, "cfg.mem.engine", ENGINE, _engine_edits)


def _fits(found: Job, id: str, phases: Sequence[str], edits: Edits) -> Answer:
    """Whether the fullest of some phases fits into what a rank has; if not, single edits that make it fit."""
    worst, free = _worst(found, phases), found.place.free
    used = worst.bytes / free if free else float("inf")
    words = f"{worst.bytes / GB:.1f} of {free / GB:.1f} GB a rank ({worst.phase})"
    if used <= FULL:
        return Ok(words)
    soft = used <= (MOST_OVER_ON_CPU if found.place.on_cpu else 1.0)
    severity: Severity = "warning" if soft else "error"
    verb = "does not fit" if used > 1 else "fits barely"
    largest = sorted(worst.terms, key=lambda term: -term.bytes)[:4]
    fitting = [edit for edit in edits(found) if _worst(_with(found, edit), phases).bytes <= FULL * free]
    return Finding(
        id=id,
        severity=severity,
        cause=f"the run {verb}: {words}, {used:.0%}, {worst.moment}.",
        evidence=tuple(f"{term.name}: {term.bytes / GB:.2f} GB = {term.formula}" for term in largest),
        fixes=(
            *(Fix(_edit_words(edit), set=edit) for edit in fitting[:3]),
            Fix(
                "let the planner choose everything that is open",
                command=f"rft plan --pretrain {found.config.model.pretrain}",
            ),
        ),
        param=next(iter(fitting[0])) if fitting else "",
    )


def _worst(found: Job, phases: Sequence[str]) -> PhaseMemory:
    return max((p for p in predict(found).phases if p.phase in phases), key=lambda phase: phase.bytes)


def _with(found: Job, edit: Edit) -> Job:
    sections: dict[str, dict[str, Any]] = {}
    for key, value in edit.items():
        section, _, name = key.partition(".")
        sections.setdefault(section, {})[name] = value
    config = found.config
    update = {name: getattr(config, name).model_copy(update=values) for name, values in sections.items()}
    return replace(found, config=config.model_copy(update=update))


def _edit_words(edit: Edit) -> str:
    return "set " + " and ".join(f"{key.partition('.')[2]} to {show(value)}" for key, value in edit.items())


def _training_edits(found: Job) -> Iterator[Edit]:
    """What takes memory from training, the cheapest in time first."""
    config = found.config
    yield from _changes(config, {"memory.gradient_checkpointing": True})
    yield from _changes(config, {"memory.fused_linear_logprob": True})
    yield from _changes(config, {"batch.micro_train_batch_size": 1})
    smallest = {"memory.gradient_checkpointing": True, "batch.micro_train_batch_size": 1}
    yield from _changes(config, smallest)
    yield from _changes(config, {**smallest, "memory.adam_offload": True})
    if found.strategy == "fsdp2":
        yield from _changes(config, {**smallest, "memory.fsdp_cpu_offload": True})
    yield from _changes(config, {**smallest, "model.lora_rank": 16})


def _engine_edits(found: Job) -> Iterator[Edit]:
    """What takes memory from the engine, or leaves it more."""
    if found.engine == "hf":
        yield from _changes(found.config, {"batch.micro_rollout_batch_size": 1})
    share = found.config.rollout.engine_mem_util
    for percent in range(round(100 * share) - 5, 5, -5):
        smaller = {UTIL: percent / 100}
        if kv_capacity(_with(found, smaller)).starts:
            yield smaller
    yield from _changes(found.config, {"rollout.enable_engine_sleep": True})
    yield from _changes(found.config, {"memory.adam_offload": True})


def _changes(config: RunConfig, edit: Edit) -> Iterator[Edit]:
    """What of an edit is not so already, if anything."""
    changed = {key: value for key, value in edit.items() if value_of(config, key) != value}
    if changed:
        yield changed


def _no_sequence(found: Job) -> Finding:
    """The engine's share is too small: the opposite of a share that cannot be had, with the opposite fix."""
    capacity, share = kv_capacity(found), found.config.rollout.engine_mem_util
    larger = next(
        (
            p / 100
            for p in range(round(100 * share) + 1, 96)
            if kv_capacity(_with(found, {UTIL: p / 100})).starts
        ),
        None,
    )
    fixes = [Fix("spread the engine over more ranks", set={"rollout.engine_tp_size": found.place.ranks})]
    if capacity.tokens > 1:
        fixes.insert(
            0, Fix(f"shorten sequences to {capacity.tokens}", set={"rollout.max_len": capacity.tokens})
        )
    if found.config.rollout.engine_kv_cache_gb is not None:
        fixes.insert(0, Fix("leave engine_kv_cache_gb out", set={"rollout.engine_kv_cache_gb": None}))
    elif larger:
        fixes.insert(0, Fix(f"raise engine_mem_util to {larger:g}", set={UTIL: larger}))
    return Finding(
        id="cfg.mem.engine.kv-cache-too-small",
        severity="error",
        cause=f"the engine's share of memory (engine_mem_util = {share:g}) leaves a KV cache of "
        f"{capacity.tokens:,} tokens beside its weights, less than one sequence of max_len = "
        f"{capacity.max_len:,}: it does not start.",
        fixes=tuple(fixes),
        param=UTIL,
    )


def _kv(host: Host) -> Answer:
    found = job(host)
    if found.engine == "hf":
        raise DoesNotApply("the hf engine's cache grows with its batch: cfg.mem.engine")
    capacity = kv_capacity(found)
    if not capacity.starts:
        raise DoesNotApply("not one sequence fits: cfg.mem.engine")
    together = capacity.sequences(capacity.max_len)
    words = (
        f"{capacity.tokens:,} tokens of KV cache, {together} of {capacity.demand} responses at full length"
    )
    if together >= min(capacity.demand, capacity.most):
        return Ok(words)
    return Finding(
        id="cfg.kv",
        severity="info",
        cause=f"{words} at once; the rest wait, which costs time and nothing else.",
        fixes=(
            Fix("give the engine more memory, if it is free in rollouts: raise engine_mem_util"),
            Fix("or spread it over more ranks, each with less of the weights: raise engine_tp_size"),
        ),
        param=UTIL,
    )


CHECKS: tuple[Check, ...] = (
    Check("cfg.mem.train", "training fits into memory", "fast", _training, needs=("config",), limit_s=10.0),
    Check("cfg.mem.engine", "the engine fits into memory", "fast", _engine, needs=("config",), limit_s=10.0),
    Check("cfg.kv", "the KV cache holds the responses", "fast", _kv, needs=("config",)),
)
