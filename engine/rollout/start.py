"""Starts the rollout engine that the configuration asks for."""

from engine.config.choices import engine_name
from engine.config.sections import RunConfig
from engine.models.loading import ModelSource
from engine.rollout.base import RolloutEngine
from engine.strategy import Strategy


def start_engine(config: RunConfig, source: ModelSource, strategy: Strategy) -> RolloutEngine:
    """The rollout engine of this rank, in this process, awake. Collective.

    Raises FindingsError: its library is missing or not supported, it does not fit into memory, or it cannot
    run the model.
    """
    match engine_name(config):
        case "vllm":
            from engine.rollout import vllm

            return vllm.start(config, source, strategy)
        case "sglang":
            from engine.rollout import sglang

            return sglang.start(config, source, strategy)
        case "hf":
            from engine.rollout import hf

            return hf.start(config, source, strategy)
