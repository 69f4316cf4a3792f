"""The training core: what runs on every rank.

`import engine` is instant; the names below are imported from their modules when first used.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from engine.config.flags import add_arguments
    from engine.config.sections import RunConfig
    from engine.session import fit
    from engine.strategy import get_strategy
    from engine.trainer import SPMDPPOTrainer
    from engine.trajectories import TrajectorySaver

__all__ = ["RunConfig", "SPMDPPOTrainer", "TrajectorySaver", "add_arguments", "fit", "get_strategy"]

_HOMES = {
    "RunConfig": "engine.config.sections",
    "SPMDPPOTrainer": "engine.trainer",
    "TrajectorySaver": "engine.trajectories",
    "add_arguments": "engine.config.flags",
    "fit": "engine.session",
    "get_strategy": "engine.strategy",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'engine' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
