"""The actor's log-probabilities against a plain forward pass, row by row, in float64."""

import random

import pytest
import torch
from torch.testing import assert_close

from engine.data.experience import Experience, collate
from engine.models.actor import Actor
from tests.engine.tiny import CONFIGS, tiny_model

CPU = torch.device("cpu")


def experiences(seed: int = 0, n: int = 5) -> list[Experience]:
    rng = random.Random(seed)
    return [
        Experience(
            prompt_ids=tuple(rng.randrange(61) for _ in range(rng.randint(1, 9))),
            response_ids=[rng.randrange(61) for _ in range(length)],
            engine_logprobs=torch.zeros(length),
            truncated=False,
        )
        for length in (rng.randint(1, 12) for _ in range(n))
    ]


def by_hand(model: torch.nn.Module, e: Experience, temperature: float) -> tuple[torch.Tensor, torch.Tensor]:
    ids = torch.tensor([[*e.prompt_ids, *e.response_ids]])
    logits = model(input_ids=ids).logits[0, len(e.prompt_ids) - 1 : -1].double() / temperature
    logp = logits.log_softmax(-1)
    return logp.gather(-1, torch.tensor(e.response_ids)[:, None])[:, 0], -(logp.exp() * logp).sum(-1)


@pytest.mark.parametrize("family", CONFIGS)
@pytest.mark.parametrize("chunk_size", [3, 1000])
def test_matches_plain_forward_in_any_chunking_order_and_padding(family: str, chunk_size: int) -> None:
    model = tiny_model(family).double().eval()
    actor = Actor(model, temperature=0.7, chunk_size=chunk_size)
    batch = experiences()
    expected = [by_hand(model, e, 0.7) for e in batch]
    for order in ([0, 1, 2, 3, 4], [4, 2, 0], [3]):
        logprobs, entropy = actor(collate([batch[i] for i in order], 0, CPU))
        assert_close(logprobs, torch.cat([expected[i][0] for i in order]).float(), rtol=1e-5, atol=1e-5)
        assert_close(entropy, torch.cat([expected[i][1] for i in order]).float(), rtol=1e-5, atol=1e-5)


def test_chunks_change_neither_loss_gradient_nor_entropy_gradient() -> None:
    gradients = []
    for chunk_size in (2, 1000):
        model = tiny_model().double()
        actor = Actor(model, temperature=1.3, chunk_size=chunk_size)
        logprobs, entropy = actor(collate(experiences(), 0, CPU), entropy_grad=True)
        (logprobs.sum() + 0.5 * entropy.sum()).backward()
        gradients.append([p.grad for p in model.parameters()])
    for chunked, whole in zip(*gradients, strict=True):
        assert_close(chunked, whole, rtol=1e-5, atol=1e-6)


def test_without_entropy_grad_entropy_has_none() -> None:
    actor = Actor(tiny_model(), temperature=1.0, chunk_size=100)
    logprobs, entropy = actor(collate(experiences(), 0, CPU))
    assert logprobs.requires_grad and not entropy.requires_grad


def test_padding_token_does_not_matter() -> None:
    actor = Actor(tiny_model(), temperature=1.0, chunk_size=100)
    results = [actor(collate(experiences(), pad, CPU))[0] for pad in (0, 17)]
    assert torch.equal(*results)


def test_an_empty_micro_batch_has_a_zero_gradient() -> None:
    model = tiny_model()
    actor = Actor(model, temperature=1.0, chunk_size=100)
    batch = collate([], 0, CPU)
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
    batch = collate(experiences(), 0, CPU)
    assert torch.equal(actor(batch)[0], actor(batch)[0])
