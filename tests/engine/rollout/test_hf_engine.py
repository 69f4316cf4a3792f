"""The hf engine answers as the model itself would, does no more work than needed, and follows its inputs."""

from collections.abc import Sequence

import pytest
import torch
from torch.nn import functional as F
from transformers import PreTrainedModel

from engine.rollout.base import Completion, SamplingParams
from engine.rollout.hf import SLACK_COLUMNS, HFEngine
from tests.engine.rollout.rollout_models import EOS, FUSED, PAD, UNFUSED, VOCABULARY, build_model

PROMPTS = [[5, 6, 7], [8], [9, 10, 11, 12, 13, 14, 15, 16, 17], [18, 19, 20], [21, 22]]


def build_engine(family: str = "qwen2", **changes: object) -> HFEngine:
    settings = {"eos_token_ids": [EOS], "pad_token_id": PAD, "max_batch": 64, **changes}
    return HFEngine(build_model(family), **settings)  # type: ignore[arg-type]


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def full_logprobs(
    model: PreTrainedModel, prompt: Sequence[int], response: Sequence[int], temperature: float
) -> torch.Tensor:
    """Log-probs of the response by one plain forward over prompt and response, nothing padded or cached."""
    with torch.no_grad():
        logits = model(torch.tensor([[*prompt, *response]])).logits[0, len(prompt) - 1 : -1]
    return (logits / temperature).log_softmax(-1).gather(-1, torch.tensor(response)[:, None])[:, 0]


def assert_matches_model(
    model: PreTrainedModel, results: list[list[Completion]], prompts: list[list[int]], temperature: float
) -> None:
    for prompt, group in zip(prompts, results, strict=True):
        for completion in group:
            expected = full_logprobs(model, prompt, completion.token_ids, temperature)
            torch.testing.assert_close(torch.tensor(completion.logprobs), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("max_batch", [64, 7, 1])
@pytest.mark.parametrize(
    ("family", "fused"),
    [(f, True) for f in FUSED] + [(f, False) for f in FUSED + UNFUSED],
)
def test_log_probs_equal_a_plain_forward(family: str, fused: bool, max_batch: int) -> None:
    reference = build_model(family)
    engine = build_engine(family, fused=fused, max_batch=max_batch)
    assert (engine.lean is not None) == fused
    params = SamplingParams(n=3, temperature=0.8, max_tokens=20)
    results = engine.generate(PROMPTS, params, seeded())
    assert len({len(c.token_ids) for group in results for c in group}) > 1, "responses should end at random"
    assert_matches_model(reference, results, PROMPTS, 0.8)


@pytest.mark.parametrize("family", UNFUSED)
def test_models_that_cannot_be_fused_are_recognised(family: str) -> None:
    assert build_engine(family, fused=True).lean is None


def test_long_runs_shift_the_cache_and_stay_right() -> None:
    engine = build_engine(max_batch=3)
    prompts = PROMPTS * 8
    params = SamplingParams(n=2, temperature=1.0, max_tokens=12)
    results = engine.generate(prompts, params, seeded())
    longest = max(map(len, prompts)) + params.max_tokens
    assert engine.work.decode_steps > longest + SLACK_COLUMNS, "the cache must have been shifted"
    assert_matches_model(build_model("qwen2"), results, prompts, 1.0)


@pytest.mark.parametrize("family", FUSED + UNFUSED)
@pytest.mark.parametrize("max_batch", [64, 2])
def test_greedy_equals_transformers_generate(family: str, max_batch: int) -> None:
    model = build_model(family)
    params = SamplingParams(n=1, temperature=0.0, max_tokens=16)
    results = build_engine(family, max_batch=max_batch).generate(PROMPTS, params, seeded())
    for prompt, (completion,) in zip(PROMPTS, results, strict=True):
        ids = torch.tensor([prompt])
        whole = model.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            do_sample=False,
            max_new_tokens=16,
            pad_token_id=PAD,
            eos_token_id=EOS,
        )
        assert completion.token_ids == whole[0, len(prompt) :].tolist()
    assert_matches_model(model, results, PROMPTS, 1.0)


