"""Seconds of one training iteration, roughly: what takes them, and what limits it."""

from dataclasses import dataclass

from engine.config.batch import responses_per_rollout, steps_per_rollout
from engine.footprint import rollout_vllm, states
from engine.footprint.flops import model_flops
from engine.footprint.generation import Generation, generation
from engine.footprint.job import Job
from engine.footprint.lengths import Lengths as Lengths
from engine.footprint.lengths import Responses
from engine.footprint.links import Speeds
from engine.footprint.passes import logprob_seconds, update_limit, update_pass, update_seconds
from engine.footprint.rollout import sleeps

REWARD = 0.5e-3
"""Seconds to decode a response and score it with rules, an estimate."""
SYNC_TENSOR = 1.5e-3
"""Per weight tensor on its way to the engine, 1 to 2 ms estimated."""
OTHER_BOUNDS = {
    "reward": "reward",
    "logprob": "log-probability passes",
    "sync": "weight sync",
    "offload": "transfers to host memory",
}


@dataclass(frozen=True, slots=True)
class Times:
    """Seconds of an iteration: the rollout, or as many as an optimizer step takes, the updates, the sync.

    `calibrated`: the device's speeds are known. Where they are not, nominal ones stand in for them: the
    numbers put plans in order, but are no seconds to show.
    """

    rollout: float
    reward: float
    logprob: float
    update: float
    sync: float
    offload: float
    responses: int
    response_tokens: float
    mfu: float | None
    """Of the update, as `engine.throughput` counts it."""
    bound: str
    """What limits the iteration, in words."""
    calibrated: bool

    @property
    def iteration(self) -> float:
        return self.rollout + self.reward + self.logprob + self.update + self.sync + self.offload

    @property
    def tokens_per_s(self) -> float:
        """Response tokens per second of the iteration, over all ranks."""
        return self.response_tokens / self.iteration

    @property
    def samples_per_min(self) -> float:
        """Responses per minute, at the lengths that were assumed."""
        return 60 * self.responses / self.iteration


def estimate(job: Job, lengths: Lengths) -> Times:
    """How long an iteration takes with responses of these mean lengths; the longest reach the cap.

    Within a factor of two of published runs (docs/planner.md, time). Never of use for a reward function of
    one's own, whose time nobody knows.
    """
    per_rollout = steps_per_rollout(job.config)
    rollouts, steps = max(1, int(1 / per_rollout)), max(1, int(per_rollout))
    speeds = Speeds.of(job.place)
    made = generation(job, lengths)
    responses = rollouts * responses_per_rollout(job.config)
    update = steps * update_seconds(job, lengths)
    flops = steps * model_flops(job, update_pass(job, lengths).tokens)
    parts = {
        "rollout": rollouts * made.seconds,
        "reward": REWARD * responses / job.place.ranks,
        "logprob": rollouts * _logprob_passes(job, steps) * logprob_seconds(job, lengths),
        "update": update,
        "sync": _sync(job, speeds),
        "offload": _offload(job, speeds, rollouts),
    }
    return Times(
        **parts,
        responses=responses,
        response_tokens=responses * Responses.of(job.config, lengths).mean,
        mfu=flops / update / speeds.peak if speeds.known else None,
        bound=_bound(job, lengths, parts, made) if speeds.known else "unknown device speed",
        calibrated=speeds.known,
    )


def _logprob_passes(job: Job, steps: int) -> int:
    """Of the policy where several steps move it on (or adapters have dropout), and of the reference."""
    old = steps > 1 or job.config.model.lora_dropout > 0
    return old + (job.config.algorithm.init_kl_coef > 0)


def _sync(job: Job, speeds: Speeds) -> float:
    """Weights are gathered where they are sharded, and written by the engine."""
    size = job.compute_bytes * job.shape.params
    ranks = job.shard_ranks if job.strategy == "fsdp2" or states.stage(job) == 3 else 1
    gathered = size * (ranks - 1) / ranks / speeds.between(job.place, ranks)
    return gathered + 3 * size / speeds.bandwidth + SYNC_TENSOR * job.shape.n_tensors


def _offload(job: Job, speeds: Speeds, rollouts: int) -> float:
    """Bytes that go to host memory and come back: optimizer states, the reference, a sleeping engine."""
    size = 0.0
    if states.states_travel(job):
        each = 12 if job.config.memory.use_mp_opt else 8
        size += each * states.divided(states.trained(job), states.shard_ranks(job))
    if states.reference_travels(job):
        size += sum(term.bytes for term in states.reference(job))
    if sleeps(job):
        size += rollouts * rollout_vllm.weights(job).bytes
    return 2 * size / speeds.pcie


def _bound(job: Job, lengths: Lengths, parts: dict[str, float], made: Generation) -> str:
    longest = max(parts, key=lambda name: parts[name])
    if longest == "rollout":
        if made.prefill > made.decode:
            return "rollout: prompts"
        if made.tail > made.decode / 2:
            return "rollout: the longest answers"
        return f"rollout: decoding, {made.limit}"
    if longest == "update":
        return f"update: {update_limit(job, lengths)}"
    return OTHER_BOUNDS[longest]
