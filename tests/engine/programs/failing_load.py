"""Rank 0 cannot load the model: every rank must say why, and none wait. Argument: model folder."""

import sys

from engine.build import build_models
from engine.config.sections import RunConfig
from engine.findings import FindingsError
from engine.leaving import leave
from engine.models.loading import load_source
from engine.schedule import plan_run
from engine.strategy import get_strategy


def main() -> None:
    config = RunConfig.model_validate({"model": {"pretrain": sys.argv[1]}})
    strategy = get_strategy(config)
    source = load_source(config, strategy, print)
    try:
        build_models(config, source, strategy, plan_run(config, 100))
    except FindingsError as error:
        said = [(finding.id, finding.evidence) for finding in error.findings]
        strategy.print(strategy.all_gather_objects((error.exit_code, said)))


if __name__ == "__main__":
    main()
    leave(0)
