"""What DeepSpeed's ZeRO holds beside parameters and states: version 0.19.8 with this engine's settings.

Gradients are accumulated and communicated in float32 (`engine/strategy/zero_engine.py`). Elements are reduced
in buckets; a gradient larger than a bucket is reduced by itself.
"""

from engine.footprint import states
from engine.footprint.job import Job
from engine.footprint.terms import Term

STAGE_1_2, STAGE_3 = "deepspeed 0.19.8 stage_1_and_2.py", "deepspeed 0.19.8 stage3.py"
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
    """One model under ZeRO."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.stage = states.stage(job)
        self.number = job.compute_bytes
        self.ranks = job.place.ranks
        self.trained = states.trained(job)
        self.adapted = bool(states.frozen(job))
        self.bucket = min(states.BUCKET, self.trained)
        self.table = job.shape.vocab * job.shape.hidden
        self.share = states.divided(self.trained, self.ranks)
        self.mixed = self.number < 4

    # --- always there -----------------------------------------------------------------------------------

    def permanent(self) -> Terms:
        """Stage 3 makes its bucket, and the gradients' partition, once."""
        if self.stage < 3:
            return ()
        bucket = _elements("gradient bucket", 4, self.bucket, STAGE_3)
        if states.optimizer_on_host(self.job):
            return (bucket,)
        return (bucket, *states.gradients(self.job))

    # --- during forward and backward ----------------------------------------------------------------------

    def gathered(self, at_end: bool = False) -> Terms:
        """Parameters that stage 3 has whole: at the end of the backward pass few are used again."""
        if self.stage < 3 or self.ranks == 1:
            return ()
        shape = self.job.shape
        whole = self.job.shape.params
        live = min(whole, LIVE)
        if at_end:
            live = min(whole, self.table + shape.params_largest_layer + PREFETCHED)
        return (
            _elements("gathered parameters", self.number, live, f"{STAGE_3}: stage3_max_live_parameters"),
        )

    def filling(self) -> Terms:
        """The bucket, from the first gradient to the end of the backward pass."""
        if self.stage == 3:
            return ()
        each = 4 if self.stage == 1 else self.number
        return (_elements("gradient bucket", each, self.bucket, STAGE_1_2),)

    def head_gradient(self) -> Terms:
        """The head's gradient: in float32 in stage 1; waiting where it is tied or larger than a bucket."""
        if self.adapted:
            return ()
        waits = self.job.shape.tied or self.table > self.bucket
        if self.stage == 1 and not self.job.shape.tied:
            return (_elements("gradient of the head", 4, self.table, STAGE_1_2),)
        if not waits:
            return ()
        return (_elements("gradient of the head", self.number, self.table, STAGE_1_2),)

    def table_gradients(self) -> Terms:
        """The gradients of a tied embedding and head before they are added; of an embedding alone."""
        if self.adapted:
            return ()
        copies = 2 if self.job.shape.tied else 1
        return (_elements("gradient of the embedding", copies * self.number, self.table, "torch autograd"),)

    @property
    def layers_done_at_first_reduction(self) -> int | None:
        """Decoder layers whose gradients fill the first bucket; None: all the model fits into one."""
        shape = self.job.shape
        if self.stage == 1 or self.bucket == self.trained:
            return None
        first = 0 if shape.tied or self.adapted else self.table
        return max(0, self.bucket - first) // max(1, states.divided(self.trained - self._ends, shape.layers))

    @property
    def _ends(self) -> int:
        shape = self.job.shape
        return 0 if self.adapted else shape.params_embedding + shape.params_head

    def reducing(self) -> Terms:
        """Copies of a bucket, or of a larger gradient, on their way to the other ranks."""
        largest = self.bucket
        if not self.adapted and self.table > self.bucket:
            largest = self.table
        if self.stage == 3:
            each = 4 + (4 if largest > self.bucket and self.mixed else 0)
            return (_elements("gradients being reduced", each, largest, STAGE_3),)
        each = 4 if self.stage == 1 or not self.mixed else self.number + 4
        return (_elements("gradients being reduced", each, largest, STAGE_1_2),)

    def partition(self) -> Terms:
        """Stage 1's own share of reduced gradients, beside the whole ones."""
        if self.stage != 1:
            return ()
        return (_elements("own gradients", 4, self.share, STAGE_1_2),)

    # --- the step -----------------------------------------------------------------------------------------

    def norm(self) -> Terms:
        """Gradient norms are taken in float64, tensor by tensor."""
        largest = max(self.table if not self.adapted else 0, 1)
        part = states.divided(largest, self.ranks) if self.stage == 3 else min(largest, self.share)
        return (_elements("a gradient in float64", 8, part, "deepspeed: get_norm_dtype"),)

    def step_copies(self) -> Terms:
        """Gradients that stage 3, and float32 models, copy for the optimizer."""
        if self.stage < 3:
            return () if self.mixed else (_elements("gradients flattened", 4, self.share, STAGE_1_2),)
        return (_elements("gradients of a sub-group", 4, min(SUB_GROUP, self.share), STAGE_3),)


def _elements(name: str, each: int, elements: int, source: str) -> Term:
    return Term(name, each * elements, f"{each} B × {elements:,}", source)
