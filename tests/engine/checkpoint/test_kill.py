"""kill -9 in the middle of saving, at random moments."""

import multiprocessing
import os
import random
import signal
import time
from pathlib import Path

import torch
from torch import nn

from tests.engine.checkpoint.policies import adamw, manager, save, tiny_actor, train

TRIES = 12


def _save_for_ever(root: Path, told: Path, first: int) -> None:
    """Checkpoints whose weights and moments all equal their step; `told` says which are complete."""
    actor = tiny_actor()
    optimizer = adamw(actor)
    train(actor, optimizer, range(1))
    made = manager(root, max_num=2)
    with told.open("ab", buffering=0) as file:
        for step in range(first, first + 10_000):
            _fill(actor, optimizer, float(step))
            if save(made, step, actor, optimizer):
                file.write(f"{step}\n".encode())


@torch.no_grad()
def _fill(actor: nn.Module, optimizer: torch.optim.Optimizer, value: float) -> None:
    for parameter in actor.parameters():
        parameter.fill_(value)
        for moment in optimizer.state[parameter].values():
            moment.fill_(value)


def _all_equal(actor: nn.Module, optimizer: torch.optim.Optimizer, value: float) -> bool:
    tensors = [t for p in actor.parameters() for t in (p.detach(), *optimizer.state[p].values())]
    return all(bool((tensor == value).all()) for tensor in tensors)


def test_killed_while_saving_loses_nothing_that_was_complete(tmp_path: Path) -> None:
    """Twelve processes, each going on from what the one before left when it was killed."""
    root, told = tmp_path / "checkpoints", tmp_path / "told"
    told.touch()
    clock = random.Random(0)
    context = multiprocessing.get_context("fork")
    caught_in_the_act = 0
    first = 1
    for _ in range(TRIES):
        before = told.read_text().count("\n")
        process = context.Process(target=_save_for_ever, args=(root, told, first))
        process.start()
        deadline = time.monotonic() + 60
        while told.read_text().count("\n") < before + 2 and time.monotonic() < deadline:
            time.sleep(0.005)
        time.sleep(clock.uniform(0, 0.1))
        os.kill(process.pid or 0, signal.SIGKILL)
        process.join()
        assert process.exitcode == -signal.SIGKILL
        caught_in_the_act += any(path.suffix for path in root.iterdir())

        complete = int(told.read_text().split()[-1])
        actor = tiny_actor(seed=1)
        optimizer = adamw(actor)
        made = manager(root)
        assert not any(path.suffix for path in root.iterdir())
        latest = made.steps()[-1]
        assert complete <= latest <= complete + 1
        state, _ = made.load(root / f"step-{latest}", actor, optimizer)
        assert state == {"step": latest}
        assert _all_equal(actor, optimizer, float(latest))
        first = latest + 1
    assert caught_in_the_act >= TRIES // 3
