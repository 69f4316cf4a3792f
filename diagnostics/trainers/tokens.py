"""Tokens of one rank's worst micro-batch: from caps, a packed length, a budget, or what the data are."""

from dataclasses import dataclass

from diagnostics.trainers.notes import Note
from diagnostics.trainers.row import Row

ASSUMED_PROMPT, ASSUMED_RESPONSE = 512, 1024
UNPADDED, PADDED = 0.25, 0.4
"""What the sequences of a micro-batch take of the cap beyond the first, which takes it whole. Fitted."""
PAIRED = ("dpo", "simpo", "orpo", "cpo", "ipo", "rm")
"""Every sample is a chosen and a rejected sequence."""
SUPERVISED = ("sft", "pretrain", "gkd", "distill")


@dataclass(frozen=True, slots=True)
class MicroBatch:
    """Tokens that one rank computes at once, after sequence parallelism, and images with them."""

    tokens: float
    images: float
    """How many images of the largest size they are worth."""


def micro_batch(row: Row, note: Note, *, packs: bool, algo: str) -> MicroBatch:
    """The worst micro-batch that is likely: one sequence at the cap, the others at a share of it.

    Padded answers of a policy are all as long as the longest, which reaches the cap sooner or later.
    """
    cap = _cap(row, algo)
    samples = row.number("micro_train_batch", assumed=1) or 1
    if note.tokens is not None:
        return MicroBatch(max(note.tokens, cap) / note.sp, samples)
    in_sample = 2 if algo in PAIRED else 1
    unpadded = (packs or note.unpadded) and not note.padded
    if note.packed_length is not None or note.climbed("packed") or algo == "pretrain":
        return MicroBatch(samples * (note.packed_length or cap) / note.sp, samples)
    if not unpadded and algo not in (*SUPERVISED, *PAIRED):
        return MicroBatch(samples * cap / note.sp, samples)
    share = UNPADDED if unpadded else PADDED
    mean = min(cap, note.mean_length or share * cap) if unpadded else share * cap
    return MicroBatch(in_sample * (cap + (samples - 1) * mean) / note.sp, 1 + (samples - 1) * share)


def _cap(row: Row, algo: str) -> float:
    prompt, response = row.number("prompt_len"), row.number("response_len")
    supervised = algo in (*SUPERVISED, *PAIRED)
    if prompt is None and not (supervised and response):
        prompt = row.assume("prompt_len", ASSUMED_PROMPT)
    if response is None and not supervised:
        response = row.assume("response_len", ASSUMED_RESPONSE)
    return (prompt or 0) + (response or 0)
