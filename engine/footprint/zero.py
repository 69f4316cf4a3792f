"""What DeepSpeed's ZeRO holds beside parameters and states: version 0.19.8 with this engine's settings.

Gradients are accumulated and communicated in float32 (`engine/strategy/zero_engine.py`). Elements are reduced
in buckets; a gradient larger than a bucket is reduced by itself.
"""

from collections.abc import Iterator

from engine.footprint import states
from engine.footprint.buffers import copies_to_reduce
from engine.footprint.job import Job
from engine.footprint.shards import adapted, small_params
from engine.footprint.terms import Term

BF16, STAGE_1_2, STAGE_3 = (
    f"deepspeed 0.19.8 {file}" for file in ("bf16_optimizer.py", "stage_1_and_2.py", "stage3.py")
)
LIVE = 1_000_000_000
"""Parameters that stage 3 keeps whole because they are used again soon (stage3_max_live_parameters)."""
PREFETCHED = 50_000_000
"""stage3_prefetch_bucket_size"""
SUB_GROUP = 1_000_000_000
"""Elements of a rank that stage 3 steps at once (sub_group_size)."""
PERSISTENT = 100_000
"""Smaller tensors stay whole in stage 3 (stage3_param_persistence_threshold)."""

Terms = tuple[Term, ...]


