"""`plan.json` of a run: what was planned and predicted for it, to be held against what is measured."""

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import msgspec

from engine.footprint.terms import Footprint
from rftui.runs.info import write_atomic
from rftui.runs.rundir import RunDir

if TYPE_CHECKING:
    from engine.footprint.job import Job

SETTINGS = (
    "model.bf16",
    "model.lora_rank",
    "model.flash_attn",
    "rollout.enable_engine_sleep",
    "memory.gradient_checkpointing",
    "memory.fsdp_cpu_offload",
    "memory.adam_offload",
    "memory.use_mp_opt",
    "memory.packing_samples",
    "memory.fused_linear_logprob",
)
"""What decides which formulas apply; runs that agree in these are measured alike."""


class Subject(msgspec.Struct, frozen=True):
    """What a prediction is of: model family, device, and the settings that decide its formulas."""

    family: str
    device: str
    strategy: str
    engine: str
    settings: dict[str, Any]


class Planned(msgspec.Struct, frozen=True):
    """The contents of `plan.json`. `chosen` and `reasons` are of the parameters that the planner set."""

    subject: Subject
    model: str
    params: int
    ranks: int
    footprint: Footprint
    iteration_seconds: float | None = None
    chosen: dict[str, Any] = {}
    reasons: dict[str, str] = {}
    held_by_others: int = 0
    """Bytes of a device that other processes held when the run was planned."""
    corrected: str = ""
    """Which measurements corrected the prediction, in words."""


def subject_of(job: "Job") -> Subject:
    """What measurements of this job may be compared with."""
    from engine.config.choices import zero_stage  # readers of plan.json do without the configuration
    from engine.config.registry import value_of

    how = job.strategy if job.strategy == "fsdp2" else f"zero{zero_stage(job.config)}"
    settings = {key: value_of(job.config, key) for key in SETTINGS}
    settings["model.lora_rank"] = bool(settings["model.lora_rank"])
    return Subject(job.shape.family, job.place.device.name, how, job.engine, settings)


def write(run: RunDir, planned: Planned) -> None:
    """Write `plan.json`."""
    write_atomic(run.plan_path, msgspec.json.encode(planned))


def read(run: RunDir) -> Planned | None:
    """What was planned for a run; None where nothing was, or what stands there cannot be read."""
    with suppress(OSError, msgspec.DecodeError):
        return msgspec.json.decode(run.plan_path.read_bytes(), type=Planned)
    return None
