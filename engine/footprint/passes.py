"""Seconds of the trainer's passes: micro-batches, what they compute and what they send."""

import math
from dataclasses import dataclass

from engine.config.batch import data_parallel, responses_per_rollout
from engine.footprint import states
from engine.footprint.compute import compute_seconds
from engine.footprint.flops import Tokens, forward_flops, update_flops
from engine.footprint.job import Job
from engine.footprint.lengths import Lengths, Responses, prompt_length
from engine.footprint.links import HOST_BANDWIDTH, Speeds
from engine.footprint.workload import WORTH_SHARING, takes_layouts

BINS = 48
"""Micro-batches that are told apart; more are taken to be alike."""
EXPOSED = 0.15
"""Of the shorter of computing and sending, which the longer does not hide."""
ADAM_BYTES = 28
"""Read and written per parameter: gradient, weight, moments; the last three again."""


@dataclass(frozen=True, slots=True)
class Pass:
    """All micro-batches of a pass on one rank."""

    micro_batches: int
    tokens: Tokens
    """Of all of them together, on this rank."""


def update_pass(job: Job, lengths: Lengths) -> Pass:
    """One optimizer step."""
    batch = job.config.batch
    return _pass(
        job, lengths, batch.train_batch_size, batch.micro_train_batch_size, batch.max_tokens_per_micro_batch
    )


def logprob_pass(job: Job, lengths: Lengths) -> Pass:
    """Log-probabilities of one rollout."""
    batch = job.config.batch
    return _pass(job, lengths, responses_per_rollout(job.config), batch.micro_rollout_batch_size, None)


def update_seconds(job: Job, lengths: Lengths) -> float:
    """One optimizer step with its micro-batches."""
    speeds, work = Speeds.of(job.place), update_pass(job, lengths)
    offloaded = _offloaded_per_micro_batch(job, speeds) * work.micro_batches
    return _together(*_computed_and_sent(job, work, speeds)) + offloaded + _adam(job, speeds)


def update_limit(job: Job, lengths: Lengths) -> str:
    """What takes the longest part of an optimizer step."""
    speeds, work = Speeds.of(job.place), update_pass(job, lengths)
    compute, sent = _computed_and_sent(job, work, speeds)
    seconds = {
        "arithmetic": compute,
        "links between ranks": sent,
        "transfers from and to host memory": _offloaded_per_micro_batch(job, speeds) * work.micro_batches,
        "the optimizer": _adam(job, speeds),
    }
    return max(seconds, key=lambda name: seconds[name])


def _computed_and_sent(job: Job, work: Pass, speeds: Speeds) -> tuple[float, float]:
    flops, tokens = update_flops(job, work.tokens), work.tokens.forwarded
    compute = compute_seconds(job, speeds, flops, tokens, work.micro_batches, training=True)
    sent = work.micro_batches * _sent_per_micro_batch(job, speeds) + _sent_per_step(job, speeds)
    return compute, sent


def logprob_seconds(job: Job, lengths: Lengths) -> float:
    """One pass of one model over a rollout."""
    speeds, work = Speeds.of(job.place), logprob_pass(job, lengths)
    flops, tokens = forward_flops(job.shape, work.tokens), work.tokens.forwarded
    compute = compute_seconds(job, speeds, flops, tokens, work.micro_batches, training=False)
    gathers = job.strategy == "fsdp2" or states.stage(job) == 3
    sent = _gather(job, speeds) * work.micro_batches if gathers else 0.0
    return _together(compute, sent)


