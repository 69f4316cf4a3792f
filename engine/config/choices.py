"""What a configuration leaves open and this machine decides: which strategy, which rollout engine.

Imports neither torch nor the libraries it looks for.
"""

from importlib.util import find_spec
from typing import Literal

from engine.config.sections import RunConfig

StrategyName = Literal["fsdp2", "deepspeed"]
EngineName = Literal["vllm", "sglang", "hf"]

DEFAULT_ZERO_STAGE = 2


def strategy_name(config: RunConfig) -> StrategyName:
    """`fsdp` where it is set; else DeepSpeed for a configuration with a `zero_stage`, FSDP2 without."""
    parallel = config.parallel
    if parallel.fsdp is not None:
        return "fsdp2" if parallel.fsdp else "deepspeed"
    return "fsdp2" if parallel.zero_stage is None else "deepspeed"


def zero_stage(config: RunConfig) -> int:
    """The ZeRO stage of a run with DeepSpeed."""
    return config.parallel.zero_stage or DEFAULT_ZERO_STAGE


def engine_name(config: RunConfig) -> EngineName:
    """`engine_type` where it is set; else vLLM where it is installed, transformers where not."""
    if config.rollout.engine_type is not None:
        return config.rollout.engine_type
    return "vllm" if installed("vllm") else "hf"


def installed(package: str) -> bool:
    """Whether a package could be imported, without importing it."""
    return find_spec(package) is not None


def choice_words(config: RunConfig) -> str:
    """Strategy and engine in words, saying what was chosen and why where the configuration did not."""
    strategy, engine = strategy_name(config), engine_name(config)
    how = "FSDP2" if strategy == "fsdp2" else f"DeepSpeed ZeRO {zero_stage(config)}"
    words = f"strategy {how}, rollout engine {engine}"
    if config.rollout.engine_type is None:
        reason = "it is installed" if engine == "vllm" else "vllm is not installed"
        words += f" (engine_type unset: {reason})"
    return words
