"""The heaviest micro-batch of one rank: what the lengths and batch sizes of a configuration allow at most."""

import math
from dataclasses import dataclass
from typing import Literal

from engine.config.batch import data_parallel, generate_max_len, responses_per_rollout
from engine.footprint.job import Job
from engine.footprint.shape import ModelShape
from engine.models.families import FAMILIES

Arrangement = Literal["padded", "packed", "shared"]
"""Rows padded on the right; one row of whole sequences; one row in which every prompt stands once."""

WORTH_SHARING = 0.25
"""As in `engine.data.experience`, which imports torch; a test holds them together."""


@dataclass(frozen=True, slots=True)
class Batch:
    """`sequences` responses of `response` tokens to `prompts` distinct prompts of `prompt` tokens.

    `ranks` share its tokens (sequence parallelism). The last token of a response is not forwarded.
    """

    sequences: int
    prompts: int
    prompt: int
    response: int
    arrangement: Arrangement
    ranks: int = 1

    @property
    def tokens(self) -> int:
        """Tokens that this rank forwards."""
        return -(-self.all_tokens // self.ranks)

    @property
    def all_tokens(self) -> int:
        """Tokens of the micro-batch: attention sees all of them, whatever a rank forwards."""
        shown = self.prompts if self.arrangement == "shared" else self.sequences
        return shown * self.prompt + self.sequences * (self.response - 1)

    @property
    def rows(self) -> int:
        """Tokens whose logits this rank computes: at worst its slice holds nothing but responses."""
        return min(self.sequences * self.response, self.tokens) if self.ranks > 1 else self.all_rows

    @property
    def all_rows(self) -> int:
        """Response tokens of the micro-batch."""
        return self.sequences * self.response

    @property
    def words(self) -> str:
        """For a person: what the micro-batch is."""
        rows = f"{self.sequences} × ({self.prompt:,} + {self.response:,}) tokens"
        if self.arrangement == "shared":
            rows += f", {self.prompts} prompt{'s' * (self.prompts != 1)} forwarded"
        return rows + (f", shared by {self.ranks} ranks" if self.ranks > 1 else "")


def takes_layouts(shape: ModelShape) -> bool:
    """Whether prompts of a micro-batch can be shared, as `engine.models.families` decides."""
    return shape.family in FAMILIES and not shape.windowed_layers


def update_batch(job: Job) -> Batch:
    """Of an optimizer step: `micro_train_batch_size` responses, or what the token budget holds."""
    batch = job.config.batch
    available = _available(job, batch.train_batch_size)
    if budget := batch.max_tokens_per_micro_batch:
        return _within(job, budget, available)
    return _arranged(job, min(batch.micro_train_batch_size, available), *_lengths(job))


def logprob_batch(job: Job) -> Batch:
    """Of a pass without gradients: `micro_rollout_batch_size` responses."""
    available = _available(job, responses_per_rollout(job.config))
    return _arranged(job, min(job.config.batch.micro_rollout_batch_size, available), *_lengths(job))


def micro_batches(job: Job) -> int:
    """Micro-batches of one optimizer step, on one rank, at the heaviest."""
    available = _available(job, job.config.batch.train_batch_size)
    return -(-available // update_batch(job).sequences)


def _available(job: Job, responses: int) -> int:
    """The responses that a rank, or the ranks that share sequences, have of so many in all."""
    return max(1, responses // data_parallel(job.config, job.place.ranks))


def _lengths(job: Job) -> tuple[int, int]:
    """The longest prompt and response, which fit into `max_len` together."""
    rollout = job.config.rollout
    response = min(generate_max_len(job.config), rollout.max_len - 1)
    return max(1, min(rollout.prompt_max_len, rollout.max_len - response)), max(1, response)


def _within(job: Job, budget: int, available: int) -> Batch:
    """As many of the longest responses as a budget holds, with prompts as long as it then allows.

    A longer sequence makes a micro-batch by itself. Prompts are seldom as long as they may be, so the budget
    is filled with responses, whose logits take memory too.
    """
    prompt, response = _lengths(job)
    sequences = max(1, min(budget // (response + 1), available))
    return _arranged(job, sequences, max(1, min(prompt, budget // sequences - response)), response)


def _arranged(job: Job, sequences: int, prompt: int, response: int) -> Batch:
    """How the engine lays out so many sequences: `engine.data.experience.collate`."""
    sp = job.config.parallel.sp_size
    prompts = _prompts(job, sequences)
    layouts = takes_layouts(job.shape)
    packs = job.config.memory.packing_samples or sp > 1
    saved = (sequences - prompts) * prompt / (sequences * (prompt + response))
    worth = saved > 0 if job.place.on_cpu else saved >= WORTH_SHARING
    arrangement: Arrangement = "shared" if layouts and worth else "packed" if packs else "padded"
    return Batch(sequences, prompts, prompt, response, arrangement, sp)


def _prompts(job: Job, sequences: int) -> int:
    """Distinct prompts of so many responses: those to one prompt follow each other, until epochs mix them."""
    config, ranks = job.config, job.place.ranks
    if config.optim.max_epochs > 1 or config.batch.rollout_batch_size % ranks:
        return sequences
    group = min(config.batch.n_samples_per_prompt, max(1, config.batch.train_batch_size // ranks))
    whole = group % sequences == 0 or sequences % group == 0
    return math.ceil(sequences / group) + (not whole)
