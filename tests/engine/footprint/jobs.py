"""Jobs to predict: a model of the bundled table, devices by name, settings by section."""

from typing import Any

from engine.config.sections import RunConfig
from engine.footprint.catalog import find_model
from engine.footprint.devices import Device, find_device
from engine.footprint.job import Job, Place

GB, GIB = 10**9, 2**30
QWEN_7B = "Qwen/Qwen2.5-7B"
LLAMA_8B = "meta-llama/Llama-3.1-8B"
CPU = Device("cpu", 64 * GB, None, None, kind="cpu")


def place(device: str | Device = "A100-80", ranks: int = 8, per_node: int = 8, link: float = 50e9) -> Place:
    found = find_device(device) if isinstance(device, str) else device
    own = min(ranks, per_node)
    return Place(found, ranks, own, own if found.nvlink else 1, found.memory, 2 * 10**12, node_link=link)


def job(name: str = QWEN_7B, where: Place | None = None, **sections: dict[str, Any]) -> Job:
    """vLLM unless another engine is asked for."""
    rollout = {"engine_type": "vllm", **sections.pop("rollout", {})}
    config = RunConfig.model_validate({"rollout": rollout, **sections})
    return Job(config, find_model(name), where or place())
