"""An inference library inside the training process: it must leave the process as it found it."""

import logging
import os
import random
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch

from engine.checkpoint.rng import capture_rng, restore_rng


@contextmanager
def environment(changes: Mapping[str, str]) -> Iterator[None]:
    """Environment variables for as long as this lasts."""
    before = dict(os.environ)
    os.environ.update(changes)
    try:
        yield
    finally:
        for name in set(os.environ) - set(before):
            del os.environ[name]
        os.environ.update(before)


@contextmanager
def undisturbed() -> Iterator[None]:
    """Put back what a library changes while it starts and the trainer relies on.

    Environment, random states, default dtype, threads and matrix precision of torch, the root logger, signal
    handlers and the exception hook.
    """
    dtype, threads, precision = (
        torch.get_default_dtype(),
        torch.get_num_threads(),
        torch.get_float32_matmul_precision(),
    )
    set_threads, hook, root = torch.set_num_threads, sys.excepthook, logging.getLogger()
    level, handlers = root.level, list(root.handlers)
    signals = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGQUIT)}
    try:
        with environment({}), own_random_state():
            yield
    finally:
        torch.set_num_threads = set_threads
        torch.set_num_threads(threads)
        torch.set_default_dtype(dtype)
        torch.set_float32_matmul_precision(precision)
        sys.excepthook = hook
        root.setLevel(level)
        root.handlers[:] = handlers
        for number, handler in signals.items():
            if signal.getsignal(number) is not handler:
                signal.signal(number, handler)


@contextmanager
def own_random_state(seed: int | None = None) -> Iterator[None]:
    """Random numbers drawn inside do not move the trainer's generators; `seed` sets where they begin."""
    state = capture_rng()
    if seed is not None:
        random.seed(seed)
        torch.manual_seed(seed)
    try:
        yield
    finally:
        restore_rng(state)
