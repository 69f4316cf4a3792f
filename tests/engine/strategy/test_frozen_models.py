"""Reference and reward models, with a classification head too, give the same outputs sharded as whole."""

import json
from pathlib import Path

import pytest

from tests.engine.ranks import run_ranks

PROGRAM = Path(__file__).parents[1] / "programs" / "frozen_models.py"


@pytest.mark.dist
def test_fsdp2() -> None:
    run_ranks(PROGRAM, json.dumps({"fsdp": True}))


@pytest.mark.dist
@pytest.mark.deepspeed
def test_deepspeed() -> None:
    run_ranks(PROGRAM, json.dumps({"zero_stage": 3}))
