"""A job in other trainers' terms of memory: which framework's allocations, and how many tokens at once."""

from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

from diagnostics.rules.foreign import Framework
from diagnostics.rules.job import Job
from diagnostics.trainers.estimate import HEAD_CHUNKS
from diagnostics.trainers.profile import Profile
from diagnostics.trainers.profiles import (
    FP32_FROZEN,
    LIGHTRFT,
    OPENRLHF,
    TRINITY,
    TRL,
    VERL_TRAINER,
)
from diagnostics.trainers.read_case import ASSUMED_PIXELS
from diagnostics.trainers.setup import Engine, Images, Setup
from diagnostics.trainers.tokens import ASSUMED_PROMPT, FURTHER
from engine.findings import FindingsError
from engine.footprint.catalog import find_model
from engine.footprint.shape import ModelShape

PROFILES: Mapping[Framework, Profile] = {
    "lightrft": LIGHTRFT,
    "openrlhf": OPENRLHF,
    "verl": VERL_TRAINER,
    "trl": TRL,
    "trinity": TRINITY,
}
ASSUMED_RESPONSE = 1024


class Prepared(NamedTuple):
    """What `diagnostics.trainers.estimate` takes, and what had to be assumed for it."""

    profile: Profile
    setup: Setup
    assumed: tuple[str, ...]


def prepare(job: Job, shape: ModelShape, card: float) -> Prepared | str:
    """The setup of one rank on cards of `card` bytes; else in words what is missing for it."""
    profile = PROFILES.get(job.framework)
    if profile is None:
        return "rftui's own configurations are estimated by rft plan"
    if job.ranks is None:
        return "the number of processes is not known"
    if job.strategy is None:
        return "how the model is sharded is not known"
    if job.micro is None and job.token_budget is None:
        return "the size of a micro-batch is not known"
    assumed: list[str] = []
    profile = _profile(job, profile)
    cap = _longest(job, assumed)
    frozen, trained = _other_models(job, shape, profile, assumed)
    forward = _tokens(job, cap, job.micro_forward or job.micro, job.forward_token_budget or job.token_budget)
    if job.head in ("chunked", "fused"):
        forward /= HEAD_CHUNKS  # of the pass without gradient nearly all is logits
    setup = Setup(
        shape=shape,
        params=shape.params,
        strategy=job.strategy,
        ranks=job.shard_ranks or job.ranks,
        nodes=job.nodes or 1,
        card=card,
        tokens=_tokens(job, cap, job.micro, job.token_budget),
        forward_tokens=forward,
        stage=job.stage or 0,
        tp=job.train_tp,
        pp=job.train_pp,
        ep=job.train_ep,
        communicators=1 + sum(size > 1 for size in (job.train_tp, job.train_pp, job.train_ep, job.sp)),
        checkpointing=profile.checkpointing
        if job.checkpointing is None
        else "full"
        if job.checkpointing
        else "none",
        lora_rank=job.lora_rank,
        quantized=job.quantized,
        head=job.head,
        offload=frozenset(job.offload),
        frozen_params=frozen,
        trained_params=trained,
        images=_images(job, shape, assumed),
        engine=_engine(job, profile),
    )
    return Prepared(profile, setup, tuple(assumed))


def _profile(job: Job, profile: Profile) -> Profile:
    if job.framework == "trl" and job.bf16 is False:
        profile = replace(profile, states=FP32_FROZEN)
    if job.offload_in_update is not None:
        profile = replace(profile, offloads_update=job.offload_in_update)
    return profile


def _longest(job: Job, assumed: list[str]) -> int:
    """Tokens of the longest sequence."""
    if job.prompt_len is None and job.model_len:
        return job.model_len
    prompt, response = job.prompt_len, job.response_len
    if prompt is None:
        prompt = ASSUMED_PROMPT
        assumed.append(f"prompts of up to {prompt} tokens")
    if response is None:
        response = ASSUMED_RESPONSE
        assumed.append(f"responses of up to {response} tokens")
    return prompt + response


def _tokens(job: Job, cap: int, samples: int | None, budget: int | None) -> float:
    """Of one rank's worst micro-batch: one sequence at the cap, others packed with it at a share of it."""
    if budget is not None:
        return max(budget, cap / job.sp)
    count = samples or 1
    if job.packs:
        return (cap + (count - 1) * FURTHER * cap) / job.sp
    return count * cap / job.sp


def _images(job: Job, shape: ModelShape, assumed: list[str]) -> Images | None:
    if shape.vision is None:
        return None
    assumed.append(f"one image of {ASSUMED_PIXELS:,} pixels in each sequence")
    count = 1 + ((job.micro or 1) - 1) * FURTHER
    return Images(pixels=ASSUMED_PIXELS * count, trained=True, checkpointed=True)


def _engine(job: Job, profile: Profile) -> Engine | None:
    share = job.engine_share or 0
    if not job.colocated or job.engine not in ("vllm", "sglang") or not 0 < share <= 1:
        return None
    sleeps = profile.sleeps if job.engine_sleeps is None else job.engine_sleeps
    return Engine(max(1, job.engine_tp), share, sleeps)


def _other_models(
    job: Job, shape: ModelShape, profile: Profile, assumed: list[str]
) -> tuple[tuple[tuple[str, float], ...], tuple[tuple[str, float], ...]]:
    """Frozen and trained models beside the policy. Under LoRA the base without adapters is the reference."""
    frozen: list[tuple[str, float]] = []
    if job.reference and profile.reference_on_card and job.lora_rank is None:
        frozen.append(("reference model", shape.params))
    if job.reward_model:
        try:
            frozen.append(("reward model", find_model(job.reward_model).params))
        except FindingsError:
            assumed.append(f"nothing for the reward model {job.reward_model}, which is not known here")
    trained: tuple[tuple[str, float], ...] = ()
    if job.critic:
        trained = (("critic", shape.params),)
        assumed.append("a critic as large as the policy")
    return tuple(frozen), trained
