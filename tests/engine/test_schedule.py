"""Batch arithmetic of a run and the learning rate along it."""

import pytest
import torch

from engine.config.sections import RunConfig
from engine.schedule import continue_schedule, make_scheduler, plan_run


def config(rbs: int, n: int, tbs: int, epochs: int = 1, **optim: object) -> RunConfig:
    return RunConfig.model_validate(
        {
            "batch": {"rollout_batch_size": rbs, "n_samples_per_prompt": n, "train_batch_size": tbs},
            "optim": {"max_epochs": epochs, **optim},
        }
    )


@pytest.mark.parametrize(
    ("given", "rollouts", "steps", "total"),
    [
        (config(8, 4, 32), 1, 1, 12),
        (config(8, 4, 8), 1, 4, 48),
        (config(8, 4, 64), 2, 1, 6),
        (config(8, 4, 32, epochs=2), 1, 2, 24),
        (config(8, 4, 64, epochs=2), 1, 1, 12),
        (config(8, 4, 32, num_episodes=3), 1, 1, 36),
        (config(8, 4, 32, num_episodes=3, max_steps=5), 1, 1, 5),
    ],
)
def test_iterations(given: RunConfig, rollouts: int, steps: int, total: int) -> None:
    plan = plan_run(given, n_prompts=100)
    assert (plan.rollouts, plan.steps, plan.total_steps) == (rollouts, steps, total)
    assert plan.on_policy == (steps == 1)


def rates(kind: str, total: int = 100, warmup: float = 0.1, start: int = 0, peak: float = 2.0) -> list[float]:
    settings = RunConfig.model_validate(
        {"optim": {"lr_scheduler": kind, "lr_warmup_ratio": warmup, "actor_learning_rate": peak}}
    ).optim
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=settings.actor_learning_rate)
    scheduler = make_scheduler(optimizer, settings, total)
    if start:
        continue_schedule(scheduler, start)
    seen = []
    for _ in range(start, total):
        seen.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return seen


def test_warm_up_learns_from_the_first_step_and_peaks() -> None:
    seen = rates("cosine")
    assert seen[0] == pytest.approx(0.2)
    assert max(seen) == seen[9] == seen[10] == pytest.approx(2.0)


def test_decay_ends_at_a_tenth() -> None:
    assert rates("cosine")[-1] == pytest.approx(0.2, abs=0.01)
    assert rates("linear")[-1] == pytest.approx(0.2, abs=0.03)
    assert rates("linear")[55] == pytest.approx(2.0 * (0.1 + 0.9 * 0.5))
    assert set(rates("constant")[10:]) == {2.0}


def test_no_warm_up() -> None:
    assert rates("constant", warmup=0.0)[0] == 2.0


@pytest.mark.parametrize("start", [4, 10, 60])
def test_a_resumed_schedule_continues_and_follows_a_new_rate(start: int) -> None:
    assert rates("cosine", start=start) == rates("cosine")[start:]
    assert rates("linear", start=start, peak=4.0) == [2 * r for r in rates("linear")[start:]]
