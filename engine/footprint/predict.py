"""The memory of a whole run before it runs: device memory phase by phase, host memory and disk."""

from collections.abc import Mapping

from engine.footprint.constants import process_terms
from engine.footprint.disk import disk_terms
from engine.footprint.host import checkpoint_rows, host_terms
from engine.footprint.job import Job
from engine.footprint.load import load_moments
from engine.footprint.margin import Measured, margin_terms
from engine.footprint.rollout import EngineStates, engine_states, trainer_at_start
from engine.footprint.states import frozen, sharded
from engine.footprint.sync import largest_weight, merged_adapters, sync_terms
from engine.footprint.terms import Footprint, PhaseMemory, Term
from engine.footprint.training import resident, training_phases

Terms = tuple[Term, ...]

NOT_MODELLED = (
    "memory that other processes take later",
    "ECC and the driver's own reserve, where they differ from the device table",
    "MIG slices that share a context",
    "libraries that a reward function brings in",
    "the page cache, in which model files and checkpoints take host memory that is given back when asked for",
    "NCCL buffers beyond 0.6 GB per communicator (many channels, all-to-all)",
    "trajectories, events and logs on disk",
)
"""For display: what a prediction says nothing about."""


def predict(job: Job, measured: Measured | None = None) -> Footprint:
    """Every phase of PHASES on one rank with all its terms, host memory and disk of a machine.

    `measured`: what earlier runs used against their prediction, in place of the general margin. Whether it
    fits is for the caller to say: `place.free` is what a rank has, and `rollout.kv_capacity` tells whether
    the engine's share holds a sequence at all.
    """
    always, engine = process_terms(job), engine_states(job)
    moments = {
        "load": load_moments(job, engine),
        "rollout": {"while responses are sampled": resident(job) + engine.generating},
        **{p.phase: {p.moment: p.terms + engine.outside} for p in training_phases(job)},
        "sync": _sync(job, engine),
        "checkpoint": _checkpoint(job, engine),
    }
    phases = tuple(_phase(job, name, each, always, measured) for name, each in moments.items())
    peak = max(phase.bytes for phase in phases)
    return Footprint(phases, host_terms(job, peak), disk_terms(job))


def _phase(
    job: Job, name: str, moments: Mapping[str, Terms], always: Terms, measured: Measured | None
) -> PhaseMemory:
    moment = max(moments, key=lambda m: sum(term.bytes for term in moments[m]))
    terms = always + moments[moment]
    return PhaseMemory(name, moment, terms + margin_terms(job, name, terms, measured))


def _sync(job: Job, engine: EngineStates) -> dict[str, Terms]:
    """Before the first rollout the KV cache is there from the engine's start, but Adam's states are not."""
    passing = sync_terms(job)
    return {
        "before the first rollout": trainer_at_start(job) + engine.awake + passing,
        "after an update": resident(job) + engine.synced + passing,
    }


def _checkpoint(job: Job, engine: EngineStates) -> dict[str, Terms]:
    """Whole tensors pass one at a time, in float32; the engine has its weights since the sync."""
    held = resident(job) + engine.synced
    if job.strategy == "fsdp2" and not sharded(job):
        return {"as tensors are written": held}
    elements = largest_weight(job)
    each = job.compute_bytes if frozen(job) else 4
    source = "engine/checkpoint/access.py" if job.strategy == "fsdp2" else "engine/strategy/zero_state.py"
    held += (Term("largest weight, whole", each * elements, f"{each} B × {elements:,}", source),)
    held += merged_adapters(job)
    if job.place.on_cpu and job.strategy == "deepspeed":
        held += (checkpoint_rows(job),)
    return {"as the largest weight is whole": held}
