"""Sequences one after another in one row: the same results as apart, with nothing forwarded for padding."""

from typing import Any

import pytest
import torch
from torch.testing import assert_close
from transformers import CONFIG_MAPPING, AutoModelForCausalLM

from engine.data.experience import Experience, collate
from engine.models.actor import Actor
from engine.models.families import PACKABLE
from engine.models.loading import recompute_activations
from tests.engine.models.test_actor import CPU, by_hand, experiences
from tests.engine.tiny import SIZES

# By the names that the families' configurations have for them; each takes those it knows.
NAMES = SIZES | {
    "n_embd": 32,
    "n_layer": 2,
    "n_head": 4,
    "head_dim": 8,
    "pad_token_id": 0,
    "moe_intermediate_size": 16,
    "num_experts": 4,
    "num_local_experts": 4,
    "num_experts_per_tok": 2,
}
SLIDING = {"sliding_window": 4, "layer_types": ["sliding_attention", "full_attention"]}


def tiny(family: str, **more: Any) -> Any:
    kind = CONFIG_MAPPING[family]
    known = kind().to_dict()
    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(kind(**{k: v for k, v in NAMES.items() if k in known}, **more))


def distinct(n: int = 5) -> list[Experience]:
    """Responses that share no prompt."""
    made = experiences(n=n)
    for i, e in enumerate(made):
        e.prompt_ids = (i, *e.prompt_ids)
    return made


@pytest.mark.parametrize("family", sorted(PACKABLE))
def test_sequences_in_a_row_do_not_see_each_other(family: str) -> None:
    model = tiny(family).eval()
    first, second = torch.randint(1, 61, (1, 7)), torch.randint(1, 61, (1, 5))
    row, positions = torch.cat([first, second], dim=1), torch.tensor([[*range(7), *range(5)]])
    with torch.no_grad():
        packed = model(input_ids=row, position_ids=positions, use_cache=False).logits
        apart = torch.cat([model(input_ids=ids, use_cache=False).logits for ids in (first, second)], dim=1)
        mixed = model(input_ids=row, use_cache=False).logits
    assert_close(packed, apart, rtol=1e-5, atol=1e-5)
    assert (mixed - apart).abs().max() > 1e-4


@pytest.mark.parametrize("family", ["qwen2", "gemma2"])
@pytest.mark.parametrize("recompute", [False, True])
def test_log_probs_and_gradients_are_those_of_padded_rows(family: str, recompute: bool) -> None:
    more = SLIDING if family == "gemma2" else {}
    gradients = []
    for pack in (False, True):
        model = tiny(family, **more)
        plain = tiny(family, **more).eval()
        if recompute:
            recompute_activations(model)
        actor = Actor(model, temperature=0.8, chunk_size=1000).train()
        batch = collate(distinct(), 0, CPU, share_prompts=actor.shares_prompts, pack=pack)
        assert (len(batch.input_ids) == 1) == pack
        logprobs, entropy = actor(batch, entropy_grad=True)
        expected = [by_hand(plain, e, 0.8) for e in distinct()]
        assert_close(logprobs, torch.cat([e[0] for e in expected]).float(), rtol=1e-5, atol=1e-5)
        assert_close(entropy, torch.cat([e[1] for e in expected]).float(), rtol=1e-5, atol=1e-5)
        (logprobs @ torch.linspace(-1, 1, len(logprobs)) + 0.5 * entropy.sum()).backward()
        gradients.append([p.grad for p in model.parameters() if p.grad is not None])
    for one, other in zip(*gradients, strict=True):
        assert_close(one, other, rtol=1e-5, atol=1e-5)


def test_no_padding_is_forwarded() -> None:
    batch = distinct()
    tokens = sum(len(e) - 1 for e in batch)
    padded, packed = (collate(batch, 0, CPU, share_prompts=False, pack=pack) for pack in (False, True))
    assert packed.input_ids.numel() == packed.n_tokens == padded.n_tokens == tokens
    assert padded.input_ids.numel() == len(batch) * max(len(e) - 1 for e in batch) > 1.3 * tokens


def test_a_prompt_that_is_shared_stays_shared() -> None:
    """With `pack` too, the common prompt is forwarded once by models that can."""
    batch = experiences()
    shared = collate(batch, 0, CPU, share_prompts=True, pack=True)
    assert shared.n_tokens < sum(len(e) - 1 for e in batch)
