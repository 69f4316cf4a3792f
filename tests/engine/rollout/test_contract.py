"""Every rollout engine keeps the contract of `engine.rollout.base`: the same assertions on each."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from engine.models.weight_names import checkpoint_weights
from engine.rollout.base import Completion, RolloutEngine, SamplingParams
from engine.toy.tokenizer import build_tokenizer
from tests.engine.rollout.engine_models import build, save
from tests.engine.rollout.started import skip_unless_runnable, start

PROMPTS = [[5, 6, 7], [8], [9, 10, 11, 12, 13, 14, 15, 16, 17], [18, 19, 20], [21, 22]]
EOS = build_tokenizer().eos_token_id
ENGINES = [
    "hf",
    pytest.param("vllm", marks=pytest.mark.vllm),
    pytest.param("sglang", marks=pytest.mark.gpu),
]


@pytest.fixture(scope="module", params=ENGINES)
def engine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> RolloutEngine:
    """One engine for all tests, on a model with tied embeddings; each test leaves weights of its own."""
    skip_unless_runnable(request.param)
    folder = save(tmp_path_factory.mktemp("model"), "qwen2")
    return start(folder, engine_type=request.param)


def push(engine: RolloutEngine, model: Any, **changes: Tensor | None) -> None:
    """The weights of `model`; `changes` replace or, being None, leave out parameters (`.` written `__`)."""
    weights: dict[str, Tensor | None] = dict(checkpoint_weights(model, model.named_parameters()))
    weights |= {name.replace("__", "."): tensor for name, tensor in changes.items()}
    engine.update_weights((name, tensor) for name, tensor in weights.items() if tensor is not None)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def assert_of_model(model: Any, groups: list[list[Completion]], temperature: float) -> None:
    """Log-probs are those of one plain forward over prompt and response."""
    for prompt, group in zip(PROMPTS, groups, strict=True):
        for completion in group:
            tokens = torch.tensor(completion.token_ids)
            with torch.no_grad():
                logits = model(torch.tensor([[*prompt, *completion.token_ids]])).logits[
                    0, len(prompt) - 1 : -1
                ]
            expected = (logits / temperature).log_softmax(-1).gather(-1, tokens[:, None])[:, 0]
            torch.testing.assert_close(torch.tensor(completion.logprobs), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("params", [
    SamplingParams(n=3, temperature=0.7, top_p=0.9, top_k=20, max_tokens=20, min_tokens=4),
    SamplingParams(n=3, temperature=0.7, top_p=0.5, max_tokens=20),
    SamplingParams(n=3, temperature=1.3, top_k=5, max_tokens=20),
    SamplingParams(n=3, temperature=1.0, max_tokens=20),
    SamplingParams(n=2, temperature=0.0, max_tokens=20, min_tokens=20),
], ids=["all", "top_p", "top_k", "plain", "greedy"])  # fmt: skip
def test_log_probs_are_of_the_whole_vocabulary_at_the_temperature(
    engine: RolloutEngine, params: SamplingParams
) -> None:
    model = build("qwen2", seed=1)
    push(engine, model)
    groups = engine.generate(PROMPTS, params, seeded())
    assert [len(group) for group in groups] == [params.n] * len(PROMPTS)
    assert_of_model(model, groups, params.temperature or 1.0)


def test_filters_leave_only_what_they_should(engine: RolloutEngine) -> None:
    model = build("qwen2", seed=2)
    push(engine, model)
    (group,) = engine.generate(
        [[5, 6]], SamplingParams(n=64, temperature=0.9, top_k=3, max_tokens=1), seeded()
    )
    with torch.no_grad():
        likeliest = model(torch.tensor([[5, 6]])).logits[0, -1].topk(3).indices.tolist()
    assert {c.token_ids[0] for c in group} == set(likeliest)


def test_greedy_takes_the_likeliest_token(engine: RolloutEngine) -> None:
    model = build("qwen2", seed=3)
    push(engine, model)
    groups = engine.generate(PROMPTS, SamplingParams(n=2, temperature=0.0, max_tokens=10), seeded())
    for prompt, group in zip(PROMPTS, groups, strict=True):
        ids = torch.tensor([prompt])
        whole = model.generate(ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=10)
        assert [c.token_ids for c in group] == [whole[0, len(prompt) :].tolist()] * 2


def test_the_generator_state_decides_the_responses(engine: RolloutEngine) -> None:
    push(engine, build("qwen2", seed=1))
    params = SamplingParams(n=4, temperature=1.0, top_p=0.95, max_tokens=12)
    first = engine.generate(PROMPTS, params, seeded(1))
    engine.generate(PROMPTS[:2], params, seeded(9))  # what came between must not matter
    assert engine.generate(PROMPTS, params, seeded(1)) == first
    assert engine.generate(PROMPTS, params, seeded(2)) != first
    generator = seeded(1)
    engine.generate(PROMPTS, params, generator)
    assert engine.generate(PROMPTS, params, generator) != first, "the generator must have moved on"


def test_responses_to_one_prompt_differ_and_the_trainer_keeps_its_random_numbers(
    engine: RolloutEngine,
) -> None:
    push(engine, build("qwen2", seed=1))
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    ((*group,),) = engine.generate([[5, 6, 7]], SamplingParams(n=8, max_tokens=12), seeded())
    assert torch.equal(torch.rand(4), expected)
    assert len({tuple(c.token_ids) for c in group}) == 8


def test_end_tokens_are_kept_and_only_they_end_a_response_early(engine: RolloutEngine) -> None:
    push(engine, build("qwen2", seed=4))
    groups = engine.generate(PROMPTS, SamplingParams(n=32, temperature=1.5, max_tokens=40), seeded())
    completions = [c for group in groups for c in group]
    assert {c.truncated for c in completions} == {True, False}
    for c in completions:
        assert len(c.token_ids) == len(c.logprobs)
        assert EOS not in c.token_ids[:-1]
        assert c.truncated == (c.token_ids[-1] != EOS)
        assert len(c.token_ids) == 40 or not c.truncated


def test_min_tokens_keeps_responses_from_ending(engine: RolloutEngine) -> None:
    push(engine, build("qwen2", seed=4))
    params = SamplingParams(n=32, temperature=1.5, max_tokens=40, min_tokens=10)
    lengths = {len(c.token_ids) for group in engine.generate(PROMPTS, params, seeded()) for c in group}
    assert min(lengths) > 10 and len(lengths) > 2
    params = SamplingParams(n=32, temperature=1.5, max_tokens=6, min_tokens=6)
    groups = engine.generate(PROMPTS, params, seeded())
    assert all(len(c.token_ids) == 6 and c.truncated for group in groups for c in group)


def test_responses_come_in_the_order_of_the_prompts(engine: RolloutEngine) -> None:
    push(engine, build("qwen2", seed=1))
    params = SamplingParams(n=1, temperature=0.0, max_tokens=8)
    forwards = engine.generate(PROMPTS, params, seeded())
    backwards = engine.generate(PROMPTS[::-1], params, seeded())
    tokens = [[c.token_ids for c in group] for group in forwards]
    assert [[c.token_ids for c in group] for group in backwards] == tokens[::-1]
    assert len({tuple(group[0]) for group in tokens}) > 1


def test_no_prompts_give_no_responses_and_empty_ones_are_refused(engine: RolloutEngine) -> None:
    assert engine.generate([], SamplingParams(n=2), seeded()) == []
    with pytest.raises(ValueError, match="prompt 1 has no tokens"):
        engine.generate([[3], []], SamplingParams(n=2), seeded())


def test_new_weights_are_used_at_once_for_prompts_seen_before(engine: RolloutEngine) -> None:
    params = SamplingParams(n=1, temperature=0.0, max_tokens=8)
    for seed in (5, 6):
        model = build("qwen2", seed=seed)
        push(engine, model)
        assert_of_model(model, engine.generate(PROMPTS, params, seeded()), 1.0)


def test_weights_of_any_dtype_and_either_name_of_a_tied_pair_will_do(engine: RolloutEngine) -> None:
    model = build("qwen2", seed=7).double()
    tied = model.model.embed_tokens.weight.detach()
    push(engine, model, model__embed_tokens__weight=None, lm_head__weight=tied)
    params = SamplingParams(n=1, temperature=0.0, max_tokens=8)
    assert_of_model(model.float(), engine.generate(PROMPTS, params, seeded()), 1.0)


def test_weights_are_taken_one_by_one(engine: RolloutEngine) -> None:
    """A sync must never hold the whole model a second time: at most what makes up one layer of the engine."""
    model = build("qwen2", seed=1)
    taken: list[int] = []

    def fresh() -> Iterator[tuple[str, Tensor]]:
        for name, parameter in model.named_parameters():
            copy = parameter.detach().clone()
            taken.append(copy.untyped_storage()._weak_ref())  # type: ignore[attr-defined]
            alive = sum(not torch.UntypedStorage._expired(ref) for ref in taken)
            assert alive <= 8, f"{alive} tensors of the push are still held"
            yield name, copy

    engine.update_weights(fresh())
    assert len(taken) == len(list(model.parameters()))


@pytest.mark.parametrize(("name", "tensor"), [
    ("model__layers__9__mlp__up_proj__weight", torch.zeros(64, 128)),
    ("model__layers__0__self_attn__k_proj__weight", None),
    ("model__norm__weight", None),
    ("model__norm__weight", torch.zeros(3)),
    ("model__layers__1__self_attn__q_proj__weight", torch.zeros(3, 3)),
], ids=["unknown", "part missing", "missing", "misshapen", "part misshapen"])  # fmt: skip
def test_weights_that_do_not_fit_are_named(engine: RolloutEngine, name: str, tensor: Tensor | None) -> None:
    model = build("qwen2", seed=1)
    place = name.replace("__", ".").removesuffix(".weight")
    with pytest.raises(ValueError, match="weights do not fit the rollout engine's model") as error:
        push(engine, model, **{name: tensor})
    # Engines that keep query, key and value in one parameter can only name that one.
    assert place in str(error.value) or place.replace("k_proj", "qkv_proj") in str(error.value)
    push(engine, model)
    params = SamplingParams(n=1, temperature=0.0, max_tokens=4)
    assert_of_model(model, engine.generate(PROMPTS, params, seeded()), 1.0)


def test_a_failure_to_gather_weights_is_not_taken_for_one_of_the_weights(engine: RolloutEngine) -> None:
    model = build("qwen2", seed=1)

    def breaking() -> Iterator[tuple[str, Tensor]]:
        yield next(model.named_parameters())
        raise RuntimeError("a rank is gone")

    with pytest.raises(RuntimeError, match="a rank is gone"):
        engine.update_weights(breaking())
    push(engine, model)


def test_a_sleeping_engine_takes_no_weights_and_wakes_to_generate(engine: RolloutEngine) -> None:
    model = build("qwen2", seed=1)
    push(engine, model)
    engine.sleep()
    engine.sleep()
    assert engine.status == "asleep"
    with pytest.raises(RuntimeError, match="asleep"):
        push(engine, model)
    groups = engine.generate(PROMPTS, SamplingParams(n=1, temperature=0.0, max_tokens=4), seeded())
    assert engine.status == "awake"
    assert_of_model(model, groups, 1.0)
    engine.wake_up()
    assert engine.status == "awake"
