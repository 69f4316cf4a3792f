"""Rank 1 cannot start its engine while rank 0 can: all must end, soon, with what rank 1 has to say.

Arguments: model folder. Prints when the ranks begin to start their engines.
"""

import sys
import time
from pathlib import Path

from engine import failure
from engine.config.sections import RunConfig
from engine.leaving import leave
from engine.models.loading import load_source
from engine.rollout.start import start_engine
from engine.strategy import get_strategy


def main() -> int:
    folder, run_dir = sys.argv[1:]
    rollout = {"engine_type": "vllm", "engine_enforce_eager": True, "prompt_max_len": 64, "max_len": 256}
    model = {"pretrain": folder, "bf16": False}
    try:
        config = RunConfig.model_validate({"model": model, "rollout": rollout})
        strategy = get_strategy(config)
        cache_gb = 0.05 if strategy.rank == 0 else 0.0002
        config = RunConfig.model_validate(
            {"model": model, "rollout": {**rollout, "engine_kv_cache_gb": cache_gb}}
        )
        source = load_source(config, strategy, print)
        start_engine(config, source, strategy)
        print(f"rank {strategy.rank} started", flush=True)
        strategy.barrier()
        time.sleep(60)
        return 0
    except BaseException as error:
        Path(run_dir, f"failed-{time.time()}").touch()
        return failure.report(error, Path(run_dir))


if __name__ == "__main__":
    leave(main())
