"""The frameworks that are known, and which of them a text is about."""

import re
from collections.abc import Mapping
from dataclasses import replace

from diagnostics.trainers.profile import (
    AUTOCAST,
    BF16_KAHAN,
    MIXED_DEEPSPEED,
    MIXED_FSDP,
    MIXED_FSDP_FUSED,
    MIXED_MEGATRON,
    PURE_BF16,
    Profile,
    States,
    Strategy,
)

DEEPSPEED_BUCKET = 500_000_000
"""Elements; DeepSpeed's own default, which holds wherever nobody resolves "auto"."""

BF16_MODEL: Mapping[Strategy, States] = {
    "deepspeed": MIXED_DEEPSPEED,
    "fsdp": MIXED_FSDP,
    "megatron": MIXED_MEGATRON,
    "ddp": PURE_BF16,
    "single": PURE_BF16,
}
"""The model is loaded in bf16: without DeepSpeed or FSDP nothing keeps a float32 copy."""
FP32_MODEL: Mapping[Strategy, States] = {**BF16_MODEL, "ddp": AUTOCAST, "single": AUTOCAST}
ALL_BF16: Mapping[Strategy, States] = {**BF16_MODEL, "fsdp": PURE_BF16}
FUSED_BF16: Mapping[Strategy, States] = {
    strategy: replace(states, step=0) for strategy, states in ALL_BF16.items()
}
FP32_FROZEN: Mapping[Strategy, States] = {
    strategy: replace(states, frozen=4) for strategy, states in FP32_MODEL.items()
}
"""Loaded in float32, under LoRA too."""
NO_FOREACH: Mapping[Strategy, States] = {**FP32_MODEL, "fsdp": MIXED_FSDP_FUSED}

MS_SWIFT = Profile(
    "ms-swift", BF16_MODEL, logits=6, logits_nograd=4, colocates=False, source="§3; log-probs are TRL's"
)
# bf16 logits, a log-softmax of one row after the other, and their gradient
TRL = Profile("TRL", BF16_MODEL, logits=6, logits_nograd=4, colocates=False, source="§1.5")
R1_V = replace(TRL, name="R1-V", group_at_once=True, source="its grpo_trainer.py")
UNSLOTH = Profile(
    "Unsloth", ALL_BF16, logits=6, logits_nograd=4, chunked_head=True, sleeps=True, source="§1.6"
)
# 16 with the entropy in the loss; without it what the published limits of Qwen2.5-14B with LoRA imply (§3)
VERL_TRAINER = Profile(
    "verl",
    FP32_FROZEN,
    logits=13,
    logits_nograd=6,
    packs=True,
    offloads_update=False,
    reference_on_card=False,
    sleeps=True,
    source="§3",
)
EASY_R1 = replace(
    VERL_TRAINER,
    name="EasyR1",
    states=NO_FOREACH,
    logits=4,
    logits_nograd=2,
    source="its fsdp_workers.py and torch_functional.py: fused AdamW, flash cross-entropy in place",
)
EASY_R1_BF16 = replace(EASY_R1, name="EasyR1 bf16", states={**NO_FOREACH, "fsdp": BF16_KAHAN})
TRINITY = replace(VERL_TRAINER, name="Trinity-RFT", colocates=False)
OPENRLHF = Profile(
    "OpenRLHF",
    BF16_MODEL,
    logits=16,
    logits_nograd=6,
    loss_logits=16,
    bucket=DEEPSPEED_BUCKET,
    sleeps=True,
    colocates=False,
    source="§3",
)
NEMO_RL = Profile(
    "NeMo-RL", NO_FOREACH, logits=16, logits_nograd=6, reference_on_card=False, sleeps=True, source="§3"
)
# float32 logits, log-softmax and its gradient, then the bf16 gradient; the bf16 logits are freed before
TORCHTITAN = Profile(
    "torchtitan",
    NO_FOREACH,
    logits=14,
    logits_nograd=6,
    loss_logits=14,
    checkpointing="selective",
    colocates=False,
    source="§3",
)
TORCHTUNE = Profile(
    "torchtune", FUSED_BF16, logits=12, logits_nograd=6, chunked_head=True, colocates=False, source="§3"
)
LITGPT = Profile(
    "litgpt",
    ALL_BF16,
    logits=12,
    logits_nograd=6,
    checkpointing="none",
    counts_reserved=False,
    colocates=False,
    source="§3",
)
LIGHTRFT = Profile(
    "LightRFT",
    NO_FOREACH,
    logits=6,
    logits_nograd=4,
    bucket=DEEPSPEED_BUCKET,
    offloads_update=False,
    sleeps=True,
    source="§1.2, §1.5",
)
UNKNOWN = Profile(
    "unknown trainer",
    BF16_MODEL,
    logits=12,
    logits_nograd=6,
    bucket=DEEPSPEED_BUCKET,
    sleeps=True,
    source="§1",
)

NAMES: tuple[tuple[str, Profile], ...] = (
    (r"ms-swift|modelscope/swift", MS_SWIFT),
    (r"easy-?r1", EASY_R1),
    (r"openrlhf|open-reasoner|lmm-r1", OPENRLHF),
    (r"nemo[-_]?rl|nvidia-nemo", NEMO_RL),
    (r"torchtitan|prime-rl", TORCHTITAN),
    (r"torchtune", TORCHTUNE),
    (r"litgpt", LITGPT),
    (r"lightrft", LIGHTRFT),
    (r"unsloth", UNSLOTH),
    (r"trinity", TRINITY),
    (r"verl\b|tinyzero|search-r1|deepscaler|rllm|ragen|critic-rl|simplerl|logic-rl", VERL_TRAINER),
    (r"r1-v|open-r1-multimodal|vlm-r1|visualquality", R1_V),
    (r"\btrl\b|huggingface|open-r1|axolotl|llama-?factory|accelerate", TRL),
)


def find_profile(*texts: str) -> tuple[Profile, bool]:
    """The profile of the framework that the first telling one of `texts` names, and whether any did.

    Give the most certain text first: a source says more than a note that mentions other frameworks.
    """
    for text in texts:
        for pattern, profile in NAMES:
            if re.search(pattern, text.lower()):
                return profile, True
    return UNKNOWN, False


def all_bf16(profile: Profile) -> Profile:
    """The framework told to keep nothing in float32."""
    states = {
        name: PURE_BF16 if of.resident > PURE_BF16.resident else of for name, of in profile.states.items()
    }
    return replace(profile, states=states)
