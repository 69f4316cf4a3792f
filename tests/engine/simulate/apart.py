"""Simulations in processes of their own that share one start of torch and transformers.

`engine.simulate.run.simulate` starts an interpreter each time, which is half of what a small one takes.
"""

import multiprocessing
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from typing import Any

from engine.config.sections import RunConfig
from engine.simulate.report import Simulation

_STARTED = multiprocessing.get_context("forkserver")
_STARTED.set_forkserver_preload(["engine.simulate.here"])


def simulate_apart(
    config: RunConfig, model_config: Mapping[str, Any], world_size: int, **options: Any
) -> Simulation:
    """See `engine.simulate.run.simulate`; what is wrong with a configuration is not found."""
    with ProcessPoolExecutor(1, mp_context=_STARTED) as pool:
        return pool.submit(_simulate, config, model_config, world_size, options).result()


def _simulate(
    config: RunConfig, model_config: Mapping[str, Any], world_size: int, options: dict[str, Any]
) -> Simulation:
    from engine.simulate.here import simulate_here

    return simulate_here(config, model_config, world_size, **options)
