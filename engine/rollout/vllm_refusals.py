"""Why vLLM did not start, in the words of our settings: its exceptions are known by their texts."""

import math
import re

import torch

from engine.config.sections import RolloutSection
from engine.findings import Finding, Fix

TOO_LONG = re.compile(r"max_model_len \((\d+)\) is greater than the derived max_model_len \(\S*?(\d+)")
CACHE_TOO_SMALL = re.compile(
    r"max seq len \((\d+)\), \(([\d.]+) GiB KV cache is needed.*?memory \(([\d.]+) GiB\)", re.S
)
LONGEST = re.compile(r"estimated maximum model length is (\d+)")
TOO_LITTLE_FREE = re.compile(r"\(([\d.]+)/([\d.]+) GiB\) on (?:startup|kv cache allocation) is less than")
NO_CACHE = re.compile(r"No available memory for the cache blocks")
ALLOCATION = re.compile(r"out of memory|can't allocate memory", re.I)


def explain(error: Exception, rollout: RolloutSection, device: torch.device) -> Finding | None:
    """The finding for an exception of engine start-up; None for one that is no user's mistake."""
    text = str(error)
    if match := TOO_LONG.search(text):
        return _beyond_context(int(match[2]), rollout)
    by_size = rollout.engine_kv_cache_gb is not None or device.type == "cpu"
    if match := CACHE_TOO_SMALL.search(text):
        needed, there = float(match[2]), float(match[3])
        words = f"the KV cache of one sequence takes {needed:g} GiB, {there:g} GiB are there"
        more = _larger_cache(needed) if by_size else _larger_share(rollout)
        longest = LONGEST.search(text)
        shorter = _shorter(int(longest[1]) if longest else None)
        return _out_of_memory(words, rollout, text, more, shorter, _more_ranks(rollout))
    if match := TOO_LITTLE_FREE.search(text):
        free, total = float(match[1]), float(match[2])
        words = f"only {free:g} of {total:g} GiB are free"
        less = _smaller_cache(free) if by_size else _smaller_share(free / total)
        return _out_of_memory(words, rollout, text, less, Fix("Free the device of other processes."))
    if NO_CACHE.search(text):
        return _out_of_memory(
            "weights and activations leave nothing for the KV cache",
            rollout, text, _larger_share(rollout), _more_ranks(rollout), _shorter(None),
        )  # fmt: skip
    if isinstance(error, torch.OutOfMemoryError) or ALLOCATION.search(text):
        return _out_of_memory(
            "an allocation failed",
            rollout, text, _more_ranks(rollout), _smaller_share(rollout.engine_mem_util / 2), _shorter(None),
        )  # fmt: skip
    on_cpu_in_fp8 = (
        device.type == "cpu" and rollout.engine_quantization is not None
    )  # its kernels are not there
    if on_cpu_in_fp8 or isinstance(error, ValueError | NotImplementedError):
        return _unsupported(text, rollout)
    return None


def not_importable(version: str, error: Exception) -> Finding:
    """The finding for a vLLM that is installed, but for another torch or without a library it needs."""
    return Finding(
        id="environment.not-importable",
        severity="error",
        cause=f"vllm {version} is installed, but cannot be imported: {type(error).__name__}",
        evidence=_first_lines(str(error)),
        fixes=(
            Fix("Install a vllm that was built for this torch.", command="pip install 'rftui[vllm]'"),
            Fix("Sample with transformers.", set={"rollout.engine_type": "hf"}),
        ),
        param="rollout.engine_type",
    )


def _out_of_memory(words: str, rollout: RolloutSection, text: str, *fixes: Fix) -> Finding:
    settings = f"engine_mem_util = {rollout.engine_mem_util:g}, max_len = {rollout.max_len}, " + (
        f"engine_tp_size = {rollout.engine_tp_size}, engine_kv_cache_gb = {rollout.engine_kv_cache_gb}"
    )
    return Finding(
        id="engine.out-of-memory",
        severity="error",
        cause=f"the vllm rollout engine does not fit into memory: {words} ({settings})",
        evidence=_first_lines(text),
        fixes=fixes,
        param="rollout.engine_mem_util",
    )


def _beyond_context(longest: int, rollout: RolloutSection) -> Finding:
    return Finding(
        id="engine.beyond-context",
        severity="error",
        cause=f"max_len = {rollout.max_len}, but the model has {longest} positions, and vllm runs no further",
        fixes=(Fix(f"Set max_len to at most {longest}.", set={"rollout.max_len": longest}),),
        param="rollout.max_len",
    )


def _unsupported(text: str, rollout: RolloutSection) -> Finding:
    quantization = rollout.engine_quantization
    plain = Fix("Keep the engine's weights as they are.", set={"rollout.engine_quantization": None})
    return Finding(
        id="engine.unsupported-model",
        severity="error",
        cause="vllm cannot run this model"
        + (f" with engine_quantization = {quantization}" if quantization else ""),
        evidence=_first_lines(text),
        fixes=(
            *((plain,) if quantization else ()),
            Fix("Sample with transformers.", set={"rollout.engine_type": "hf"}),
        ),
        param="rollout.engine_type",
    )


def _larger_cache(needed: float) -> Fix:
    size = math.ceil(needed * 100) / 100
    return Fix(f"Give the KV cache {size:g} GiB or more.", set={"rollout.engine_kv_cache_gb": size})


def _smaller_cache(free: float) -> Fix:
    size = max(math.floor(free * 50) / 100, 0.01)
    return Fix("Give the KV cache half of what is free.", set={"rollout.engine_kv_cache_gb": size})


def _larger_share(rollout: RolloutSection) -> Fix:
    share = min(round(rollout.engine_mem_util + 0.2, 2), 0.95)
    return Fix("Give the engine a larger share of the device.", set={"rollout.engine_mem_util": share})


def _smaller_share(at_most: float) -> Fix:
    share = max(math.floor(at_most * 100) / 100, 0.01)
    return Fix("Give the engine a smaller share of the device.", set={"rollout.engine_mem_util": share})


def _shorter(longest: int | None) -> Fix:
    if longest:
        return Fix(f"Set max_len to at most {longest}.", set={"rollout.max_len": longest})
    return Fix("Set max_len to what the task needs.")


def _more_ranks(rollout: RolloutSection) -> Fix:
    size = 2 * rollout.engine_tp_size
    return Fix("Spread each engine over more ranks.", set={"rollout.engine_tp_size": size})


def _first_lines(text: str) -> tuple[str, ...]:
    return tuple(line.strip() for line in text.strip().splitlines()[:4])
