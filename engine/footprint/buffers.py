"""Parameters gathered for use, and gradients on their way to their shards, under FSDP2.

Layers are gathered one by one, and the next one while one is at work. Embedding and head, the root, are whole
from the first forward pass of an update to its backward pass.
"""

from engine.footprint.job import Job
from engine.footprint.shards import model_shards
from engine.footprint.states import frozen, sharded, trained_shards
from engine.footprint.terms import Term

FSDP = "engine/strategy/fully_sharded.py"
REDUCE = "torch FSDP2: foreach_reduce"
GLOO = "torch ProcessGroupGloo: reduce_scatter"


def copies_to_reduce(job: Job, ranks: int) -> bool:
    """Whether a reduce-scatter copies what it reduces: gloo's does, on a CPU."""
    return job.place.on_cpu and ranks > 1


class Buffers:
    """What FSDP2 holds of a model beside its shards; nothing where models are not sharded.

    Under DeepSpeed that is the reference model.
    """

    def __init__(self, job: Job) -> None:
        self.number = job.compute_bytes
        self.fsdp = sharded(job)
        self.ranks = job.shard_ranks if self.fsdp else 1
        self.whole = model_shards(job.shape, self.ranks)
        self.adapted = bool(frozen(job))
        self.trained = trained_shards(job, self.ranks)
        self.table = job.shape.vocab * job.shape.hidden
        self.copies = copies_to_reduce(job, self.ranks)

    def root(self, whose: str = "") -> tuple[Term, ...]:
        """Embedding and head, whole."""
        return self._elements(f"{whose}embedding and head, whole", self.number, self.whole.root, FSDP)

    def root_arriving(self) -> tuple[Term, ...]:
        """The buffer that embedding and head arrive in, besides themselves."""
        if self.ranks == 1:
            return ()
        return self._elements("embedding and head, arriving", self.number, self.whole.root, FSDP)

    def layers(self, copies: int = 2) -> tuple[Term, ...]:
        """The layer at work, and with two copies the buffer of the one that is fetched."""
        copies = 1 if self.ranks == 1 else copies
        return self._elements("gathered layers", copies * self.number, self._layer, FSDP)

    def last_layer(self) -> tuple[Term, ...]:
        """Its buffer stays to the end of a forward pass, and is fetched first for the backward pass."""
        if self.ranks == 1:
            return ()
        return self._elements("last layer's buffer", self.number, self._layer, FSDP)

    def layer_gradients(self) -> tuple[Term, ...]:
        """A layer's gradients, whole, at the end of its backward pass."""
        return self._elements("gradients of a layer, whole", self.number, self.trained.layer, FSDP)

    def reducing(self) -> tuple[Term, ...]:
        """The gradients of the layer before, in float32 on their way to the other ranks."""
        return self._elements("gradients of a layer, reduced", 4, self.trained.layer, REDUCE)

    def reduced_by_gloo(self) -> tuple[Term, ...]:
        """A layer's gradients in float32, and gloo's copy of them; nothing with NCCL, which makes none."""
        return (
            self._elements("gradients of a layer, reduced", 8, self.trained.layer, GLOO)
            if self.copies
            else ()
        )

    def head_gradient(self, copies: int = 1) -> tuple[Term, ...]:
        """The gradient of the head waits for that of the embedding, which are reduced together."""
        if not self.fsdp or self.adapted:
            return ()
        name = "gradient of the head" if copies == 1 else "gradients of embedding and head"
        words = f"{copies * self.number} B × {self.table:,}"
        return (Term(name, copies * self.number * self.table, words, FSDP),)

    def root_gradients(self) -> tuple[Term, ...]:
        """Gradients of embedding and head, whole, and in float32 on their way."""
        each, source = (8, GLOO) if self.copies else (self.number + 4, REDUCE)
        return self._elements("gradients of embedding and head", each, self.trained.root, source)

    @property
    def _layer(self) -> int:
        return self.whole.layer + (self.trained.layer if self.adapted else 0)

    def _elements(self, name: str, each: int, shard: int, source: str) -> tuple[Term, ...]:
        if not self.fsdp or not shard:
            return ()
        elements = shard * self.ranks
        return (Term(name, each * elements, f"{each} B × {elements:,}", source),)
