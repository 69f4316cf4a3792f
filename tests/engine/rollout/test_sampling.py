"""The sampler draws from the right distribution and reports the right log-probs."""

import pytest
import torch

from engine.rollout.base import SamplingParams
from engine.rollout.sampling import NUCLEUS_SHORTLIST, sample

LOGITS = torch.tensor([2.0, 1.5, 1.0, 0.0, -0.5, -1.0, -3.0])
DRAWS = 20_000


def params(**changes: float) -> SamplingParams:
    return SamplingParams(**{"n": 1, "max_tokens": 1, **changes})  # type: ignore[arg-type]


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def filtered(temperature: float, top_k: int, top_p: float) -> torch.Tensor:
    """Candidate probabilities by the definition, one token at a time."""
    probs = (LOGITS / temperature).softmax(-1)
    ranked = sorted(range(len(probs)), key=lambda i: -probs[i])
    if top_k > 0:
        ranked = ranked[:top_k]
    whole = sum(float(probs[i]) for i in ranked)
    kept, mass = [], 0.0
    for i in ranked:
        if mass >= top_p * whole:
            break
        kept.append(i)
        mass += float(probs[i])
    result = torch.zeros_like(probs)
    result[kept] = probs[kept] / probs[kept].sum()
    return result


@pytest.mark.parametrize(
    ("temperature", "top_k", "top_p"),
    [
        (1.0, -1, 1.0),
        (0.5, -1, 1.0),
        (1.0, 3, 1.0),
        (1.0, -1, 0.8),
        (1.7, 5, 0.7),
        (1.0, 100, 0.9),
        (1.0, 0, 0.01),
    ],
)
def test_draws_follow_the_filtered_distribution(temperature: float, top_k: int, top_p: float) -> None:
    chosen = params(temperature=temperature, top_k=top_k, top_p=top_p)
    tokens, logprobs = sample(LOGITS.expand(DRAWS, -1), chosen, generator())
    expected = filtered(temperature, top_k, top_p) * DRAWS
    counts = tokens.bincount(minlength=len(LOGITS)).float()
    possible = expected > 0
    assert not counts[~possible].any()
    chi_square = ((counts - expected)[possible] ** 2 / expected[possible]).sum()
    assert chi_square < 22.5  # 0.1 % quantile at 6 degrees of freedom; fewer are stricter only
    whole = (LOGITS / temperature).log_softmax(-1)
    torch.testing.assert_close(logprobs, whole[tokens])


def test_a_large_vocabulary_takes_the_shortlist_and_agrees_with_a_full_sort() -> None:
    torch.manual_seed(0)
    peaked = torch.randn(64, 4 * NUCLEUS_SHORTLIST) * 4
    flat = torch.zeros(64, 4 * NUCLEUS_SHORTLIST)
    for logits in (peaked, flat):
        tokens, _ = sample(logits, params(top_p=0.9), generator())
        ranked, order = logits.softmax(-1).sort(-1, descending=True)
        before = ranked.cumsum(-1) - ranked
        rank = (order == tokens[:, None]).float().argmax(-1, keepdim=True)
        assert (before.gather(-1, rank) < 0.9).all()
    # Of a flat distribution the nucleus is wider than the shortlist, and all of it must be reachable.
    tokens, _ = sample(torch.zeros(2000, 4 * NUCLEUS_SHORTLIST), params(top_p=0.9), generator())
    assert len(tokens.unique()) > NUCLEUS_SHORTLIST


def test_forbidden_tokens_are_never_drawn_but_log_probs_stay_those_of_the_whole_vocabulary() -> None:
    forbidden = torch.zeros(len(LOGITS), dtype=torch.bool)
    forbidden[0] = True
    for chosen in (params(), params(top_p=0.5), params(top_k=2), params(temperature=0.0)):
        tokens, logprobs = sample(LOGITS.expand(500, -1), chosen, generator(), forbidden)
        assert (tokens != 0).all()
        torch.testing.assert_close(logprobs, LOGITS.log_softmax(-1)[tokens])
    tokens, _ = sample(LOGITS.expand(500, -1), params(top_k=2), generator(), forbidden)
    assert set(tokens.tolist()) == {1, 2}


def test_zero_probability_is_never_drawn() -> None:
    logits = torch.tensor([-torch.inf, 0.0, -torch.inf, 0.0, -torch.inf])
    tokens, _ = sample(logits.expand(DRAWS, -1), params(), generator())
    assert set(tokens.tolist()) == {1, 3}


def test_the_generator_decides() -> None:
    logits = LOGITS.expand(50, -1)
    first, again, other = (sample(logits, params(), generator(seed))[0] for seed in (3, 3, 4))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_not_a_number_gives_valid_indices_and_shows_in_the_log_prob() -> None:
    for top_p in (1.0, 0.9):
        tokens, logprobs = sample(torch.full((2, 7), torch.nan), params(top_p=top_p), generator())
        assert ((tokens >= 0) & (tokens < 7)).all()
        assert logprobs.isnan().all()
