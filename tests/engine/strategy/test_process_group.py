"""Settings of the process group that cannot be followed are told, not passed over."""

import subprocess
import sys

import pytest
import torch

START = """
import sys
from engine.config.sections import RunConfig
from engine.findings import FindingsError
from engine.strategy import get_strategy
try:
    get_strategy(RunConfig.model_validate({"parallel": eval(sys.argv[1])})).close()
    print("started")
except FindingsError as error:
    print(error)
"""


def start(parallel: dict[str, object], **environment: str) -> str:
    result = subprocess.run(
        [sys.executable, "-c", START, repr(parallel)],
        env={"PATH": "", "OMP_NUM_THREADS": "1", **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.mark.parametrize(
    ("parallel", "environment", "said"),
    [
        ({}, {}, "started"),
        ({"dist_backend": "gloo"}, {"NCCL_TIMEOUT": "60"}, "started"),
        ({}, {"NCCL_TIMEOUT": "10min"}, "parallel.bad-timeout"),
        ({"nccl_timeout": 60}, {"NCCL_TIMEOUT": "10min"}, "started"),
        ({}, {"NCCL_BACKEND": "mpi"}, "parallel.bad-backend"),
        ({"nproc": 2}, {}, "parallel.world-mismatch"),
    ],
)
def test_what_is_asked_for_is_done_or_refused(
    parallel: dict[str, object], environment: dict[str, str], said: str
) -> None:
    assert said in start(parallel, **environment)


@pytest.mark.skipif(torch.cuda.is_available(), reason="nccl works where there is a GPU")
def test_nccl_needs_a_gpu() -> None:
    assert "parallel.nccl-without-gpu" in start({"dist_backend": "nccl"})
