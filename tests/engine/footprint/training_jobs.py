"""Jobs for tests of the training side's memory."""

from typing import Any

from engine.config.sections import RunConfig
from engine.footprint.devices import GIB, Device
from engine.footprint.job import Job, Place
from engine.footprint.shape import ModelShape

SHAPE = ModelShape("Qwen2.5-7B", "qwen2", 3584, 28, 28, 4, 128, 18944, 152064, qkv_bias=True)
SMALL = ModelShape("small", "llama", 256, 4, 8, 4, 32, 704, 4096)
GPU = Device("A100", 80 * GIB, 2e12, 312e12)
CPU = Device("CPU", 64 * GIB, None, None, kind="cpu")


def job(ranks: int = 8, shape: ModelShape = SHAPE, device: Device = GPU, **sections: dict[str, Any]) -> Job:
    """A run of `ranks` ranks, eight to a machine, with these settings by section."""
    place = Place(device, ranks, min(ranks, 8), min(ranks, 8), 79 * GIB, 10**12)
    sections = {"model": {"flash_attn": False}, **sections}
    return Job(RunConfig.model_validate(sections), shape, place)
