"""What goes wrong with the learning is told from the metrics, and healthy learning raises nothing."""

import pytest

from tests.diagnostics.health.said import STEP_S, T0, header, ids, metrics, monitor

NOW = T0 + 61 * STEP_S


@pytest.mark.parametrize("steps", [1, 5, 60])
def test_healthy_metrics_raise_nothing(steps: int) -> None:
    assert ids(monitor(), T0 + steps * STEP_S, metrics(steps)) == set()


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"grad__norm": [0.5] * 59 + [6.0]}, "train.gradient-spike"),
        ({"rollout__zero_variance_groups": 30.0}, "train.no-reward-variance"),
        ({"reward__mean": 0.1, "reward__std": 0.0}, "train.constant-reward"),
        ({"response__truncated": 0.7}, "train.all-truncated"),
        ({"policy__entropy": [1.2] * 50 + [0.05] * 10}, "train.entropy-collapse"),
        ({"kl__ref": [0.01] * 50 + [3.0] * 10}, "train.kl-runaway"),
        ({"policy__loss": [0.1] * 50 + [None] * 10}, "train.not-finite"),
        ({"kl__ref": [0.01] * 50 + [None] + [0.01] * 9}, "train.not-finite"),
        ({"policy__entropy": [1.2] * 50 + [None] * 10}, "train.not-finite"),
        ({"grad__norm": [0.5] * 50 + [None] * 9 + [0.6]}, "train.not-finite"),
        ({"grad__norm": [0.5] * 59 + [float("inf")]}, "train.not-finite"),
    ],
)
def test_each_trouble_has_its_finding(changed: dict[str, float | list[float]], expected: str) -> None:
    assert ids(monitor(), NOW, metrics(60, **changed)) == {expected}


@pytest.mark.parametrize(
    "changed",
    [
        {"grad__norm": [0.5] * 59 + [4.0]},
        {"rollout__zero_variance_groups": [30.0] * 51 + [20.0] + [30.0] * 8},
        {"response__truncated": [0.7] * 55 + [0.4] + [0.7] * 4},
        {"policy__entropy": [1.2] * 55 + [0.05] * 5},
        {"kl__ref": [0.01] * 59 + [3.0]},
    ],
)
def test_one_odd_batch_raises_nothing(changed: dict[str, list[float]]) -> None:
    assert ids(monitor(), NOW, metrics(60, **changed)) == set()


def test_the_first_metric_that_is_no_number_is_named() -> None:
    watch = monitor()
    loss, norm = [0.1] * 40 + [None] * 20, [0.5] * 41 + [None] * 19
    watch.take(metrics(60, policy__loss=loss, grad__norm=norm))
    (found,) = watch.look(NOW)
    assert found.cause.startswith("policy/loss was no finite number at step 41")


def test_a_solved_task_is_no_collapse() -> None:
    rewards = [0.2 + 0.013 * step for step in range(60)]
    watch = monitor()
    watch.take(
        metrics(
            60,
            reward__mean=rewards,
            policy__entropy=[1.2] * 50 + [0.05] * 10,
            rollout__zero_variance_groups=31.0,
        )
    )
    (found,) = watch.look(NOW)
    assert (found.id, found.severity) == ("train.no-reward-variance", "info")
    assert "at least 97% of the groups" in found.cause and "mean reward of 0.967" in found.cause


def test_steps_that_are_done_again_do_not_count_twice() -> None:
    from engine.events import Status

    watch = monitor()
    watch.take(metrics(60, policy__loss=[0.1] * 55 + [None] * 5))
    watch.take([header(0, NOW), Status(t=NOW, rank=0, state="resumed", step=50)])
    assert watch.look(NOW) == []
    assert watch.seen.metrics["policy/loss"][-1] == (50, 0.1)
