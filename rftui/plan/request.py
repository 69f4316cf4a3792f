"""What is asked of the planner: a configuration with open parameters, a model, a place, lengths to expect."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from engine.config import rules
from engine.config.choices import installed
from engine.config.load import Resolved
from engine.config.sections import RunConfig
from engine.findings import Finding
from engine.footprint.job import Job, Place
from engine.footprint.rollout import kv_capacity
from engine.footprint.shape import ModelShape
from engine.footprint.speed import Lengths
from engine.footprint.terms import Footprint
from rftui.plan.knobs import ENGINE, with_values
from rftui.plan.prediction import Memory


@dataclass(frozen=True)
class Request:
    """A run to plan. What `resolved.sources` names was given, and stays."""

    resolved: Resolved
    shape: ModelShape
    place: Place
    lengths: Lengths
    described: bool = False
    """The machine was described, not looked at: what is installed there is not known."""
    dataset_size: int | None = None
    """Training prompts, where known."""
    assumptions: tuple[str, ...] = ()
    memory: Memory = field(default_factory=Memory)

    @property
    def job(self) -> Job:
        """The run as it was given, all else at its defaults."""
        return Job(with_values(self.resolved.config, self.engine_there), self.shape, self.place)

    @property
    def engine_there(self) -> dict[str, Any]:
        """The rollout engine of a described machine, where none was asked for: vLLM."""
        open_there = self.described and not self.place.on_cpu and self.is_open(ENGINE)
        return {ENGINE: "vllm"} if open_there else {}

    @property
    def has_deepspeed(self) -> bool:
        return self.described or installed("deepspeed")

    def is_open(self, key: str) -> bool:
        """Whether no layer gave this parameter."""
        return key not in self.resolved.sources

    def footprint(self, job: Job) -> Footprint:
        """Memory of a job, corrected by what runs of its kind were measured to need."""
        return self.memory.footprint(job)

    def fits(self, job: Job, footprint: Footprint) -> bool:
        """Whether device and host have room for it, margin included, and the engine for a sequence."""
        return (
            footprint.peak <= self.place.free
            and footprint.host_bytes <= self.place.host_memory
            and kv_capacity(job).starts
        )

    def findings(self, config: RunConfig) -> list[Finding]:
        """What the rules say of a configuration here."""
        return rules.check(
            config,
            world_size=self.place.ranks,
            dataset_size=self.dataset_size,
            model_config=model_facts(self.shape),
            broken={"data.prompt_data", "reward.reward_rule", "reward.reward_fn"},
        )


def model_facts(shape: ModelShape) -> Mapping[str, Any]:
    """Of a model's `config.json`, what the rules look at."""
    return {
        "model_type": shape.family,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.kv_heads,
        "sliding_window": shape.window,
        "max_position_embeddings": shape.context,
    }
