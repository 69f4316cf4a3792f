"""KL estimators and the controllers of their weight."""

import math
from typing import get_args

import pytest
import torch

from engine.algorithms.kl import AdaptiveKL, FixedKL, KLEstimator, kl_estimate, kl_loss, make_kl_controller
from engine.config.sections import AlgorithmSection

ESTIMATORS: tuple[KLEstimator, ...] = get_args(KLEstimator)


def test_by_hand() -> None:
    logprobs = torch.tensor([[-1.0, -2.0, -1.5]], dtype=torch.float64)
    ref = torch.tensor([[-2.0, -1.0, -1.5]], dtype=torch.float64)
    mask = torch.ones(1, 3, dtype=torch.bool)
    assert kl_estimate(logprobs, ref, mask, "k1").tolist() == [[1.0, -1.0, 0.0]]
    assert kl_estimate(logprobs, ref, mask, "k2").tolist() == [[0.5, 0.5, 0.0]]
    assert kl_estimate(logprobs, ref, mask, "k3")[0].tolist() == pytest.approx([1 / math.e, math.e - 2, 0])


def test_estimators_are_the_ones_of_the_configuration() -> None:
    assert get_args(AlgorithmSection.model_fields["kl_estimator"].annotation) == ESTIMATORS


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_gradient_and_masked_positions(estimator) -> None:
    generator = torch.Generator().manual_seed(0)
    logprobs = torch.randn(3, 4, generator=generator, dtype=torch.float64, requires_grad=True)
    ref = torch.randn(3, 4, generator=generator, dtype=torch.float64)
    mask = torch.rand(3, 4, generator=generator) < 0.5
    assert torch.autograd.gradcheck(lambda x: kl_estimate(x, ref, mask, estimator), (logprobs,))

    poisoned = torch.where(mask, logprobs.detach(), math.nan).requires_grad_()
    kl = kl_estimate(poisoned, ref, mask, estimator)
    kl.sum().backward()
    assert torch.equal(kl, kl_estimate(logprobs, ref, mask, estimator))
    assert (kl[~mask] == 0).all()
    assert (poisoned.grad[~mask] == 0).all()


def test_estimators_agree_with_the_exact_kl() -> None:
    """Summed over the whole vocabulary with the policy's probabilities, k1 and k3 are the KL itself."""
    generator = torch.Generator().manual_seed(1)
    logp, logq = torch.randn(2, 1, 50, generator=generator, dtype=torch.float64).log_softmax(-1)
    mask = torch.ones(1, 50, dtype=torch.bool)
    exact = torch.nn.functional.kl_div(logq, logp, log_target=True, reduction="sum")
    for estimator in ("k1", "k3"):
        torch.testing.assert_close((logp.exp() * kl_estimate(logp, logq, mask, estimator)).sum(), exact)


def test_expected_gradients() -> None:
    """Why k1 is refused: its expected gradient is 0, while k2's is the gradient of the exact KL."""
    generator = torch.Generator().manual_seed(2)
    logits = torch.randn(1, 20, generator=generator, dtype=torch.float64, requires_grad=True)
    logq = torch.randn(1, 20, generator=generator, dtype=torch.float64).log_softmax(-1)
    mask = torch.ones(1, 20, dtype=torch.bool)

    def expected_gradient(estimator: KLEstimator) -> torch.Tensor:
        logp = logits.log_softmax(-1)
        return torch.autograd.grad(
            (logp.exp().detach() * kl_estimate(logp, logq, mask, estimator)).sum(), logits
        )[0]

    exact = torch.nn.functional.kl_div(logq, logits.log_softmax(-1), log_target=True, reduction="sum")
    (exact_gradient,) = torch.autograd.grad(exact, logits)
    assert expected_gradient("k1").abs().max() < 1e-15
    torch.testing.assert_close(expected_gradient("k2"), exact_gradient)
    assert exact_gradient.abs().max() > 1e-3


def test_k1_is_refused_as_a_loss() -> None:
    logprobs = torch.tensor([[-1.0]])
    mask = torch.tensor([[True]])
    with pytest.raises(ValueError, match="k1 cannot be a loss"):
        kl_loss(logprobs, logprobs - 1, mask, "k1")
    assert torch.equal(
        kl_loss(logprobs, logprobs - 1, mask, "k3"), kl_estimate(logprobs, logprobs - 1, mask, "k3")
    )


def test_k3_is_accurate_when_small_and_finite_when_large() -> None:
    mask = torch.ones(1, 1, dtype=torch.bool)
    zero = torch.zeros(1, 1)
    assert kl_estimate(zero + 1e-4, zero, mask, "k3").item() == pytest.approx(5e-9, rel=1e-2)
    assert kl_estimate(zero - 200, zero, mask, "k3").isfinite().all()
    assert kl_estimate(zero + 200, zero, mask, "k3").item() == pytest.approx(199)


def test_fixed_controller() -> None:
    controller = make_kl_controller(0.05, None, 100)
    assert isinstance(controller, FixedKL)
    controller.update(10.0, 50)
    controller.load_state_dict({"value": 0.3})
    assert controller.value == 0.05


@pytest.mark.parametrize(
    ("kl", "n", "factor"),
    [
        (0.1, 50, 1.0),  # on target
        (0.11, 50, 1 + 0.1 * 0.5),
        (0.09, 50, 1 - 0.1 * 0.5),
        (10.0, 50, 1 + 0.2 * 0.5),  # clipped
        (0.0, 50, 1 - 0.2 * 0.5),
        (0.0, 100_000, 0.8),  # more responses than the horizon
        (math.nan, 50, 1.0),
        (math.inf, 50, 1.0),
    ],
)
def test_adaptive_controller_by_hand(kl, n, factor) -> None:
    controller = make_kl_controller(0.05, 0.1, 100)
    controller.update(kl, n)
    assert controller.value == pytest.approx(0.05 * factor, rel=1e-12)


def test_adaptive_controller_settles_on_its_target() -> None:
    """A process whose KL falls as β grows ends at the target."""
    controller = AdaptiveKL(1.0, 0.1, 1000)
    for _ in range(500):
        controller.update(0.02 / controller.value, 64)
    assert 0.02 / controller.value == pytest.approx(0.1, rel=1e-3)


def test_adaptive_controller_resumes() -> None:
    first = AdaptiveKL(0.05, 0.1, 100)
    first.update(0.3, 10)
    second = AdaptiveKL(0.05, 0.1, 100)
    second.load_state_dict(first.state_dict())
    first.update(0.2, 10)
    second.update(0.2, 10)
    assert first.value == second.value != 0.05
    second.load_state_dict(FixedKL(0.7).state_dict())
    assert second.value == 0.7


def test_adaptive_controller_needs_a_positive_start() -> None:
    with pytest.raises(ValueError, match="cannot grow from init_kl_coef 0"):
        make_kl_controller(0.0, 0.1, 100)
