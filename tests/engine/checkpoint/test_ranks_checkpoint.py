"""Checkpoints of several ranks: bit-exact on as many, readable on fewer and more, given up together."""

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from engine.checkpoint.export import main
from tests.engine.checkpoint.policies import adamw, manager, moments, same, save, tiny_actor, train, weights
from tests.engine.ranks import run_ranks

PROGRAM = Path(__file__).with_name("two_ranks.py")


@pytest.mark.dist
def test_two_ranks_and_one(tmp_path: Path) -> None:
    actor = tiny_actor()
    optimizer = adamw(actor)
    train(actor, optimizer, range(2))
    save(manager(tmp_path / "one"), 2, actor, optimizer)
    run_ranks(PROGRAM, tmp_path)
    expected = torch.load(tmp_path / "two.pt")

    one = tiny_actor(seed=1)
    one_optimizer = adamw(one)
    path = tmp_path / "two" / "step-5"
    state, rank_state = manager(tmp_path / "two").load(path, one, one_optimizer)
    assert (state, rank_state) == ({"step": 5}, None)
    assert same(expected[0], weights(one))
    assert same(expected[1], moments(one, one_optimizer))

    assert main([str(path), "--to", str(tmp_path / "exported")]) == 0
    for folder in (tmp_path / "exported", tmp_path / "two" / "final"):
        assert same(weights(one.model), weights(AutoModelForCausalLM.from_pretrained(folder)))
