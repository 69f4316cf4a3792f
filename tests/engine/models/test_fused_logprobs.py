"""The fused log-probabilities against float64 autograd, and the memory they are for."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile
from torch.testing import assert_close
from transformers import AutoModelForCausalLM, CohereConfig, GraniteConfig, PhiConfig

from engine.data.experience import collate
from engine.findings import FindingsError
from engine.models.actor import Actor
from engine.models.fused_logprobs import FusedLogprobs
from engine.models.logit_transform import LogitTransform
from engine.models.logprobs import chunked_logprobs
from tests.engine.models.test_actor import by_hand, experiences
from tests.engine.tiny import CONFIGS, SIZES, tiny_model

CPU = torch.device("cpu")
TRANSFORMS = [
    LogitTransform(),
    LogitTransform(temperature=0.7),
    LogitTransform(scale=0.25, cap=3.0, temperature=1.3),
]
FAMILIES: dict[str, Callable[[], Any]] = {
    **CONFIGS,
    "granite": lambda: GraniteConfig(**SIZES, logits_scaling=4.0),
    "cohere": lambda: CohereConfig(**SIZES, logit_scale=0.25),
    "phi": lambda: PhiConfig(**SIZES),  # its head has a bias
}


def inputs(dtype: torch.dtype, n: int = 7) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """hidden [n, 6], weight [11, 6], bias [11], targets [n]."""
    torch.manual_seed(0)
    hidden, weight, bias = (torch.randn(shape, dtype=torch.float64) for shape in ((n, 6), (11, 6), (11,)))
    leaves = (t.to(dtype).requires_grad_() for t in (hidden, weight, bias))
    return *leaves, torch.randint(11, (n,))


def reference(
    hidden: Tensor, weight: Tensor, bias: Tensor, targets: Tensor, transform: LogitTransform
) -> tuple[Tensor, Tensor]:
    log_p = transform(hidden.double() @ weight.double().t() + bias.double()).log_softmax(-1)
    return log_p.gather(-1, targets[:, None])[:, 0], -(log_p.exp() * log_p).sum(-1)


@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize("chunk_size", [1, 3, 100])
@pytest.mark.parametrize("entropy_grad", [False, True])
def test_gradients_are_those_of_finite_differences(
    transform: LogitTransform, chunk_size: int, entropy_grad: bool
) -> None:
    *leaves, targets = inputs(torch.float64)

    def outputs(hidden: Tensor, weight: Tensor, bias: Tensor) -> tuple[Tensor, ...]:
        both = FusedLogprobs.apply(hidden, weight, bias, targets, transform, chunk_size, entropy_grad)
        return both if entropy_grad else both[:1]

    assert torch.autograd.gradcheck(outputs, leaves)


@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 3e-2)])
def test_values_and_gradients_in_lower_precision(
    transform: LogitTransform, dtype: torch.dtype, tolerance: float
) -> None:
    *leaves, targets = inputs(dtype, n=50)
    got = FusedLogprobs.apply(*leaves, targets, transform, 8, True)
    assert [value.dtype for value in got] == [torch.float32] * 2
    expected = reference(*leaves, targets, transform)
    weights = torch.linspace(-1, 1, 50).double()
    for one, other in zip(got, expected, strict=True):
        assert_close(one.double(), other, rtol=tolerance, atol=tolerance)
    gradients = [
        torch.autograd.grad((logprobs.double() + 0.3 * entropy.double()) @ weights, leaves)
        for logprobs, entropy in (got, expected)
    ]
    for one, other in zip(*gradients, strict=True):
        assert one.dtype == dtype
        assert (one - other).norm() / other.norm() < tolerance


def test_many_chunks_lose_nothing_in_bfloat16() -> None:
    """Gradients of the head are summed over chunks in float32 and rounded once."""
    *leaves, targets = inputs(torch.bfloat16, n=400)
    exact = torch.autograd.grad(reference(*leaves, targets, LogitTransform())[0].sum(), leaves[1])[0]
    errors = {}
    for chunk_size in (400, 1):
        logprobs, _ = FusedLogprobs.apply(*leaves, targets, LogitTransform(), chunk_size, False)
        gradient = torch.autograd.grad(logprobs.sum(), leaves[1])[0]
        errors[chunk_size] = ((gradient - exact).norm() / exact.norm()).item()
    assert errors[1] < 1.5 * errors[400] + 1e-3


def actor_of(family: str, *, fused: bool, chunk_size: int = 5) -> Actor:
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(FAMILIES[family]()).double()
    if family == "phi":
        torch.nn.init.normal_(model.lm_head.bias)
    return Actor(model, temperature=0.8, chunk_size=chunk_size, fused=fused)


@pytest.mark.parametrize("family", FAMILIES)
def test_an_actor_gives_the_same_with_and_without(family: str) -> None:
    """Among them a tied head, whose gradient adds to the embedding's, scaled ones and one with a bias."""
    results = []
    batch = experiences()
    for fused in (False, True):
        actor = actor_of(family, fused=fused)
        collated = collate(batch, 0, CPU, share_prompts=actor.shares_prompts)
        logprobs, entropy = actor(collated, entropy_grad=True)
        (logprobs.sum() + 0.5 * entropy.sum()).backward()
        grads = {name: p.grad for name, p in actor.named_parameters() if p.grad is not None}
        results.append((logprobs.detach(), entropy.detach(), grads))
    (logprobs, entropy, grads), (fused_logprobs, fused_entropy, fused_grads) = results
    assert_close(fused_logprobs.float(), logprobs.float(), rtol=1e-5, atol=1e-5)
    assert_close(fused_entropy.float(), entropy.float(), rtol=1e-5, atol=1e-5)
    assert grads.keys() == fused_grads.keys()
    for name, gradient in grads.items():
        assert_close(fused_grads[name], gradient, rtol=1e-4, atol=1e-5, msg=name)
    expected = torch.cat([by_hand(actor.model, e, 0.8)[0] for e in batch])
    assert_close(fused_logprobs, expected)


