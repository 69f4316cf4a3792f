"""The actor's log-probabilities against a plain forward pass, row by row, in float64."""

import random
from typing import Any

import pytest
import torch
from torch.testing import assert_close

from engine.data.experience import Experience, collate
from engine.models.actor import Actor
from engine.models.loading import recompute_activations
from tests.engine.tiny import CONFIGS, tiny_model

CPU = torch.device("cpu")


def experiences(seed: int = 0, n: int = 6) -> list[Experience]:
    """Responses to three prompts of different lengths; the first response is a single token."""
    rng = random.Random(seed)
    prompts = [tuple(rng.randrange(61) for _ in range(length)) for length in (1, 9, 4)]
    return [
        Experience(
            prompt_ids=prompts[rng.randrange(3)],
            response_ids=[rng.randrange(61) for _ in range(length)],
            engine_logprobs=torch.zeros(length),
            truncated=False,
        )
        for length in [1, *(rng.randint(1, 12) for _ in range(n - 1))]
    ]


def by_hand(model: torch.nn.Module, e: Experience, temperature: float) -> tuple[torch.Tensor, torch.Tensor]:
    ids = torch.tensor([[*e.prompt_ids, *e.response_ids]])
    logits = model(input_ids=ids).logits[0, len(e.prompt_ids) - 1 : -1].double() / temperature
    logp = logits.log_softmax(-1)
    return logp.gather(-1, torch.tensor(e.response_ids)[:, None])[:, 0], -(logp.exp() * logp).sum(-1)


LAYOUTS = [
    (family, shared) for family in CONFIGS for shared in (False, True) if family != "gemma2" or not shared
]


@pytest.mark.parametrize(("family", "shared"), LAYOUTS)
@pytest.mark.parametrize("chunk_size", [3, 1000])
def test_matches_plain_forward_in_any_layout_order_and_chunking(
    family: str, shared: bool, chunk_size: int
) -> None:
    actor = Actor(tiny_model(family).double(), temperature=0.7, chunk_size=chunk_size)
    assert actor.shares_prompts == (family != "gemma2")
    batch = experiences()
    plain = tiny_model(family).double().eval()
    expected = [by_hand(plain, e, 0.7) for e in batch]
    for order in ([0, 1, 2, 3, 4, 5], [5, 2, 0], [3], [0]):
        logprobs, entropy = actor(collate([batch[i] for i in order], 0, CPU, share_prompts=shared))
        assert_close(logprobs, torch.cat([expected[i][0] for i in order]).float(), rtol=1e-5, atol=1e-5)
        assert_close(entropy, torch.cat([expected[i][1] for i in order]).float(), rtol=1e-5, atol=1e-5)


def gradients(shared: bool, chunk_size: int = 1000, recompute: bool = False) -> list[torch.Tensor]:
    model = tiny_model().double()
    if recompute:
        recompute_activations(model)
    actor = Actor(model, temperature=1.3, chunk_size=chunk_size).train()
    logprobs, entropy = actor(collate(experiences(), 0, CPU, share_prompts=shared), entropy_grad=True)
    weights = torch.linspace(-1, 1, len(logprobs))
    (logprobs @ weights + 0.5 * entropy.sum()).backward()
    return [p.grad for p in model.parameters() if p.grad is not None]


@pytest.mark.parametrize("options", [{"chunk_size": 2}, {"recompute": True}, {"shared": False}])
def test_neither_chunks_nor_recomputing_nor_sharing_change_gradients(options: dict[str, Any]) -> None:
    for one, other in zip(gradients(shared=True), gradients(**{"shared": True, **options}), strict=True):
        assert_close(one, other, rtol=1e-5, atol=1e-6)


def test_a_shared_prompt_is_forwarded_once() -> None:
    batch = experiences()
    shared = collate(batch, 0, CPU, share_prompts=True)
    prompts = {e.prompt_ids for e in batch}
    responses = sum(len(e.response_ids) - 1 for e in batch)
    assert shared.input_ids.shape == (1, sum(map(len, prompts)) + responses)
    assert shared.n_tokens == shared.input_ids.numel()
    padded = collate(batch, 0, CPU, share_prompts=False)
    assert padded.n_tokens == sum(len(e) - 1 for e in batch) < padded.input_ids.numel()


def test_without_entropy_grad_entropy_has_none() -> None:
    actor = Actor(tiny_model(), temperature=1.0, chunk_size=100)
    logprobs, entropy = actor(collate(experiences(), 0, CPU, share_prompts=True))
    assert logprobs.requires_grad and not entropy.requires_grad


def test_padding_token_does_not_matter() -> None:
    actor = Actor(tiny_model(), temperature=1.0, chunk_size=100)
    results = [actor(collate(experiences(), pad, CPU, share_prompts=False))[0] for pad in (0, 17)]
    assert torch.equal(*results)


def test_an_empty_micro_batch_has_a_zero_gradient() -> None:
    model = tiny_model()
    actor = Actor(model, temperature=1.0, chunk_size=100)
    batch = collate([], 0, CPU, share_prompts=True)
    logprobs, _ = actor(batch)
    batch.unflatten(logprobs).sum().backward()
    assert all(p.grad is None or not p.grad.any() for p in model.parameters())
    assert any(p.grad is not None for p in model.parameters())


def test_dropout_is_off_for_training_too() -> None:
    config = CONFIGS["qwen2"]()
    config.attention_dropout = 0.5
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_config(config).train()
    actor = Actor(model, temperature=1.0, chunk_size=100).train()
    batch = collate(experiences(), 0, CPU, share_prompts=True)
    assert torch.equal(actor(batch)[0], actor(batch)[0])
