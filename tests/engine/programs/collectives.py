"""Ranks that do collectives through a real strategy with telemetry, while one of them misbehaves.

torchrun … collectives.py RUN_DIR MODE BAD_RANK
"""

import os
import sys
import time
from pathlib import Path

import torch

from engine import failure
from engine.config.sections import RunConfig
from engine.leaving import leave
from engine.strategy import Strategy, get_strategy
from engine.telemetry import Telemetry

LATE_S = 0.3
TIMEOUT_S = 8


def straggle(strategy: Strategy, telemetry: Telemetry, bad: bool) -> None:
    """Three steps in which the bad rank comes late to one of four reductions, and one without."""
    for step in (1, 2, 3, 4):
        telemetry.step = step
        with telemetry.phase("update"):
            for i in range(4):
                if bad and i == 2 and step < 4:
                    time.sleep(LATE_S)
                strategy.all_reduce(torch.ones(1000), "sum")
        strategy.gather_objects("metrics")


def stay_away(strategy: Strategy, telemetry: Telemetry, bad: bool) -> None:
    """The bad rank sleeps in another phase while the others reduce."""
    telemetry.step = 7
    strategy.barrier()
    with telemetry.phase("reward" if bad else "update"):
        if bad:
            time.sleep(120)
        strategy.all_reduce(torch.ones(10), "sum")


def main() -> int:
    run_dir, mode, bad_rank = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    try:
        strategy = get_strategy(RunConfig.model_validate({"parallel": {"nccl_timeout": TIMEOUT_S}}))
        telemetry = Telemetry(run_dir, strategy.rank, strategy.world_size, strategy.device)
        strategy.watch = telemetry.collectives
        try:
            {"straggle": straggle, "stay_away": stay_away}[mode](
                strategy, telemetry, strategy.rank == bad_rank
            )
        finally:
            telemetry.close()
    except Exception as error:
        return failure.report(error, run_dir)
    return 0


if __name__ == "__main__":
    assert "RANK" in os.environ
    leave(main())
