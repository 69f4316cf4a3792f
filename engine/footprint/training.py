"""The trainer's device memory, phase by phase: log-probabilities, forward and backward, optimizer step.

Not in it: workspaces inside kernels, what `torch_compile` saves (a compiled layer keeps less), vision towers.
"""

from collections.abc import Iterator

from engine.footprint import states
from engine.footprint.activations import Activations
from engine.footprint.buffers import Buffers
from engine.footprint.job import Job
from engine.footprint.logits import Logits
from engine.footprint.terms import PhaseMemory, Term
from engine.footprint.workload import Batch, logprob_batch, micro_batches, update_batch
from engine.footprint.zero import Zero

Terms = tuple[Term, ...]
Moments = Iterator[tuple[str, Terms]]


def training_phases(job: Job) -> tuple[PhaseMemory, PhaseMemory, PhaseMemory]:
    """The phases `logprob`, `update` and `step` of one rank, each at its worst moment.

    Only what torch's allocator holds for the trainer: no engine, no constants, no margin.
    """
    trainer = _Trainer(job)
    return trainer.logprob(), trainer.update(), trainer.step()


def resident(job: Job) -> Terms:
    """What the trainer holds on the device between updates: while responses are sampled, and in the sync."""
    return _Trainer(job).resident


class _Trainer:
    """The models of a job, and what is alive at the moments of a phase that may be its worst."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.parameters = states.parameters(job)
        self.optimizer = states.optimizer(job)
        self.gradients = states.gradients(job)
        self.reference = states.reference(job)
        self.resting_reference = () if states.reference_travels(job) else self.reference
        self.buffers = Buffers(job)
        self.zero = Zero(job) if job.strategy == "deepspeed" else None
        self.permanent = self.zero.permanent() if self.zero else ()
        self.accumulates = micro_batches(job) > 1

    @property
    def resident(self) -> Terms:
        held = self.parameters + self.permanent + self.resting_reference
        if self.zero:
            held += self.zero.small()
        return held if states.states_travel(self.job) else held + self.optimizer

    def logprob(self) -> PhaseMemory:
        batch = logprob_batch(self.job)
        held = self.parameters + self.permanent + self.reference
        if not states.states_travel(self.job):
            held += self.optimizer
        return _worst("logprob", batch, held, self._logprob_moments(batch))

    def update(self) -> PhaseMemory:
        batch = update_batch(self.job)
        held = self.parameters + self.optimizer + self.permanent + self.resting_reference
        moments = self._zero_moments(self.zero, batch) if self.zero else self._fsdp_moments(batch)
        return _worst("update", batch, held, moments)

    def step(self) -> PhaseMemory:
        held = self.parameters + self.optimizer + self.permanent + self.resting_reference
        moments = self.zero.steps() if self.zero else self._fsdp_steps()
        moment, terms = max(moments, key=_size)
        return PhaseMemory("step", moment, held + terms)

    # --- log-probabilities --------------------------------------------------------------------------------

    def _logprob_moments(self, batch: Batch) -> Moments:
        """A pass of the policy or of the reference."""
        buffers, activations = self.buffers, Activations(self.job, batch)
        logits = activations.mask() + Logits(self.job, batch).without_gradient()
        if self.zero:
            policy = self.zero.gathered()
            yield "in a decoder layer of the policy", policy + activations.forward()
            yield "at the policy's logits", policy + logits
            if not self.reference:
                return
            whole = self.zero.small() + buffers.root("the reference's ")
        else:
            whole = buffers.root()
        yield "while the first layer is gathered", whole + buffers.root_arriving() + buffers.layers()
        yield "in a decoder layer", whole + buffers.layers() + activations.forward()
        yield "at the logits", whole + buffers.last_layer() + logits

    # --- forward and backward -----------------------------------------------------------------------------

    def _fsdp_moments(self, batch: Batch) -> Moments:
        buffers, activations, logits = self.buffers, Activations(self.job, batch), Logits(self.job, batch)
        gradients, partial = self._reduced_over_replicas()
        before = partial if self.accumulates else ()
        count = self.job.shape.layers
        root, head, once = buffers.root(), buffers.head_gradient(), activations.once()
        yield "while the first layer is gathered", before + root + buffers.root_arriving() + buffers.layers()
        waiting = before + root + activations.kept(count) + once
        waiting += buffers.last_layer()
        yield "at the logits", waiting + logits.without_gradient()
        yield "at the loss", waiting + logits.at_backward()
        yield "in the final norm's backward pass", waiting + head + activations.in_final_norm()
        working = root + head + buffers.layers()
        at_work, ending = once[1:] + activations.at_work(), buffers.layer_gradients()
        for left, name in _layers(count):
            here = working + (gradients if left == 1 else before)
            if left < count:
                here += buffers.reducing()
            yield f"in {name} backward pass", here + activations.kept(left) + at_work
            yield f"at the end of {name} backward pass", here + activations.kept(left - 1) + ending
            if copied := buffers.reduced_by_gloo():
                done = gradients if left == 1 else before
                here = root + head + buffers.layers(1) + done + activations.kept(left - 1)
                yield f"when {name} gradients are reduced", here + copied
        yield (
            "at the embedding's gradient",
            self.gradients + root + buffers.reducing() + buffers.head_gradient(2),
        )
        yield "when gradients of embedding and head are reduced", gradients + buffers.root_gradients()

    def _reduced_over_replicas(self) -> tuple[Terms, Terms]:
        """Gradients at the end of a step's last backward pass, and between its micro-batches.

        Replicas of HSDP reduce at the last micro-batch, in float32: bfloat16 gradients are made of copies.
        """
        job = self.job
        replicated = job.shard_ranks < job.place.ranks
        if not replicated or not job.config.memory.use_mp_opt or states.on_host(job):
            return self.gradients, self.gradients
        size = states.trained_shards(job, job.shard_ranks).all
        words = f"4 B × {size:,}"
        partial = (
            Term("gradients for all replicas, float32", 4 * size, words, "torch FSDP2: foreach_reduce"),
        )
        return self.gradients + partial, partial

    def _zero_moments(self, zero: Zero, batch: Batch) -> Moments:
        activations, logits = Activations(self.job, batch), Logits(self.job, batch)
        gradients = zero.gradients()
        before = gradients if self.accumulates else ()
        count = self.job.shape.layers
        live, late, head = zero.gathered(), zero.gathered(at_end=True), zero.head_gradient()
        once, filling = activations.once(), zero.filling()
        waiting = before + activations.kept(count) + once + live
        yield "at the logits", waiting + logits.without_gradient()
        yield "at the loss", waiting + logits.at_backward()
        waiting += filling if before and zero.stage == 1 else filling + head
        yield "in the final norm's backward pass", waiting + activations.in_final_norm()
        yield "in the last layer's backward pass", waiting + activations.at_work()
        in_place = late + gradients
        late = in_place + filling
        first = late + (head if zero.tied else ()) + activations.kept(1) + once[1:]
        yield "in the first layer's backward pass", first + activations.at_work()
        done = zero.layers_before_first_reduction
        if done is not None:
            left = activations.kept(max(0, count - done)) + once[1:]
            yield "when the first bucket is reduced", gradients + left + live + filling + zero.reducing()
        yield "at the embedding's gradient", late + zero.table_gradients()
        # Stage 1 has moved gradients into the bucket, whose memory they gave back.
        ending = in_place if zero.stage == 1 else late
        yield "when the last bucket is reduced", ending + zero.reducing() + zero.partition()

    # --- the step -----------------------------------------------------------------------------------------

    def _fsdp_steps(self) -> Moments:
        extra: Terms = ()
        if self.job.config.memory.use_mp_opt and not states.on_host(self.job):
            size = states.trained_shards(self.job, states.shard_ranks(self.job)).all
            extra = (Term("gradients in float32", 4 * size, f"4 B × {size:,}", states.MASTERS),)
        yield "while the optimizer steps", self.gradients + extra


def _layers(count: int) -> Iterator[tuple[int, str]]:
    """Layers whose backward pass may be the worst: how many are left with it, and what it is called."""
    yield count, "the last layer's"
    if count > 1:
        yield count - 1, "the last but one layer's"
        yield 1, "the first layer's"


def _worst(phase: str, batch: Batch, held: Terms, moments: Moments) -> PhaseMemory:
    """The moment that takes most, beside what is held in all of them."""
    moment, terms = max(moments, key=_size)
    return PhaseMemory(phase, f"{moment}, {batch.words}", held + terms)


def _size(moment: tuple[str, Terms]) -> int:
    return sum(term.bytes for term in moment[1])