@pytest.mark.parametrize("params", [
    SamplingParams(n=4, temperature=1.0, top_p=0.9, max_tokens=12),
    SamplingParams(n=4, temperature=1.3, top_k=5, max_tokens=12, min_tokens=3),
])  # fmt: skip
def test_the_generator_state_decides_the_responses(params: SamplingParams) -> None:
    engine = build_engine(max_batch=6)
    first, again, other = (engine.generate(PROMPTS, params, seeded(seed)) for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_end_tokens_are_kept_and_only_they_end_a_response_early() -> None:
    results = build_engine(eos_token_ids=[EOS, 30]).generate(
        PROMPTS, SamplingParams(n=16, max_tokens=24), seeded()
    )
    completions = [c for group in results for c in group]
    assert {c.truncated for c in completions} == {True, False}
    assert {c.token_ids[-1] for c in completions if not c.truncated} == {EOS, 30}
    for c in completions:
        assert len(c.token_ids) == len(c.logprobs)
        assert not {EOS, 30} & set(c.token_ids[:-1])
        assert c.truncated == (c.token_ids[-1] not in (EOS, 30))
        assert len(c.token_ids) == 24 if c.truncated else len(c.token_ids) <= 24


@pytest.mark.parametrize("check_every", [1, 8])
def test_looking_for_ends_rarely_changes_nothing_but_work(
    check_every: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Accelerators look only every few tokens; the responses must end where they ended."""
    monkeypatch.setattr("engine.rollout.hf.CHECK_EVERY", {"cpu": check_every})
    engine = build_engine(max_batch=5)
    results = engine.generate(PROMPTS * 4, SamplingParams(n=3, max_tokens=24), seeded())
    assert_matches_model(build_model("qwen2"), results, PROMPTS * 4, 1.0)
    for completion in (c for group in results for c in group):
        assert EOS not in completion.token_ids[:-1]
        assert completion.truncated == (completion.token_ids[-1] != EOS)
        assert len(completion.token_ids) == 24 or not completion.truncated


def test_token_zero_may_be_the_end_token() -> None:
    results = build_engine(eos_token_ids=[0], max_batch=4).generate(
        PROMPTS, SamplingParams(n=8, max_tokens=24), seeded()
    )
    assert_matches_model(build_model("qwen2"), results, PROMPTS, 1.0)
    completions = [c for group in results for c in group]
    assert {c.truncated for c in completions} == {True, False}
    assert all(c.truncated == (c.token_ids[-1] != 0) and 0 not in c.token_ids[:-1] for c in completions)


def test_min_tokens_keeps_responses_from_ending() -> None:
    params = SamplingParams(n=16, max_tokens=14, min_tokens=10)
    for max_batch in (64, 9):
        results = build_engine(max_batch=max_batch).generate(PROMPTS, params, seeded())
        lengths = {len(c.token_ids) for group in results for c in group}
        assert min(lengths) == 11, "ten tokens without an end, then an end token at the earliest"
        assert all(EOS not in c.token_ids[:10] for group in results for c in group)
    fixed = build_engine().generate(PROMPTS, SamplingParams(n=16, max_tokens=6, min_tokens=6), seeded())
    assert {len(c.token_ids) for group in fixed for c in group} == {6}
    assert all(c.truncated for group in fixed for c in group)


def test_a_prompt_runs_through_the_model_once_per_group() -> None:
    engine = build_engine(max_batch=3)
    fed: list[tuple[int, ...]] = []
    engine.model.register_forward_pre_hook(
        lambda _, __, kwargs: fed.append(tuple(kwargs["input_ids"].shape)), with_kwargs=True
    )
    engine.generate(PROMPTS, SamplingParams(n=8, max_tokens=5), seeded())
    assert sum(rows for rows, _ in fed) == len(PROMPTS)
    assert engine.work.prefill_tokens == sum(map(len, PROMPTS))


@pytest.mark.parametrize("max_batch", [80, 16])
def test_finished_responses_leave_the_batch(max_batch: int) -> None:
    engine = build_engine(max_batch=max_batch)
    results = engine.generate(PROMPTS, SamplingParams(n=16, max_tokens=40), seeded())
    lengths = [len(c.token_ids) for group in results for c in group]
    # The last token of a response is never fed back, so not one row too many was computed.
    assert engine.work.decode_rows == sum(length - 1 for length in lengths)
    assert engine.work.decode_rows < len(lengths) * (max(lengths) - 1)


def test_order_is_kept_whatever_the_lengths_and_the_batch() -> None:
    params = SamplingParams(n=2, temperature=0.0, max_tokens=10)
    whole = build_engine(max_batch=64).generate(PROMPTS, params, seeded())
    for max_batch in (1, 2, 3, 5):
        assert_same_tokens(build_engine(max_batch=max_batch).generate(PROMPTS, params, seeded()), whole)
    backwards = build_engine(max_batch=3).generate(PROMPTS[::-1], params, seeded())
    assert_same_tokens(backwards[::-1], whole)


def assert_same_tokens(left: list[list[Completion]], right: list[list[Completion]]) -> None:
    assert [[c.token_ids for c in group] for group in left] == [[c.token_ids for c in g] for g in right]


def test_no_prompts_give_no_responses_and_empty_ones_are_refused() -> None:
    engine = build_engine()
    assert engine.generate([], SamplingParams(n=2), seeded()) == []
    with pytest.raises(ValueError, match="prompt 1 has no tokens"):
        engine.generate([[3], []], SamplingParams(n=2), seeded())


def test_one_token_responses() -> None:
    results = build_engine().generate(PROMPTS, SamplingParams(n=3, max_tokens=1), seeded())
    assert all(len(c.token_ids) == 1 for group in results for c in group)
    assert_matches_model(build_model("qwen2"), results, PROMPTS, 1.0)


def test_lean_logits_equal_the_models_in_bfloat16() -> None:
    """Not bit-equal (norms round differently), but as close as bfloat16 is to float32."""
    params = SamplingParams(n=4, max_tokens=12)
    reference = build_model("qwen3")
    engine = HFEngine(
        build_model("qwen3").to(torch.bfloat16), eos_token_ids=[EOS], pad_token_id=PAD, max_batch=64
    )
    assert engine.lean is not None
    for prompt, group in zip(PROMPTS, engine.generate(PROMPTS, params, seeded()), strict=True):
        for completion in group:
            expected = full_logprobs(reference, prompt, completion.token_ids, 1.0)
            assert F.l1_loss(torch.tensor(completion.logprobs), expected) < 0.1


def test_weights_that_are_not_finite_are_reported() -> None:
    engine = build_engine()
    engine.model.model.norm.weight.data.fill_(torch.nan)
    with pytest.raises(Exception, match=r"rollout\.not-finite"):
        engine.generate(PROMPTS, SamplingParams(n=2), seeded())


def test_the_vocabulary_is_that_of_the_output_layer() -> None:
    assert build_engine().end_tokens.shape == (VOCABULARY,)
