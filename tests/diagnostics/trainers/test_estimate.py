"""The estimate of other trainers' memory, against arithmetic by hand."""

from dataclasses import replace

import pytest

from diagnostics.trainers.activations import per_token_layer
from diagnostics.trainers.estimate import CACHED, HEAD_CHUNKS, Estimate, estimate
from diagnostics.trainers.profiles import (
    EASY_R1,
    LITGPT,
    MS_SWIFT,
    NEMO_RL,
    OPENRLHF,
    TORCHTUNE,
    VERL_TRAINER,
    find_profile,
)
from diagnostics.trainers.setup import Engine, Setup
from engine.footprint.catalog import find_model
from engine.footprint.lora import lora_params

QWEN = find_model("Qwen2.5-7B")
P = 7_615_616_512
GIB = 2**30
FOUR_CARDS = Setup(
    shape=QWEN,
    params=P,
    strategy="deepspeed",
    ranks=4,
    nodes=1,
    card=79 * GIB,
    tokens=8192,
    stage=3,
    objective="loss",
)


def bytes_of(found: Estimate, name: str) -> int:
    """Of a term; 0 where it is not there."""
    return sum(term.bytes for term in found.terms if term.name == name)


@pytest.mark.parametrize(
    ("stage", "weights", "gradients", "optimizer"),
    [(0, 2, 2, 12), (1, 2, 2, 3), (2, 2, 0.5, 3), (3, 0.5, 0.5, 3)],
)
def test_zero_stages_shard_what_deepspeed_says(
    stage: int, weights: float, gradients: float, optimizer: float
) -> None:
    found = estimate(MS_SWIFT, replace(FOUR_CARDS, stage=stage))
    assert bytes_of(found, "trained weights") == P * weights
    assert bytes_of(found, "gradients") == P * gradients
    assert bytes_of(found, "optimizer states") == P * optimizer


def test_full_checkpointing_and_whole_logits_make_the_loss_the_worst_moment() -> None:
    found = estimate(MS_SWIFT, FOUR_CARDS)
    assert found.moment == "loss"
    assert bytes_of(found, "activations") == 2 * 3584 * 28 * 8192
    assert bytes_of(found, "logits") == 12 * 8192 * 152_064
    assert bytes_of(found, "gradient of the head") == 2 * 152_064 * 3584
    live = sum(term.bytes for term in found.terms if term.where == "torch")
    assert bytes_of(found, "allocator cache") == pytest.approx(CACHED * live, abs=1)
    assert found.peak == sum(term.bytes for term in found.terms)


def test_activations_of_a_layer_are_the_published_ones_under_flash_attention() -> None:
    """Measured 238,200 with keys and values repeated to all heads: 8·a·d there, 4·a·d + 4·k·d here."""
    repeated = per_token_layer(QWEN) + 4 * 28 * 128 - 4 * 4 * 128
    assert repeated == 237_680


def test_a_fused_head_keeps_a_small_part_of_the_logits_and_a_chunked_one_an_eighth() -> None:
    whole = bytes_of(estimate(MS_SWIFT, FOUR_CARDS), "logits")
    chunked = estimate(MS_SWIFT, replace(FOUR_CARDS, head="chunked"))
    fused = estimate(MS_SWIFT, replace(FOUR_CARDS, head="fused", tokens=1024))
    assert bytes_of(chunked, "logits") == whole // HEAD_CHUNKS
    assert bytes_of(fused, "logits") == 12 * 1024 * 3584


def test_pure_bf16_on_one_card_is_8_bytes_and_foreach_2_more_at_the_step() -> None:
    one = replace(FOUR_CARDS, strategy="single", stage=0, ranks=1, tokens=512)
    found = estimate(MS_SWIFT, one)
    assert found.moment == "step"
    assert sum(term.bytes for term in found.terms if term.where == "torch") == 10 * P


def test_a_step_in_backward_needs_no_gradients_and_8_bit_states_a_quarter() -> None:
    one = replace(FOUR_CARDS, strategy="single", stage=0, ranks=1, tokens=512)
    found = estimate(TORCHTUNE, replace(one, step_in_backward=True, optimizer_bytes=2))
    assert bytes_of(found, "gradients") == 0
    assert bytes_of(found, "optimizer states") == 2 * P


