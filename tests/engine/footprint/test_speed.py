"""Estimated times: within a stated factor of published runs, and the right way when a setting changes."""

from dataclasses import replace
from typing import Any

import pytest

from engine.footprint.generation import Decode, generation
from engine.footprint.job import Job
from engine.footprint.lengths import Lengths
from engine.footprint.passes import update_limit, update_pass, update_seconds
from engine.footprint.rollout import kv_capacity
from engine.footprint.speed import Times, estimate
from tests.engine.footprint.jobs import CPU, LLAMA_8B, job, place

LENGTHS = Lengths(300, 800)
BATCH = {
    "rollout_batch_size": 128,
    "n_samples_per_prompt": 8,
    "train_batch_size": 1024,
    "micro_train_batch_size": 4,
    "micro_rollout_batch_size": 8,
}


def grpo(where: Any = None, **sections: dict[str, Any]) -> Job:
    memory = {"gradient_checkpointing": True, **sections.pop("memory", {})}
    rollout = {"max_len": 4096, "prompt_max_len": 1024, **sections.pop("rollout", {})}
    return job(
        where=where, batch=BATCH | sections.pop("batch", {}), memory=memory, rollout=rollout, **sections
    )


def times(where: Any = None, **sections: dict[str, Any]) -> Times:
    return estimate(grpo(where, **sections), LENGTHS)


# --- published runs -----------------------------------------------------------------------------------------


def training(name: str, gpus: str, ranks: int, length: int, each: int, **sections: dict[str, Any]) -> Job:
    """Supervised training on packed sequences of one length, `each` on a rank."""
    ampere = gpus.startswith("A")
    per_step = sections.pop("steps_of", {}).get("sequences", each * ranks)
    return job(
        name,
        place(gpus, ranks, link=25e9 if ampere else 50e9),
        batch={
            "train_batch_size": per_step,
            "rollout_batch_size": per_step,
            "n_samples_per_prompt": 1,
            "micro_train_batch_size": each,
        },
        rollout={"max_len": length, "prompt_max_len": 8, "generate_max_len": length - 8},
        memory={"packing_samples": True, **sections.pop("memory", {})},
        **sections,
    )


LLAMA_70B = "meta-llama/Llama-3.1-70B"
COMPILED = {"torch_compile": True}
RECOMPUTE = {"memory": {"gradient_checkpointing": True}}
TRAINED = {  # name: job, sequence length, sequences per rank and step, published tokens per second and GPU
    "torchtitan 8B, 8 H100": (training(LLAMA_8B, "H100", 8, 8192, 2), 8192, 2, 5762),
    "torchtitan 8B, 128 H100": (training(LLAMA_8B, "H100", 128, 8192, 2), 8192, 2, 5605),
    "torchtune 3B, A100": (
        training("meta-llama/Llama-3.2-3B", "A100-80", 1, 2048, 2, **RECOMPUTE),
        2048,
        2,
        7075,
    ),
    "torchtune 8B LoRA, 4090": (
        training(LLAMA_8B, "RTX4090", 1, 2048, 2, model=COMPILED | {"lora_rank": 8}, **RECOMPUTE),
        2048,
        2,
        3083,
    ),
    "torchtune 70B LoRA, 8 A100": (
        training(LLAMA_70B, "A100-80", 8, 2048, 2, model=COMPILED | {"lora_rank": 16}, **RECOMPUTE),
        2048,
        2,
        3497 / 8,
    ),
}


@pytest.mark.parametrize("name", TRAINED)
def test_training_is_within_a_factor_of_1_3_of_published_runs(name: str) -> None:
    each, length, sequences, published = TRAINED[name]
    predicted = sequences * length / update_seconds(each, Lengths(8, length - 8))
    assert 1 / 1.3 < predicted / published < 1.3


@pytest.mark.parametrize(("stage", "published"), [(2, 10.32), (3, 10.56)])
def test_ms_swift_14b_on_eight_a800(stage: int, published: float) -> None:
    """Seconds of a step; 16 sequences of 8,192 tokens in it, as its example for Megatron has."""
    each = training(
        "Qwen/Qwen2.5-14B",
        "A800-80",
        8,
        8192,
        1,
        parallel={"zero_stage": stage},
        steps_of={"sequences": 16},
        **RECOMPUTE,
    )
    assert update_seconds(each, Lengths(8, 8184)) == pytest.approx(published, rel=0.2)


