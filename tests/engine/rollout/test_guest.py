"""What a library changes while it starts is put back."""

import logging
import os
import random
import signal
import sys
from typing import Any

import numpy as np
import pytest
import torch

from engine.rollout.guest import environment, own_random_state, undisturbed


def test_all_that_the_trainer_relies_on_is_put_back() -> None:
    def state() -> list[Any]:
        root = logging.getLogger()
        return [
            dict(os.environ),
            torch.get_default_dtype(),
            torch.get_num_threads(),
            torch.set_num_threads,
            torch.get_float32_matmul_precision(),
            torch.get_rng_state().tolist(),
            random.getstate(),
            np.random.get_state()[1].tolist(),  # type: ignore[index, union-attr]
            signal.getsignal(signal.SIGTERM),
            sys.excepthook,
            root.level,
            list(root.handlers),
        ]

    before = state()
    with undisturbed():
        os.environ["LEFT_BEHIND"] = "1"
        os.environ["PATH"] = ""
        torch.set_default_dtype(torch.bfloat16)
        torch.set_num_threads(torch.get_num_threads() + 1)
        torch.set_num_threads = lambda _: None
        torch.set_float32_matmul_precision("medium")
        torch.manual_seed(1)
        random.seed(1)
        np.random.seed(1)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        sys.excepthook = lambda *_: None
        logging.getLogger().addHandler(logging.NullHandler())
        logging.getLogger().setLevel(1)
        assert sum(a != b for a, b in zip(before, state(), strict=True)) == len(before)
    assert state() == before


def test_it_is_put_back_after_a_failure_too() -> None:
    with pytest.raises(ZeroDivisionError), undisturbed(), environment({"LENT": "1"}):
        assert os.environ["LENT"] == "1"
        torch.set_default_dtype(torch.float64)
        raise ZeroDivisionError
    assert torch.get_default_dtype() == torch.float32
    assert "LENT" not in os.environ


def test_a_seed_begins_a_state_of_ones_own() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    with own_random_state(9):
        first = torch.rand(3)
    with own_random_state(9):
        assert torch.equal(torch.rand(3), first)
    assert torch.equal(torch.rand(3), expected)
