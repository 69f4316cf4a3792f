"""A rank of the real engine with a fault in it: started by the supervisor in place of `engine.train`.

`HANG_FAULT` names the fault, `HANG_RANK` the rank that has it, `HANG_STEP` the step. Nothing of this is in
the product: functions of the engine are replaced here.
"""

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from engine import train
from engine.leaving import leave

FAULT = os.environ.get("HANG_FAULT", "none")
RANK, STEP = int(os.environ.get("HANG_RANK", "2")), int(os.environ.get("HANG_STEP", "3"))
MINE = int(os.environ["RANK"]) == RANK
FOREVER_S = 3600.0


def sleep() -> None:
    time.sleep(FOREVER_S)


def stop() -> None:
    os.kill(os.getpid(), signal.SIGSTOP)


def kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def exception() -> None:
    raise ValueError("the table of scores has no row 17")


def in_update(fault: Callable[[], None]) -> None:
    """`fault` happens on the rank when it begins the update of the step."""
    from engine.policy_update import PolicyUpdate

    step = PolicyUpdate.step
    calls = 0

    def faulty(self: Any, *args: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == STEP:
            fault()
        return step(self, *args)

    PolicyUpdate.step = faulty  # type: ignore[method-assign]


def collective(faulty: Callable[[Callable[..., Any], torch.Tensor], Any]) -> None:
    """The first reduction of the engine's own within the update of the step is another one on the rank."""
    from engine.strategy.collectives import Collectives

    all_reduce = Collectives.all_reduce
    state = {"armed": False}

    def replaced(self: Any, value: torch.Tensor, op: Any = "mean") -> Any:
        if not state["armed"]:
            return all_reduce(self, value, op)
        state["armed"] = False
        return faulty(lambda other: all_reduce(self, other, op), value)

    Collectives.all_reduce = replaced  # type: ignore[method-assign]
    in_update(lambda: state.update(armed=True))


def data_loader() -> None:
    """Reading the prompts never ends: a pipe that nobody writes to, as a hung file system."""
    from engine.data import prompts

    def stuck(*args: Any) -> Any:
        pipe = Path(os.environ["RFTUI_RUN_DIR"]) / "data.pipe"
        os.mkfifo(pipe)
        return pipe.read_text()

    prompts.read_rows = stuck  # type: ignore[assignment]


def engine() -> None:
    """Sampling never ends from the third rollout on."""
    from engine.rollout.hf import HFEngine

    decode = HFEngine._decode
    calls = 0

    def stuck(self: Any, batch: Any) -> Any:
        nonlocal calls
        calls += 1
        while calls >= STEP:
            time.sleep(0.1)
        return decode(self, batch)

    HFEngine._decode = stuck  # type: ignore[method-assign]


FAULTS: dict[str, Callable[[], None]] = {
    "none": lambda: None,
    "skip": lambda: collective(lambda reduce, value: value.clone()),
    "shape": lambda: collective(lambda reduce, value: reduce(torch.cat([value.flatten(), value.flatten()]))),
    "sleep": lambda: in_update(sleep),
    "stop": lambda: in_update(stop),
    "kill": lambda: in_update(kill),
    "exception": lambda: in_update(exception),
    "data": data_loader,
    "engine": engine,
}
"""A silent reward server needs no fault here: the reward function that asks it is the user's."""

if __name__ == "__main__":
    if MINE:
        FAULTS[FAULT]()
    leave(train.main(sys.argv[1:]))