@pytest.mark.parametrize(
    ("model", "gpus", "batch", "published"),
    [
        (LLAMA_8B, "A100-40", 1, 75),
        ("mistralai/Mistral-7B-v0.3", "RTX4090", 4, 210),
        ("mistralai/Mistral-7B-v0.3", "RTX4090", 8, 377),
        ("mistralai/Mistral-7B-v0.3", "RTX4090", 16, 644),
        ("mistralai/Mistral-7B-v0.3", "RTX4090", 32, 975),
        (LLAMA_8B, "H100", 256, 12_500),
    ],
)
def test_decoding_is_within_a_factor_of_1_5_of_published_serving(
    model: str, gpus: str, batch: int, published: float
) -> None:
    each = job(model, place(gpus, 1))
    predicted = batch / Decode(each).step(batch, 500)
    assert 1 / 1.5 < predicted / published < 1.5


def test_nemo_rl_30b_a3b_on_32_h100_is_within_a_factor_of_2() -> None:
    """2,048 responses of 3,200 tokens in 192 s; cap, prompts and micro-batches are assumed."""
    each = job(
        "Qwen/Qwen3-30B-A3B",
        place("H100", 32),
        batch={
            "rollout_batch_size": 64,
            "n_samples_per_prompt": 32,
            "train_batch_size": 2048,
            "max_tokens_per_micro_batch": 16384,
            "micro_rollout_batch_size": 4,
        },
        rollout={"engine_tp_size": 2, "max_len": 9216, "prompt_max_len": 1024, "engine_mem_util": 0.6},
        memory={"gradient_checkpointing": True},
    )
    assert 192 / 2 < estimate(each, Lengths(200, 3200)).iteration < 192 * 2


@pytest.mark.parametrize(("model", "bound"), [("meta-llama/Llama-3.2-1B", 10), ("Qwen/Qwen2.5-1.5B", 25)])
def test_nemo_rl_bounds_asserted_in_its_ci_hold(model: str, bound: float) -> None:
    """512 samples of 512 tokens on eight H100."""
    each = job(
        model,
        place("H100"),
        batch=BATCH | {"rollout_batch_size": 32, "n_samples_per_prompt": 16, "train_batch_size": 512},
        rollout={"max_len": 1024, "prompt_max_len": 512},
    )
    assert bound / 10 < estimate(each, Lengths(150, 350)).iteration < bound


# --- which way it moves -------------------------------------------------------------------------------------


def test_an_iteration_is_the_sum_of_its_parts() -> None:
    t = times()
    parts = (t.rollout, t.reward, t.logprob, t.update, t.sync, t.offload)
    assert all(part >= 0 for part in parts) and t.iteration == sum(parts)
    assert t.responses == 1024 and t.response_tokens == 1024 * 800
    assert t.tokens_per_s == pytest.approx(1024 * 800 / t.iteration)
    assert t.samples_per_min == pytest.approx(60 * 1024 / t.iteration)
    assert t.calibrated and t.bound and t.mfu is not None and 0.05 < t.mfu < 0.6


def test_a_faster_card_takes_less() -> None:
    seconds = [times(place(card)).iteration for card in ("A100-80", "H100", "B200")]
    assert seconds == sorted(seconds, reverse=True)


def test_more_ranks_take_less_and_not_less_than_their_share() -> None:
    one, four = times(place(ranks=8)).iteration, times(place(ranks=32)).iteration
    assert one / 4.5 < four < one


def test_recomputation_and_offloads_cost_time() -> None:
    plain = times(memory={"gradient_checkpointing": False})
    assert times().update > 1.2 * plain.update
    assert times(memory={"adam_offload": True}).offload > times().offload
    assert times(memory={"fsdp_cpu_offload": True}).update > times().update
    zero = {"parallel": {"zero_stage": 2}}
    assert times(**zero, memory={"adam_offload": True}).update > times(**zero).update


def test_small_micro_batches_are_slow() -> None:
    """Of a small model on a fast card, whose kernels are over before the next ones are issued."""
    small, large = (
        estimate(
            job("Qwen/Qwen2.5-0.5B", place("H100"), batch=BATCH | {"micro_train_batch_size": n}), LENGTHS
        )
        for n in (1, 16)
    )
    assert small.update > 1.25 * large.update
    assert small.mfu is not None and large.mfu is not None and small.mfu < 0.2 < large.mfu


def test_padding_is_work() -> None:
    """Where nothing shares prompts, a token budget with packing forwards fewer tokens."""
    gemma = job("google/gemma-2-9b", batch=BATCH | {"micro_train_batch_size": 16})
    packed = replace(gemma, config=gemma.config.model_copy(update={"memory": packing()}))
    padded_tokens = update_pass(gemma, LENGTHS).tokens.forwarded
    packed_tokens = update_pass(packed, LENGTHS).tokens.forwarded
    assert packed_tokens == pytest.approx(128 * 1100)
    assert 1.02 * packed_tokens < padded_tokens < 2 * packed_tokens


def packing() -> Any:
    return job(memory={"packing_samples": True}).config.memory


