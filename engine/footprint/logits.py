"""Logits and log-probabilities: what the output head needs at the loss, with and without a backward pass."""

from engine.footprint.job import Job
from engine.footprint.terms import Term
from engine.footprint.workload import Batch

CHUNKED, FUSED = "engine/models/logprobs.py", "engine/models/fused_logprobs.py"


def chunk(job: Job, batch: Batch) -> int:
    """Rows of logits that exist at once."""
    return min(batch.rows, job.config.memory.chunk_size)


def kept_for_backward(job: Job, batch: Batch) -> tuple[Term, ...]:
    """Logits that the forward pass keeps: those of a single chunk that is not fused."""
    if job.config.memory.fused_linear_logprob or batch.rows > job.config.memory.chunk_size:
        return ()
    return (
        _rows("logits kept", 4 * (2 if job.config.algorithm.entropy_coef else 1), batch.rows, job, CHUNKED),
    )


def without_gradient(job: Job, batch: Batch) -> tuple[Term, ...]:
    """float32 logits, and twice as much again for the entropy."""
    rows = chunk(job, batch)
    if job.config.memory.fused_linear_logprob:
        return (_rows("logits", 8, rows, job, FUSED),)
    return (_rows("logits", 12, rows, job, CHUNKED),)


def at_backward(job: Job, batch: Batch) -> tuple[Term, ...]:
    """The most of it: float32 logits, and their gradients from the target and from the normaliser."""
    rows = chunk(job, batch)
    vocab, hidden = job.shape.vocab, job.shape.hidden
    if not job.config.memory.fused_linear_logprob:
        return (_rows("logits and their gradients", 16, rows, job, CHUNKED),)
    each = 12 if batch.rows > rows else 6
    terms = [_rows("logits and their gradients", each, rows, job, FUSED)]
    if not job.config.model.lora_rank:
        terms.append(
            Term(
                "gradient of the head, float32",
                (4 + job.compute_bytes) * vocab * hidden,
                f"(4 + {job.compute_bytes}) B × {vocab:,} × {hidden:,}",
                FUSED,
            )
        )
    return tuple(terms)


def _rows(name: str, each: int, rows: int, job: Job, source: str) -> Term:
    vocab = job.shape.vocab
    return Term(name, each * rows * vocab, f"{each} B × {rows:,} tokens × {vocab:,}", source)
