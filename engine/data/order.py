"""Which prompts each rollout uses: a shuffle per episode, resumable at any rollout."""

import torch


class PromptOrder:
    """Deals prompt indices to rollouts; every rank holds the same object and takes its own share.

    An episode is one pass over the prompts in an order drawn from (seed, episode). The remainder that does
    not fill a rollout is left to the next episode's shuffle. The order does not depend on the world size.
    """

    def __init__(self, n_prompts: int, rollout_batch_size: int, seed: int) -> None:
        self.n_prompts = n_prompts
        self.rollout_batch_size = rollout_batch_size
        self.seed = seed
        self.rollouts_done = 0

    @property
    def rollouts_per_episode(self) -> int:
        return self.n_prompts // self.rollout_batch_size

    @property
    def episode(self) -> int:
        """Episodes completed so far."""
        return self.rollouts_done // self.rollouts_per_episode

    def next(self) -> list[int]:
        """Indices of the next rollout's prompts, `rollout_batch_size` of them."""
        episode, position = divmod(self.rollouts_done, self.rollouts_per_episode)
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + episode)
        order = torch.randperm(self.n_prompts, generator=generator)
        start = position * self.rollout_batch_size
        self.rollouts_done += 1
        return order[start : start + self.rollout_batch_size].tolist()

    def state_dict(self) -> dict[str, int]:
        return {"rollouts_done": self.rollouts_done}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.rollouts_done = state["rollouts_done"]