class Zero:
    """One model under ZeRO.

    Stage 1 in bfloat16 without offload is another optimizer than the rest (BF16_Optimizer): it has float32
    gradients of all parameters, always, and keeps those in bfloat16 until the step.
    """

    def __init__(self, job: Job) -> None:
        self.job = job
        self.stage = states.stage(job)
        self.number = job.compute_bytes
        self.mixed = self.number < 4
        offloaded = job.config.memory.adam_offload
        self.keeps_narrow = self.stage == 1 and self.mixed and not offloaded
        self.ranks = job.place.ranks
        self.trained = states.trained(job)
        self.share = states.divided(self.trained, self.ranks)
        self.adapted = bool(states.frozen(job))
        self.table = 0 if self.adapted else job.shape.vocab * job.shape.hidden
        self.tied = job.shape.tied
        self.largest = self._largest_trained()
        self.bucket = min(states.BUCKET, self.trained)
        self.source = BF16 if self.keeps_narrow else STAGE_3 if self.stage == 3 else STAGE_1_2

    def _largest_trained(self) -> int:
        """Elements of the largest tensor that is trained."""
        if not self.adapted:
            return self.table
        model = self.job.config.model
        linear = adapted(self.job.shape, model.target_modules)
        return model.lora_rank * max((max(module.weight) for _, module in linear), default=1)

    # --- always there -----------------------------------------------------------------------------------

    def permanent(self) -> Terms:
        """What is made once: all float32 gradients in stage 1, a rank's own in stage 3, with a bucket."""
        if self.keeps_narrow:
            return states.gradients(self.job)
        if self.stage < 3:
            return self._travelling()
        bucket = self._elements("gradient bucket", 4, self.bucket)
        return (bucket,) if states.optimizer_on_host(self.job) else (bucket, *states.gradients(self.job))

    def _travelling(self) -> Terms:
        """The buffer in which gradients of stages 1 and 2 go to host memory."""
        if not states.optimizer_on_host(self.job):
            return ()
        return (self._elements("gradient on its way", self.number, self.largest),)

    def small(self) -> Terms:
        """Small tensors, which stage 3 has whole between updates too."""
        if self.stage < 3 or self.ranks == 1:
            return ()
        size = small_params(self.job.shape, PERSISTENT)
        if self.adapted and self.largest <= PERSISTENT:
            size += self.trained
        return (self._elements("small parameters, whole", self.number, size),)

    # --- during forward and backward ----------------------------------------------------------------------

    def gathered(self, at_end: bool = False) -> Terms:
        """Parameters that stage 3 has whole: at the end of the backward pass few are used again."""
        if self.stage < 3 or self.ranks == 1:
            return ()
        shape = self.job.shape
        live = LIVE
        if at_end:
            live = shape.vocab * shape.hidden + shape.params_largest_layer + PREFETCHED
        return (self._elements("gathered parameters", self.number, min(shape.params, live)),)

    def gradients(self) -> Terms:
        """Of all parameters, where they are not there anyway."""
        if self.keeps_narrow:
            return (self._elements("gradients in bfloat16", self.number, self.trained),)
        if self.stage == 2 and not self.mixed:  # those of one micro-batch are added to those before
            return (self._elements("gradients, old and new", 8, self.share),)
        return () if self.stage == 3 else states.gradients(self.job)

    def filling(self) -> Terms:
        """The bucket, from the first gradient to the end of the backward pass."""
        if self.stage == 3 or self.keeps_narrow:
            return ()
        each = 4 if self.stage == 1 else self.number
        return (self._elements("gradient bucket", each, self.bucket),)

    def head_gradient(self) -> Terms:
        """The head's gradient, where it waits: it is tied, kept, or larger than a bucket."""
        waits = self.tied or self.stage == 1 or self.table > self.bucket
        if not self.table or not waits:
            return ()
        return (self._elements("gradient of the head", self.number, self.table),)

    def table_gradients(self) -> Terms:
        """The gradients of a tied embedding and head before they are added; of an embedding alone."""
        if not self.table:
            return ()
        copies = 2 if self.tied else 1
        return (self._elements("gradient of the embedding", copies * self.number, self.table),)

    @property
    def layers_before_first_reduction(self) -> int | None:
        """Decoder layers whose gradients fill the first bucket; None: the whole model fits into one."""
        if self.stage == 1 or self.bucket == self.trained:
            return None
        shape = self.job.shape
        first = 0 if self.tied else self.table
        in_layers = self.trained - (2 - self.tied) * self.table
        return max(0, self.bucket - first) // max(1, states.divided(in_layers, shape.layers))

    def reducing(self) -> Terms:
        """Copies of a bucket, or of a larger gradient, on their way to the other ranks."""
        if self.keeps_narrow:  # float32 gradients are reduced where they are
            return (self._elements("a gradient in float32", 4, self.largest),)
        largest = max(self.bucket, self.table)
        oversized = largest > self.bucket
        if self.stage == 3:
            each = 8 if oversized and self.mixed else 4
            each += 4 * copies_to_reduce(self.job, self.ranks)
        else:
            each = self.number + 4 if self.stage == 2 and self.mixed else 4
        return (self._elements("gradients being reduced", each, largest),)

    def partition(self) -> Terms:
        """Reduced gradients of stage 1 in float32, beside the whole ones."""
        if self.stage > 1 or self.mixed:
            return ()
        return (self._elements("own gradients", 4, self.share),)

    # --- the step -----------------------------------------------------------------------------------------

    def steps(self) -> Iterator[tuple[str, Terms]]:
        """The moments of an optimizer step."""
        if self.keeps_narrow:
            yield "while the optimizer steps", self.gradients()
            return
        own = {1: self.partition(), 2: states.gradients(self.job), 3: ()}[self.stage]
        yield "as the step begins", own + self.small()
        if self.adapted:  # of parameters, stage 3 parts with those that are trained alone
            own += self.small()
        yield "while the gradient's norm is taken", own + self._norm()
        yield "while the optimizer steps", own + self._copies()

    def _norm(self) -> Terms:
        """In float64, tensor by tensor."""
        part = states.divided(self.largest, self.ranks) if self.stage == 3 else min(self.largest, self.share)
        return (self._elements("a gradient in float64", 8, part),)

    def _copies(self) -> Terms:
        """Gradients that stage 3, and models in float32, copy for the optimizer."""
        if self.stage < 3:
            return () if self.mixed else (self._elements("gradients flattened", 4, self.share),)
        return (self._elements("gradients of a sub-group", 4, min(SUB_GROUP, self.share)),)

    def _elements(self, name: str, each: int, elements: int) -> Term:
        return Term(name, each * elements, f"{each} B × {elements:,}", self.source)