def test_paged_states_leave_a_card_that_is_full_and_stay_on_one_that_is_not() -> None:
    paged = replace(
        FOUR_CARDS, strategy="single", stage=0, ranks=1, tokens=512, optimizer_bytes=2, paged=True
    )
    assert bytes_of(estimate(TORCHTUNE, paged), "optimizer states") == 2 * P
    small = estimate(TORCHTUNE, replace(paged, card=40 * GIB))
    assert bytes_of(small, "optimizer states") == 0
    assert small.host > 2 * P


def test_lora_keeps_a_frozen_base_in_the_frameworks_dtype_and_trains_adapters() -> None:
    setup = replace(FOUR_CARDS, strategy="fsdp", lora_rank=8, objective="policy")
    adapters = lora_params(QWEN, 8, "all-linear")
    verl, nemo = estimate(VERL_TRAINER, setup), estimate(NEMO_RL, setup)
    assert (bytes_of(verl, "frozen weights"), bytes_of(nemo, "frozen weights")) == (P, P // 2)
    assert bytes_of(verl, "trained weights") == adapters
    assert bytes_of(verl, "gradient of the head") == 0


def test_offload_between_phases_does_not_lower_the_update_and_deepspeeds_does() -> None:
    moved = frozenset({"optimizer", "params"})
    sharded = replace(FOUR_CARDS, strategy="fsdp", objective="policy")
    for setup in (sharded, replace(sharded, offload=moved)):
        assert bytes_of(estimate(VERL_TRAINER, setup), "optimizer states") == 2 * P
    on_card = estimate(OPENRLHF, FOUR_CARDS)
    on_host = estimate(OPENRLHF, replace(FOUR_CARDS, offload=frozenset({"optimizer"})))
    assert on_card.peak - on_host.peak == pytest.approx((1 + CACHED) * 3 * P)
    assert on_host.host - on_card.host == pytest.approx(1.5 * 12 * P)


def test_a_sleeping_engine_leaves_the_card_and_an_awake_one_keeps_its_share() -> None:
    asleep = replace(FOUR_CARDS, engine=Engine(tp=2, share=0.5, sleeps=True))
    awake = replace(FOUR_CARDS, engine=Engine(tp=2, share=0.5, sleeps=False))
    assert bytes_of(estimate(MS_SWIFT, asleep), "sleeping engine") == round(2.4 * GIB)
    assert bytes_of(estimate(MS_SWIFT, awake), "engine") == 79 * GIB // 2


def test_an_engine_whose_share_does_not_hold_its_weights_needs_a_larger_card() -> None:
    small = replace(FOUR_CARDS, engine=Engine(tp=1, share=0.1, sleeps=True))
    assert estimate(EASY_R1, replace(small, strategy="fsdp")).device >= 2 * P / 0.1


def test_a_framework_that_publishes_live_memory_counts_neither_cache_nor_driver() -> None:
    one = replace(FOUR_CARDS, strategy="single", stage=0, ranks=1, lora_rank=8)
    found = estimate(LITGPT, one)
    assert {term.where for term in found.terms} == {"torch"}
    assert found.device > found.peak


def test_expert_parallelism_divides_experts_only() -> None:
    moe = find_model("Qwen3-30B-A3B")
    setup = replace(FOUR_CARDS, shape=moe, params=moe.params, strategy="megatron", ranks=16, stage=1)
    whole, spread = (bytes_of(estimate(NEMO_RL, replace(setup, ep=ep)), "trained weights") for ep in (1, 8))
    assert whole == 2 * moe.params
    assert whole / 8 < spread < whole / 4


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("modelscope/ms-swift:examples/train/full/train.sh", "ms-swift"),
        ("volcengine/verl#2031", "verl"),
        ("hiyouga/EasyR1#59", "EasyR1"),
        ("https://github.com/OpenRLHF/OpenRLHF/issues/698", "OpenRLHF"),
        ("NVIDIA-NeMo/RL:examples/configs/recipes/llm/a.yaml", "NeMo-RL"),
        ("Lightning-AI/litgpt:tutorials/a.md", "litgpt"),
        ("modelscope/Trinity-RFT:examples/a", "Trinity-RFT"),
        ("huggingface/trl#2688", "TRL"),
        ("someone/else", "unknown trainer"),
    ],
)
def test_the_framework_is_known_by_its_source(text: str, name: str) -> None:
    profile, known = find_profile(text)
    assert profile.name == name
    assert known == (name != "unknown trainer")
