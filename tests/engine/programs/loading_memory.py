"""Host memory of each rank while the policy is loaded and sharded. Argument: model folder.

Rank 0 prints, as JSON, by how many bytes each rank has grown at its peak.
"""

import json
import resource
import sys

import psutil

from engine.build import build_models
from engine.config.sections import RunConfig
from engine.leaving import leave
from engine.models.loading import load_source
from engine.schedule import plan_run
from engine.strategy import get_strategy


def main() -> None:
    config = RunConfig.model_validate({"model": {"pretrain": sys.argv[1]}, "algorithm": {"init_kl_coef": 0}})
    strategy = get_strategy(config)
    source = load_source(config, strategy, print)
    before = psutil.Process().memory_info().rss
    build_models(config, source, strategy, plan_run(config, 100))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    strategy.print(json.dumps(strategy.all_gather_objects(peak - before)))


if __name__ == "__main__":
    main()
    leave(0)
