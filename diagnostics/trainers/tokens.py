"""Tokens of one rank's worst micro-batch: from caps, a packed length, a budget, or what the data are."""

from dataclasses import dataclass

from diagnostics.trainers.notes import Note
from diagnostics.trainers.profile import Profile
from diagnostics.trainers.row import Row

ASSUMED_PROMPT, ASSUMED_RESPONSE = 512, 1024
ASSUMED_IMAGE = 1280
"""Tokens of an image in a vision model's prompt: what its recipes allow (1,003,520 pixels, 28 × 28 each)."""
FURTHER = 0.25
"""Of the cap, what every sequence of a micro-batch beyond the first adds: data are shorter than their cap.

Fitted to the published cases with several sequences in a micro-batch (`benchmarks/planner_cases.py` validates
it across projects); anything from 0.1 to 0.4 scores within two points.
"""
PAIRED = ("dpo", "simpo", "orpo", "cpo", "ipo", "rm")
"""Every sample is a chosen and a rejected sequence."""
SUPERVISED = ("sft", "pretrain", "gkd", "distill")


@dataclass(frozen=True, slots=True)
class MicroBatch:
    """Tokens that one rank computes at once, after sequence parallelism, and images with them."""

    tokens: float
    images: float
    """How many images of the largest size they are worth."""
    forward_tokens: float
    """Of a micro-batch whose log-probabilities are only computed; 0 where there is no such pass."""


def micro_batch(row: Row, note: Note, profile: Profile, algo: str, *, sees: bool) -> MicroBatch:
    """The worst micro-batch that is likely; `sees`: of a vision model."""
    cap = _cap(row, algo, sees)
    samples = row.number("micro_train_batch", assumed=1) or 1
    forward = row.number("micro_rollout_batch") or samples
    if profile.group_at_once:
        group = row.number("n_samples", assumed=8) or 1
        samples, forward = samples * group, forward * group
    tokens = _tokens(samples, cap, note, profile, algo)
    learns_from_rollouts = algo not in (*SUPERVISED, *PAIRED)
    forward_tokens = _tokens(forward, cap, note, profile, algo) if learns_from_rollouts else 0
    return MicroBatch(tokens, 1 + (samples - 1) * FURTHER, forward_tokens)


def _tokens(samples: float, cap: float, note: Note, profile: Profile, algo: str) -> float:
    """Of `samples` sequences: one at the cap, the others at a share of it.

    Padded responses of a policy are all as long as the longest, which reaches the cap sooner or later.
    """
    if note.tokens is not None:
        return max(note.tokens, cap) / note.sp
    if note.packed_length is not None or note.climbed("packed") or algo == "pretrain":
        return samples * (note.packed_length or cap) / note.sp
    unpadded = (profile.packs or note.unpadded) and not note.padded
    if not unpadded and algo not in (*SUPERVISED, *PAIRED):
        return samples * cap / note.sp
    mean = min(cap, note.mean_length or FURTHER * cap)
    return (2 if algo in PAIRED else 1) * (cap + (samples - 1) * mean) / note.sp


def _cap(row: Row, algo: str, sees: bool) -> float:
    prompt, response = row.number("prompt_len"), row.number("response_len")
    supervised = algo in (*SUPERVISED, *PAIRED)
    if prompt is None and not (supervised and response):
        prompt = row.assume("prompt_len", ASSUMED_PROMPT + (ASSUMED_IMAGE if sees else 0))
    if response is None and not supervised:
        response = row.assume("response_len", ASSUMED_RESPONSE)
    return (prompt or 0) + (response or 0)
