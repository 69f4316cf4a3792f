"""The order of prompts: whole episodes, reproducible, resumable."""

from engine.data.order import PromptOrder


def test_an_episode_uses_each_prompt_at_most_once_and_episodes_differ() -> None:
    order = PromptOrder(10, 3, seed=1)
    first = [i for _ in range(order.rollouts_per_episode) for i in order.next()]
    second = [i for _ in range(order.rollouts_per_episode) for i in order.next()]
    assert len(set(first)) == len(first) == 9
    assert first != second
    assert order.episode == 2


def test_resuming_continues_the_same_order() -> None:
    whole = PromptOrder(20, 4, seed=7)
    expected = [whole.next() for _ in range(12)]
    begun = PromptOrder(20, 4, seed=7)
    for _ in range(7):
        begun.next()
    resumed = PromptOrder(20, 4, seed=7)
    resumed.load_state_dict(begun.state_dict())
    assert [resumed.next() for _ in range(5)] == expected[7:]


def test_the_seed_changes_the_order() -> None:
    assert PromptOrder(100, 50, seed=1).next() != PromptOrder(100, 50, seed=2).next()