def test_an_empty_micro_batch_has_a_zero_gradient() -> None:
    actor = actor_of("qwen2", fused=True)
    logprobs, _ = actor(collate([], 0, CPU, share_prompts=True))
    logprobs.sum().backward()
    gradient = actor.model.lm_head.weight.grad
    assert gradient is not None and not gradient.any()


def test_the_head_alone_still_gives_logits_and_entropy_has_no_gradient() -> None:
    actor = actor_of("qwen2", fused=True)
    plain = actor_of("qwen2", fused=False)
    tokens = torch.arange(12)[None]
    assert torch.equal(actor.model(tokens).logits, plain.model(tokens).logits)
    logprobs, entropy = actor(collate(experiences(), 0, CPU, share_prompts=True))
    assert logprobs.requires_grad and not entropy.requires_grad


def test_another_kind_of_head_is_a_finding() -> None:
    model = tiny_model()
    model.set_output_embeddings(torch.nn.Sequential(torch.nn.Linear(32, 61)))
    with pytest.raises(FindingsError, match=r"model\.head-not-linear.*Sequential"):
        Actor(model, temperature=1.0, chunk_size=8, fused=True)


# --- memory ---------------------------------------------------------------------------------------------

N, HIDDEN, VOCABULARY, CHUNK = 512, 16, 4000, 64
LOGITS = N * VOCABULARY * 4
CHUNK_LOGITS = CHUNK * VOCABULARY * 4


def head_pass(actor_head: Callable[[Tensor, Tensor], Tensor]) -> tuple[int, int, int]:
    """Bytes saved for the backward pass, peak bytes, and the largest allocation of a head's two passes."""
    torch.manual_seed(0)
    hidden = torch.randn(N, HIDDEN, requires_grad=True)
    targets = torch.randint(VOCABULARY, (N,))
    saved: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        saved[storage.data_ptr()] = storage.nbytes()
        return tensor

    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            loss = actor_head(hidden, targets)
        loss.backward()
    memory = [e for e in profiler.profiler.kineto_results.events() if e.name() == "[memory]"]
    held, peak = 0, 0
    for event in sorted(memory, key=lambda e: e.start_ns()):
        held += event.nbytes()
        peak = max(peak, held)
    return sum(saved.values()), peak, max(e.nbytes() for e in memory)


def test_no_logits_are_kept_and_never_more_than_a_chunk_exists() -> None:
    weight = torch.randn(VOCABULARY, HIDDEN, requires_grad=True)

    def unfused(hidden: Tensor, targets: Tensor) -> Tensor:
        return chunked_logprobs(hidden, targets, lambda h: h @ weight.t(), chunk_size=N)[0].sum()

    def fused(hidden: Tensor, targets: Tensor) -> Tensor:
        return FusedLogprobs.apply(hidden, weight, None, targets, LogitTransform(), CHUNK, False)[0].sum()

    saved, peak, largest = head_pass(unfused)
    assert saved >= LOGITS and largest >= LOGITS and peak >= 2 * LOGITS
    saved, peak, largest = head_pass(fused)
    inputs_and_rows = (N * HIDDEN + VOCABULARY * HIDDEN) * 4 + N * 40
    assert saved <= inputs_and_rows
    assert largest <= max(CHUNK_LOGITS, VOCABULARY * HIDDEN * 4)
    assert peak <= 3 * CHUNK_LOGITS + 2 * inputs_and_rows < LOGITS
