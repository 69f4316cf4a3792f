"""Logits and log-probabilities: what the output head needs at the loss, with and without a backward pass."""

from engine.footprint.job import Job
from engine.footprint.terms import Term
from engine.footprint.workload import Batch

CHUNKED, FUSED, ACTOR = (
    "engine/models/logprobs.py",
    "engine/models/fused_logprobs.py",
    "engine/models/actor.py",
)
CAPPED = {"gemma2"}
"""Families with a cap on logits, whose tangent is kept (`engine/models/logit_transform.py`)."""

Terms = tuple[Term, ...]


class Logits:
    """Those of one micro-batch: of all its response tokens, or of a chunk of them at a time."""

    def __init__(self, job: Job, batch: Batch) -> None:
        memory, shape = job.config.memory, job.shape
        self.fused = memory.fused_linear_logprob
        self.number, self.vocab, self.hidden = job.compute_bytes, shape.vocab, shape.hidden
        self.rows = batch.rows
        self.chunk = min(batch.rows, memory.chunk_size)
        self.several = self.rows > self.chunk
        self.entropy_trained = job.config.algorithm.entropy_coef > 0
        self.capped = shape.family in CAPPED
        self.head_trained = not job.config.model.lora_rank
        self.narrow = self.number if self.number < 4 else 0
        """Bytes of the head's own output, which is another tensor than the float32 logits."""

    def without_gradient(self) -> Terms:
        """float32 logits, their probabilities and the product of both, for the entropy."""
        if self.fused:
            return (self._states(), self._entries("logits", 8, FUSED))
        return (self._states(), self._entries("logits", 12, CHUNKED))

    def at_backward(self) -> Terms:
        """The most that a backward pass needs, with what the forward pass has kept."""
        if self.fused:
            return (self._states(), *self._fused())
        # Logits, their gradient from the target's, and three steps of that from the normaliser; what is kept
        # for the entropy's gradient, and of the cap.
        each = 20 + 4 * self.entropy_trained + 4 * self.capped
        terms = [self._states(), self._entries("logits and their gradients", each, CHUNKED)]
        if self.several:
            terms.append(self._states("gradient of hidden states"))
            if self.head_trained:
                terms.append(self._head("gradient of the head", self.number, CHUNKED))
        return tuple(terms)

    def _fused(self) -> Terms:
        """A chunk's logits, which become their gradient, and what it adds to the head's."""
        entries = self._entries("logits and their gradients", 4 + self.narrow, FUSED)
        terms = (self._states("gradient of hidden states"), entries)
        if not self.head_trained:
            return terms
        whole = self._head("gradient of the head, float32", 4, FUSED)
        return (*terms, whole, self._head("its part from a chunk", self.number, FUSED))

    def _states(self, name: str = "hidden states of responses") -> Term:
        size = self.number * self.hidden * self.rows
        return Term(name, size, f"{self.number} B × {self.hidden:,} × {self.rows:,} tokens", ACTOR)

    def _head(self, name: str, each: int, source: str) -> Term:
        size = each * self.vocab * self.hidden
        return Term(name, size, f"{each} B × {self.vocab:,} × {self.hidden:,}", source)

    def _entries(self, name: str, each: int, source: str) -> Term:
        words = f"{each} B × {self.chunk:,} tokens × {self.vocab:,}"
        return Term(name, each * self.chunk * self.vocab, words, source)