def test_shared_prompts_are_forwarded_once() -> None:
    shared = update_pass(grpo(batch={"micro_train_batch_size": 8}), Lengths(800, 300)).tokens.forwarded
    assert shared == pytest.approx(128 * 300 + 16 * 800)


def test_ranks_that_share_sequences_forward_a_part_each() -> None:
    whole, half = (update_pass(grpo(parallel={"sp_size": n}), LENGTHS) for n in (1, 2))
    assert half.micro_batches == 2 * whole.micro_batches
    assert half.tokens.forwarded == pytest.approx(whole.tokens.forwarded, rel=0.3)


def test_an_update_takes_four_passes_as_verl_measured() -> None:
    """On a GH200: 14.3 s for the update with recomputation, 3.6 s for old log-probabilities (verl#1208)."""
    one = times(batch={"micro_train_batch_size": 4, "micro_rollout_batch_size": 4})
    assert one.update / one.logprob == pytest.approx(14.3 / 3.6, rel=0.2)


def test_log_probabilities_are_computed_when_they_are_needed() -> None:
    on_policy = times()  # the reference model's
    off_policy = times(batch={"train_batch_size": 256})
    assert off_policy.logprob == pytest.approx(2 * on_policy.logprob)
    assert times(algorithm={"init_kl_coef": 0.0}).logprob == 0
    assert off_policy.update > on_policy.update * 0.9


def test_an_optimizer_step_over_several_rollouts_counts_them_all() -> None:
    twice = times(batch={"train_batch_size": 2048})
    assert twice.responses == 2048
    assert twice.rollout == pytest.approx(2 * times().rollout)


def test_epochs_repeat_updates_but_not_rollouts() -> None:
    twice = times(optim={"max_epochs": 2})
    assert twice.rollout == times().rollout
    assert twice.update == pytest.approx(2 * times().update)


def test_a_small_cache_slows_the_rollout() -> None:
    many = {"rollout_batch_size": 512, "train_batch_size": 4096}
    small, large = (grpo(batch=many, rollout={"engine_mem_util": util}) for util in (0.25, 0.6))
    assert kv_capacity(small).sequences(1100) < kv_capacity(large).sequences(1100) == 256
    assert generation(small, LENGTHS).seconds > 1.3 * generation(large, LENGTHS).seconds


def test_the_longest_answers_rule_when_the_mean_is_far_below_the_cap() -> None:
    short = grpo(rollout={"max_len": 2048})
    long = grpo(rollout={"max_len": 16384})
    assert generation(long, LENGTHS).decode > 2 * generation(short, LENGTHS).decode
    assert estimate(long, Lengths(300, 800)).bound in ("rollout: the longest answers", "update: arithmetic")


def test_tensor_parallelism_makes_a_token_faster_but_not_as_often_as_it_has_ranks() -> None:
    one, four = (grpo(rollout={"engine_tp_size": tp}) for tp in (1, 4))
    steps = [Decode(j).step(8, 1000) for j in (one, four)]
    assert steps[0] / 4 < steps[1] < steps[0]


def test_the_hf_engine_is_slower_than_vllm() -> None:
    assert times(rollout={"engine_type": "hf"}).rollout > 2 * times().rollout


def test_a_mixture_decodes_faster_than_a_dense_model_of_its_size() -> None:
    mixture, dense = (job(f"Qwen/{name}", place(ranks=1)) for name in ("Qwen3-30B-A3B", "Qwen3-32B"))
    steps = [Decode(j).step(1, 1000) for j in (mixture, dense)]
    assert steps[0] < steps[1] / 3


def test_links_bound_small_micro_batches_between_machines() -> None:
    slow = replace(place("H100", 32), node_link=5e9)
    assert times(slow, batch={"micro_train_batch_size": 1}).bound == "update: links between ranks"


def test_unknown_speeds_put_plans_in_order_and_say_so() -> None:
    unknown = place("unknown-80")
    small = estimate(grpo(unknown, batch={"micro_train_batch_size": 1}), LENGTHS)
    large = estimate(grpo(unknown), LENGTHS)
    assert not small.calibrated and small.bound == "unknown device speed" and small.mfu is None
    assert 0 < large.iteration < small.iteration
    on_cpu = estimate(job("Qwen/Qwen2.5-0.5B", place(CPU, 2)), LENGTHS)
    assert not on_cpu.calibrated and on_cpu.iteration > 0


def test_what_limits_an_update_is_told_of_offloads_and_links_too() -> None:
    one = place(ranks=1)
    large = {"rollout_batch_size": 8, "train_batch_size": 64}
    assert update_limit(grpo(one), LENGTHS) == "arithmetic"
    slow = grpo(one, memory={"fsdp_cpu_offload": True}, batch=large)
    assert update_limit(slow, LENGTHS) in ("transfers from and to host memory", "the optimizer")
