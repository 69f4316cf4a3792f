"""Predicted memory of the training part against real ranks on this CPU: tiny models over gloo."""

import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from engine.config.load import layer_from_sets, resolve
from engine.footprint.devices import Device
from engine.footprint.job import Job, Place
from engine.footprint.model_config import shape_of
from engine.footprint.training import training_phases
from engine.simulate.report import Simulation
from tests.engine.ranks import run_ranks

ROOT = Path(__file__).resolve().parents[1]
PROGRAM = ROOT / "tests" / "engine" / "programs" / "measured_training.py"
MUCH = 10**15
MODEL = {
    "model_type": "qwen2",
    "hidden_size": 256,
    "intermediate_size": 768,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 4096,
    "tie_word_embeddings": False,
    "max_position_embeddings": 2048,
}
BATCH = (
    "rollout.max_len=256",
    "rollout.prompt_max_len=128",
    "batch.micro_train_batch_size=2",
    "batch.train_batch_size=16",
    "batch.rollout_batch_size=4",
)
RUNS: tuple[tuple[int, tuple[str, ...]], ...] = (
    (2, ("memory.gradient_checkpointing=true", "memory.fused_linear_logprob=true")),
    (1, ()),
    (2, ("parallel.zero_stage=2",)),
    (2, ()),
    (1, ("model.bf16=false",)),
    (2, ("memory.use_mp_opt=true", "memory.chunk_size=64")),
    (2, ("model.lora_rank=8",)),
    (2, ("memory.fsdp_cpu_offload=true",)),
    (2, ("parallel.zero_stage=1",)),
    (2, ("parallel.zero_stage=3", "memory.gradient_checkpointing=true")),
    (2, ("parallel.zero_stage=3", "model.lora_rank=8", "memory.gradient_checkpointing=true")),
    (4, ("parallel.fsdp_shard_size=2", "memory.gradient_checkpointing=true")),
)


@dataclass(frozen=True)
class Row:
    """Bytes of one rank at the worst moment of a phase."""

    ranks: int
    settings: str
    phase: str
    counted: int
    predicted: int

    @property
    def error(self) -> float:
        """Of the prediction, relative to what was counted."""
        return self.predicted / self.counted - 1


def rows(runs: Sequence[tuple[int, tuple[str, ...]]] = RUNS) -> Iterator[Row]:
    """Trains for two steps on real ranks, one run after another."""
    for ranks, sets in runs:
        counted = measure(MODEL, [*BATCH, *sets], ranks)
        words = ", ".join(s.partition(".")[2] for s in sets) or "–"
        for phase in training_phases(_job(ranks, sets)):
            yield Row(ranks, words, phase.phase, counted.phase(phase.phase).bytes, phase.bytes)


def _job(ranks: int, sets: Sequence[str]) -> Job:
    place = Place(Device("CPU", MUCH, None, None, kind="cpu"), ranks, ranks, 1, MUCH, MUCH)
    config = resolve([layer_from_sets([*BATCH, *sets])]).config
    return Job(config, shape_of(MODEL, "tiny"), place)


def measure(model: Mapping[str, Any], sets: Sequence[str], ranks: int) -> Simulation:
    """What the training part of a model (its config.json) holds on real ranks, as rank 0 counts it."""
    with tempfile.TemporaryDirectory() as folder:
        run_ranks(PROGRAM, folder, json.dumps(model), json.dumps({"run": list(sets)}), nproc=ranks)
        counted = (Path(folder) / "measured.json").read_bytes()
    return msgspec.json.decode(counted, type=dict[str, Simulation])["run"]
