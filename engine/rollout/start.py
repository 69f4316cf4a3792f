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
            from engine.rollout.vllm import start
        case "sglang":
            from engine.rollout.sglang import start
        case "hf":
            from engine.rollout.hf import start
    return start(config, source, strategy)
