"""What several ranks do with checkpoints. Argument: a folder with `one/step-2`, made by one process.

Leaves in it `two/step-2`, `two/step-5`, `two/final`, and from rank 0 `two.pt`: weights and moments at step 5.
"""

import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from engine.checkpoint.rng import capture_rng, restore_rng
from engine.config.sections import RunConfig
from engine.leaving import leave
from engine.strategy import Strategy, get_strategy
from tests.engine.checkpoint.policies import (
    adamw,
    batch,
    manager,
    moments,
    same,
    save,
    tiny_actor,
    train,
    weights,
)


def main() -> None:
    folder = Path(sys.argv[1])
    strategy = get_strategy(RunConfig.model_validate({"model": {"bf16": False}}))
    goes_on_bit_exactly(strategy, folder)
    takes_over_from_one_rank(strategy, folder / "one" / "step-2")
    gives_up_together(strategy, folder / "limited")
    strategy.close()


def sharded(strategy: Strategy, seed: int) -> tuple[nn.Module, torch.optim.Optimizer]:
    actor = strategy.prepare_model(tiny_actor(seed=seed), trainable=True)
    return actor, adamw(actor)


def ranks(strategy: Strategy) -> dict[str, int]:
    return {"rank": strategy.rank, "world_size": strategy.world_size}


def goes_on_bit_exactly(strategy: Strategy, folder: Path) -> None:
    actor, optimizer = sharded(strategy, seed=0)
    own = torch.Generator().manual_seed(strategy.rank)
    torch.manual_seed(100 + strategy.rank)
    train(actor, optimizer, range(2))
    with torch.no_grad():
        actor(batch(9))  # leaves the root's parameters whole
    made = manager(folder / "two", **ranks(strategy))
    path = made.save(2, actor, optimizer, {"step": 2}, capture_rng({"own": own}))
    assert path == folder / "two" / "step-2"
    drawn = torch.rand(3), torch.rand(3, generator=own)
    train(actor, optimizer, range(2, 5))
    expected = weights(actor), moments(actor, optimizer)
    assert save(made, 5, actor, optimizer)
    assert made.save_final(5, actor) == folder / "two" / "final"
    if strategy.rank == 0:
        torch.save(expected, folder / "two.pt")

    actor, optimizer = sharded(strategy, seed=1)
    state, rank_state = made.load(path, actor, optimizer)
    assert state == {"step": 2}
    assert rank_state is not None
    restore_rng(rank_state, {"own": own})
    assert torch.equal(drawn[0], torch.rand(3))
    assert torch.equal(drawn[1], torch.rand(3, generator=own))
    train(actor, optimizer, range(2, 5))
    assert same(expected[0], weights(actor))
    assert same(expected[1], moments(actor, optimizer))


def takes_over_from_one_rank(strategy: Strategy, path: Path) -> None:
    actor, optimizer = sharded(strategy, seed=1)
    state, rank_state = manager(path.parent, **ranks(strategy)).load(path, actor, optimizer)
    assert (state, rank_state) == ({"step": 2}, None)
    alone = tiny_actor()
    alone_optimizer = adamw(alone)
    train(alone, alone_optimizer, range(2))
    assert same(weights(alone), weights(actor))
    assert same(moments(alone, alone_optimizer), moments(actor, optimizer))


def gives_up_together(strategy: Strategy, root: Path) -> None:
    """One rank cannot write large files; all of them learn it, go on, and save once it can."""
    actor, optimizer = sharded(strategy, seed=0)
    events: list[dict[str, Any]] = []
    made = manager(root, events, **ranks(strategy))
    assert save(made, 1, actor, optimizer)
    for limited in range(strategy.world_size):
        with small_files_only(strategy.rank == limited):
            train(actor, optimizer, range(1))
            assert save(made, 2, actor, optimizer) is None
        assert made.steps() == [1]
        if strategy.rank == 0:
            assert events[-1]["state"] == "failed"
            assert f"rank {limited}: " in events[-1]["message"]
    with small_files_only(strategy.rank == 0):
        assert made.save_final(2, actor) is None
    assert save(made, 2, actor, optimizer)
    strategy.barrier()
    assert sorted(path.name for path in root.iterdir()) == ["step-1", "step-2"]
    assert [e["state"] for e in events] == (
        ["complete", "failed", "failed", "failed", "complete"] if strategy.rank == 0 else []
    )


@contextmanager
def small_files_only(active: bool) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    if active:
        resource.setrlimit(resource.RLIMIT_FSIZE, (2000, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


if __name__ == "__main__":
    main()
    leave(0)
