"""Simulates in this process, which afterwards is good for nothing else: see `engine.simulate.run`."""

import copy
import time
import warnings
from collections.abc import Mapping
from typing import Any

import msgspec
import torch
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.initialization import no_init_weights

from engine.config.sections import RunConfig
from engine.models.attention import choose_attention
from engine.simulate import accelerator, ranks, stand_ins
from engine.simulate.fake import FakeTracker
from engine.simulate.report import Simulation, extrapolated, settled
from engine.simulate.training import Observed, drive
from engine.strategy.fsdp2 import FSDP2Strategy


class SimulatedFSDP2(ranks.AllAlike, Observed, FSDP2Strategy):
    """FSDP2 among ranks that are not there."""


class FakeSource:
    """Models that have shapes and no memory, in the place of `engine.models.loading.ModelSource`."""

    name = "simulated"
    pad_token_id = 0

    def __init__(self, config: RunConfig, model_config: Any, tracker: FakeTracker) -> None:
        self.config = model_config
        self.tracker = tracker
        self.attention = choose_attention(config, model_config, torch.device("cpu"))

    def load(self, dtype: torch.dtype) -> Any:
        """A new copy of the model, in host memory."""
        with self.tracker.paused(), self.tracker.mode, no_init_weights():
            model = AutoModelForCausalLM.from_config(
                self.config, dtype=dtype, attn_implementation=self.attention.name
            )
            model.tie_weights()
        self.tracker.see([*model.parameters(), *model.buffers()])
        return model


def simulate_here(
    config: RunConfig,
    model_config: Mapping[str, Any],
    world_size: int,
    like: stand_ins.Kind = "cuda",
    layers: int | None = None,
) -> Simulation:
    """See `engine.simulate.run.simulate`."""
    started = time.perf_counter()
    warnings.filterwarnings("ignore")
    device = accelerator.register()
    ranks.join(world_size, device)
    stand_ins.install(like)
    model = dict(model_config)
    built = AutoConfig.for_model(model.pop("model_type"), **model)
    full = built.get_text_config().num_hidden_layers
    if layers is None or layers >= full:
        found = _simulate(config, built)
    else:
        few, more = (_simulate(config, _cut(built, n)) for n in (max(1, layers // 2), layers))
        found = extrapolated(few, more, full)
    return msgspec.structs.replace(settled(found), seconds=round(time.perf_counter() - started, 1))


def _simulate(config: RunConfig, model_config: Any) -> Simulation:
    tracker = FakeTracker()
    source = FakeSource(config, model_config, tracker)
    return drive(config, source, SimulatedFSDP2(config), tracker, accelerator.NAME)


def _cut(model_config: Any, layers: int) -> Any:
    cut = copy.deepcopy(model_config)
    text = cut.get_text_config()
    text.num_hidden_layers = layers
    if getattr(text, "layer_types", None):
        text.layer_types = text.layer_types[:layers]
    return cut
