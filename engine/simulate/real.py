"""The same training part on real ranks with real tensors, counted the same way; simulations answer to it."""

import time
from collections.abc import Mapping
from typing import Any

import msgspec
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from engine.config.choices import strategy_name
from engine.config.sections import RunConfig
from engine.models.attention import choose_attention
from engine.simulate.report import Simulation, settled
from engine.simulate.tracker import MemoryTracker
from engine.simulate.training import Observed, drive
from engine.strategy.fsdp2 import FSDP2Strategy


class _ObservedFSDP2(Observed, FSDP2Strategy):
    pass


def _strategy(config: RunConfig) -> Any:
    if strategy_name(config) == "fsdp2":
        return _ObservedFSDP2(config)
    from engine.strategy.deepspeed import DeepSpeedStrategy

    class ObservedDeepSpeed(Observed, DeepSpeedStrategy):
        pass

    return ObservedDeepSpeed(config)


class RandomSource:
    """Models with random weights, in the place of `engine.models.loading.ModelSource`."""

    name = "random"
    pad_token_id = 0

    def __init__(self, config: RunConfig, model_config: Any, device: torch.device) -> None:
        self.config = model_config
        self.attention = choose_attention(config, model_config, device)

    def load(self, dtype: torch.dtype) -> Any:
        """A new copy of the model, in host memory."""
        torch.manual_seed(0)
        return AutoModelForCausalLM.from_config(
            self.config, dtype=dtype, attn_implementation=self.attention.name
        )

    def outline(self, dtype: torch.dtype) -> Any:
        """The same on the meta device."""
        with torch.device("meta"):
            return self.load(dtype)


def measure_real(config: RunConfig, model_config: Mapping[str, Any]) -> Simulation:
    """Run the training part on this rank for real. Collective, where torchrun started several.

    `model_config` is a model's `config.json`, of a model that fits. On a CPU all memory is the device's, so
    in phase `load` the whole model counts, and everywhere the token ids and masks of the trainer. The process
    group stays up.
    """
    started = time.perf_counter()
    strategy = _strategy(config)
    model = dict(model_config)
    built = AutoConfig.for_model(model.pop("model_type"), **model)
    source = RandomSource(config, built, strategy.device)
    found = drive(config, source, strategy, MemoryTracker(), strategy.device.type)
    return msgspec.structs.replace(settled(found), seconds=round(time.perf_counter() - started, 1))
