"""Waits until the device memory that an engine gave up has arrived at the driver."""

import time
from collections.abc import Callable

import torch

from engine.findings import EXIT_RUN_FAILED, Finding, FindingsError, Fix

GIB = 1024**3
SLACK = 0.95
"""Share of the expected memory that counts as all of it: allocators keep the odd block."""


def free_memory(device: torch.device) -> int:
    """Bytes of the device that no process holds, after this one gave back what it had cached."""
    torch.cuda.synchronize(device)
    torch.cuda.empty_cache()
    return torch.cuda.mem_get_info(device)[0]


def wait_for_release(
    free: Callable[[], int], *, before: int, released: int, timeout_s: float = 30.0, every_s: float = 0.05
) -> None:
    """Return once `free()`, which was `before`, has grown by `released` bytes.

    Raises FindingsError (engine.memory-not-released) after `timeout_s`.
    """
    deadline = time.monotonic() + timeout_s
    while (gained := free() - before) < SLACK * released:
        if time.monotonic() > deadline:
            raise FindingsError([_not_released(gained, released, timeout_s)], EXIT_RUN_FAILED)
        time.sleep(every_s)


def _not_released(gained: int, released: int, timeout_s: float) -> Finding:
    return Finding(
        id="engine.memory-not-released",
        severity="error",
        cause=f"the rollout engine sleeps, but after {timeout_s:g} s only {gained / GIB:.2f} of its "
        f"{released / GIB:.2f} GiB of device memory are free for training",
        fixes=(
            Fix("See whether another process takes the memory: nvidia-smi.", command="nvidia-smi"),
            Fix("Keep the engine's memory all the time.", set={"rollout.enable_engine_sleep": False}),
        ),
        param="rollout.enable_engine_sleep",
    )
