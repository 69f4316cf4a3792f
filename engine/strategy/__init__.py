"""How a model is spread over ranks. `get_strategy(config)` chooses; the trainer knows only the base class."""

from engine.config.sections import RunConfig
from engine.strategy.base import Strategy
from engine.strategy.fsdp2 import FSDP2Strategy

__all__ = ["FSDP2Strategy", "Strategy", "get_strategy"]


def get_strategy(config: RunConfig) -> Strategy:
    """The strategy the configuration asks for, with its process group up. FSDP2 is the one built so far."""
    return FSDP2Strategy(config)
