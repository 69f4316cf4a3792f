"""The trainer's device memory, phase by phase: log-probabilities, forward and backward, optimizer step."""

from engine.footprint import activations, buffers, logits, states
from engine.footprint.job import Job
from engine.footprint.terms import PhaseMemory, Term
from engine.footprint.workload import Batch, logprob_batch, micro_batches, update_batch

Terms = tuple[Term, ...]


def training_phases(job: Job) -> tuple[PhaseMemory, PhaseMemory, PhaseMemory]:
    """The phases `logprob`, `update` and `step` of one rank, each at its worst moment.

    Only what torch's allocator holds for the trainer: no engine, no constants, no margin.
    """
    return _logprob(job), _update(job), _step(job)


def resident(job: Job) -> Terms:
    """What the trainer holds on the device between updates: while responses are sampled, and in the sync."""
    held = states.parameters(job)
    if not states.states_travel(job):
        held += states.optimizer(job)
    if not states.reference_travels(job):
        held += states.reference(job)
    return held


def _logprob(job: Job) -> PhaseMemory:
    """A forward pass of the reference model, or of the policy, whose root stays whole after it."""
    batch = logprob_batch(job)
    held = resident(job)
    if states.reference_travels(job):
        held += states.reference(job)
    gathered = buffers.root(job) + buffers.layers(job)
    moments = {
        "in a decoder layer": activations.without_gradient(job, batch),
        "at the logits": logits.without_gradient(job, batch),
    }
    return _worst("logprob", batch, held + gathered, moments)


def _update(job: Job) -> PhaseMemory:
    batch = update_batch(job)
    held = states.parameters(job) + states.optimizer(job) + buffers.root(job)
    if not states.reference_travels(job):
        held += states.reference(job)
    gradients = states.gradients(job)
    before = gradients if micro_batches(job) > 1 else ()
    kept = activations.kept(job, batch)
    passing = buffers.layers(job) + buffers.layer_gradients(job) + buffers.buckets(job)
    moments = {
        "at the loss": before + kept + logits.at_backward(job, batch),
        "in the last layer's backward pass": before
        + kept
        + buffers.head_gradient(job)
        + passing
        + activations.working(job, batch),
        "in the first layer's backward pass": gradients
        + buffers.head_gradient(job)
        + passing
        + activations.working(job, batch),
        "at the end of the backward pass": gradients + buffers.root_gradients(job) + buffers.buckets(job),
    }
    return _worst("update", batch, held, moments)


def _step(job: Job) -> PhaseMemory:
    held = states.parameters(job) + states.optimizer(job) + states.gradients(job)
    if not states.reference_travels(job):
        held += states.reference(job)
    extra: Terms = ()
    if job.strategy == "fsdp2" and job.config.memory.use_mp_opt and not states.on_host(job):
        size = states.divided(states.trained(job), states.shard_ranks(job))
        extra = (
            Term("gradients in float32", 4 * size, f"4 B × {size:,}", "engine/strategy/mp_optimizer.py"),
        )
    return PhaseMemory("step", "while the optimizer steps", held + extra)


def _worst(phase: str, batch: Batch, held: Terms, moments: dict[str, Terms]) -> PhaseMemory:
    """The moment that takes most, beside what is held in all of them."""
    moment = max(moments, key=lambda name: sum(term.bytes for term in moments[name]))
    return PhaseMemory(phase, f"{moment}, {batch.words}", held + moments[moment])
