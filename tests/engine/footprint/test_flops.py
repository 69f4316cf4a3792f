"""Operations of passes, against counting by hand and against torch's own counter."""

from dataclasses import replace

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoModelForCausalLM, Qwen2Config

from engine.footprint.catalog import find_model
from engine.footprint.flops import Tokens, forward_flops, model_flops, update_flops
from engine.footprint.lengths import Lengths, Responses
from engine.footprint.model_config import shape_of
from tests.engine.footprint.jobs import QWEN_7B, job


def test_two_operations_per_parameter_and_token() -> None:
    shape = find_model(QWEN_7B)
    without_attention = forward_flops(shape, Tokens(1000, 1000, 0))
    assert without_attention == 2 * 1000 * shape.params_matmul
    assert shape.params_matmul == pytest.approx(shape.params - 152_064 * 3584, rel=1e-9)


def test_attention_as_verl_counts_it() -> None:
    """A third of 6 · s² · a · d · L for a sequence, forward."""
    shape = find_model(QWEN_7B)
    more = forward_flops(shape, Tokens(4096, 1, 4096**2)) - forward_flops(shape, Tokens(4096, 1, 0))
    assert more == pytest.approx(6 / 3 * 4096**2 * 28 * 128 * 28)


def test_a_mixture_counts_the_experts_it_uses() -> None:
    shape = find_model("Qwen/Qwen3-30B-A3B")
    per_token = forward_flops(shape, Tokens(1, 1, 0)) / 2
    assert per_token == pytest.approx(3_353_032_704 - 151_936 * 2048, rel=1e-3)


def test_torch_counts_the_same() -> None:
    config = Qwen2Config(
        vocab_size=500,
        hidden_size=64,
        intermediate_size=160,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        attn_implementation="eager",
    )
    model = AutoModelForCausalLM.from_config(config)
    shape, length = shape_of(config.to_dict(), "tiny"), 32
    ids = torch.zeros(1, length, dtype=torch.long)
    with FlopCounterMode(display=False) as counter:
        model(ids).logits.sum().backward()
    whole_square = Tokens(length, length, 2 * length**2)  # eager attention computes the masked half too
    expected = update_flops(replace(job(), shape=shape), whole_square)
    assert counter.get_total_flops() == pytest.approx(expected, rel=0.02)


def test_recomputation_costs_a_third_and_a_frozen_base_saves_a_third() -> None:
    tokens = Tokens(1000, 0, 0)
    plain = update_flops(job(), tokens)
    assert update_flops(job(memory={"gradient_checkpointing": True}), tokens) == pytest.approx(plain * 4 / 3)
    assert update_flops(job(model={"lora_rank": 8}), tokens) == pytest.approx(plain * 2 / 3)


def test_mfu_counts_no_recomputation() -> None:
    tokens = Tokens(1000, 1000, 0)
    assert model_flops(job(), tokens) == 6 * 7_615_616_512 * 1000
    assert model_flops(job(memory={"gradient_checkpointing": True}), tokens) == 6 * 7_615_616_512 * 1000


@pytest.mark.parametrize("mean", [10.0, 200.0, 900.0, 1024.0])
def test_assumed_lengths_have_the_mean_that_was_given(mean: float) -> None:
    responses = Responses.of(job(rollout={"generate_max_len": 1024}).config, Lengths(100, mean))
    steps = 200_000
    lengths = [responses.at((i + 0.5) / steps) for i in range(steps)]
    assert sum(lengths) / steps == pytest.approx(mean, rel=0.01)
    assert sum(x * x for x in lengths) / steps == pytest.approx(responses.mean_square, rel=0.02)
    assert responses.at(1.0) == 1024


def test_a_mean_beyond_the_cap_is_the_cap() -> None:
    responses = Responses.of(job(rollout={"generate_max_len": 1024}).config, Lengths(100, 5000))
    assert responses.mean == responses.cap == 1024