def _pass(job: Job, lengths: Lengths, count: int, micro: int, budget: int | None) -> Pass:
    """`count` responses over all ranks, `micro` of them in a micro-batch, or what fits into a budget."""
    config = job.config
    prompt, responses = prompt_length(config, lengths), Responses.of(config, lengths)
    own = max(1, count // data_parallel(config, job.place.ranks))
    together = max(1, min(own, int(budget / (prompt + responses.mean)) if budget else micro))
    batches = math.ceil(own / together)
    tokens = _tokens(job, prompt, responses, own, together)
    return Pass(batches, tokens.times(1 / config.parallel.sp_size))


def _tokens(job: Job, prompt: float, responses: Responses, own: int, together: int) -> Tokens:
    """Of `own` responses in micro-batches of so many: padded, packed, or with shared prompts."""
    memory, n = job.config.memory, job.config.batch.n_samples_per_prompt
    prompts = own / together * math.ceil(together / n)
    sequence = prompt + responses.mean
    squares = own * (prompt**2 + 2 * prompt * responses.mean + responses.mean_square)
    scored = own * responses.mean
    saved = (own - prompts) * prompt / (own * sequence)
    if takes_layouts(job.shape) and saved > 0 and (job.place.on_cpu or saved >= WORTH_SHARING):
        return Tokens(prompts * prompt + scored, scored, squares - (own - prompts) * prompt**2)
    if memory.packing_samples or job.config.parallel.sp_size > 1:
        return Tokens(own * sequence, scored, squares)
    bins = min(BINS, math.ceil(own / together))
    widths = [prompt + responses.at((i + 1) / bins) for i in range(bins)]
    return Tokens(own * sum(widths) / bins, scored, own * sum(w * w for w in widths) / bins)


def _together(compute: float, sent: float) -> float:
    return max(compute, sent) + EXPOSED * min(compute, sent)


def _gather(job: Job, speeds: Speeds) -> float:
    """Seconds in which every layer is gathered once."""
    ranks = job.shard_ranks
    if ranks == 1:
        return 0.0
    size = job.compute_bytes * job.shape.params * (ranks - 1) / ranks
    return size / speeds.between(job.place, ranks)


def _sent_per_micro_batch(job: Job, speeds: Speeds) -> float:
    """Weights gathered forward and backward, gradients reduced in float32: not under ZeRO 1, and in ZeRO 2
    weights are whole."""
    stage, ranks = states.stage(job), job.shard_ranks
    if ranks == 1 or stage == 1:
        return 0.0
    reduced = 4 * states.trained(job) * (ranks - 1) / ranks / speeds.between(job.place, ranks)
    return reduced + (0.0 if stage == 2 else 2 * _gather(job, speeds))


def _sent_per_step(job: Job, speeds: Speeds) -> float:
    """What is sent once: gradients between the replicas of HSDP and in ZeRO 1, weights after a ZeRO 1 or 2
    step."""
    stage, ranks, shard = states.stage(job), job.place.ranks, job.shard_ranks
    trained = states.trained(job)
    if stage in (1, 2):
        once = job.compute_bytes * trained + (8 * trained if stage == 1 else 0)
        return once * (ranks - 1) / ranks / speeds.between(job.place, ranks)
    if shard == ranks:
        return 0.0
    copies = ranks // shard
    return 8 * trained / shard * (copies - 1) / copies / speeds.between(job.place, ranks)


def _offloaded_per_micro_batch(job: Job, speeds: Speeds) -> float:
    """`fsdp_cpu_offload`: shards come to the device twice, gradients go back."""
    if not states.on_host(job):
        return 0.0
    n, each = states.shard_ranks(job), states.parameter_bytes(job)
    down = 2 * each * states.divided(states.trained(job) + states.frozen(job), n)
    return (down + each * states.divided(states.trained(job), n)) / speeds.pcie


def _adam(job: Job, speeds: Speeds) -> float:
    """The optimizer step: its numbers go through memory once, through the machine's where they are there."""
    own = states.divided(states.trained(job), states.shard_ranks(job, parameters=False))
    zero_offload = job.strategy == "deepspeed" and job.config.memory.adam_offload and not job.place.on_cpu
    if not states.on_host(job) and not zero_offload:
        return ADAM_BYTES * own / speeds.bandwidth
    share = HOST_BANDWIDTH / min(job.place.ranks, job.place.ranks_per_node)
    moved = (4 + job.compute_bytes) * own / speeds.pcie if zero_offload else 0.0
    return ADAM_BYTES * own / share + moved
