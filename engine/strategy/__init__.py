"""How a model is spread over ranks. `get_strategy(config)` chooses; the trainer knows only the base class."""

from engine.config.choices import strategy_name
from engine.config.sections import RunConfig
from engine.strategy.base import Strategy

__all__ = ["Strategy", "get_strategy"]


def get_strategy(config: RunConfig) -> Strategy:
    """The strategy that the configuration asks for, with its process group up.

    Raises FindingsError where its library is missing or of a version that is not supported.
    """
    if strategy_name(config) == "deepspeed":
        from engine.strategy.deepspeed import DeepSpeedStrategy

        return DeepSpeedStrategy(config)
    from engine.strategy.fsdp2 import FSDP2Strategy

    return FSDP2Strategy(config)
