"""Predicted memory of the training part against simulated ranks.

Rows are model × strategy × recomputing × ranks. Run by itself it prints them as Markdown:

    python -m benchmarks.planner_training [--only WORD]
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from engine.config.load import layer_from_sets, resolve
from engine.config.sections import RunConfig
from engine.footprint.bundled import by_name
from engine.footprint.devices import GIB, find_device
from engine.footprint.job import Job, Place
from engine.footprint.model_config import shape_of
from engine.simulate.run import simulate

PHASES = ("logprob", "update", "step")
NEGLIGIBLE = 1 << 20
"""Bytes below which an error says nothing, such as the step's under CPU offload."""
LAYERS = 4
"""Simulated layers; the rest is on a line with them."""


@dataclass(frozen=True)
class Combination:
    """What is simulated: a bundled model, ranks, and settings besides `BATCH`."""

    model: str
    ranks: int
    sets: tuple[str, ...] = ()


@dataclass(frozen=True)
class Row:
    """Bytes at the worst moment of a phase on one rank, simulated and by the formulas."""

    combination: Combination
    phase: str
    simulated: int
    predicted: int
    moment: str
    seconds: float

    @property
    def error(self) -> float:
        """Of the prediction, relative to the simulation."""
        return self.predicted / self.simulated - 1


BATCH = (
    "model.flash_attn=false",
    "rollout.max_len=2048",
    "rollout.prompt_max_len=1024",
    "batch.train_batch_size=2048",
    "batch.rollout_batch_size=512",
)
_CHECKPOINTING = "memory.gradient_checkpointing=true"
_FUSED = ("memory.fused_linear_logprob=true", "memory.chunk_size=1024")

COMBINATIONS = (
    Combination("Qwen2.5-0.5B", 1),
    Combination("Qwen2.5-0.5B", 8, ("batch.micro_train_batch_size=4",)),
    Combination("Qwen2.5-0.5B", 8, ("batch.micro_train_batch_size=8", _CHECKPOINTING, *_FUSED)),
    Combination("Qwen2.5-0.5B", 4, ("memory.use_mp_opt=true", _CHECKPOINTING)),
    Combination("Qwen3-0.6B", 8, (_CHECKPOINTING, "batch.micro_train_batch_size=4")),
    Combination("Llama-3.2-1B", 8, (_CHECKPOINTING,)),
    Combination("Llama-3.2-1B", 16, ("memory.packing_samples=true", "batch.micro_train_batch_size=2")),
    Combination("Qwen2.5-1.5B", 2, ("model.lora_rank=32", _CHECKPOINTING)),
    Combination("Qwen2.5-1.5B", 64, ("parallel.sp_size=2", _CHECKPOINTING)),
    Combination("Qwen2.5-7B", 8, (_CHECKPOINTING, *_FUSED)),
    Combination("Qwen2.5-7B", 64, ()),
    Combination("Qwen2.5-7B", 16, ("parallel.fsdp_shard_size=8", _CHECKPOINTING)),
    Combination("Llama-3.1-8B", 8, ("memory.fsdp_cpu_offload=true", _CHECKPOINTING, *_FUSED)),
    Combination("Qwen2.5-7B", 512, ("memory.use_mp_opt=true", _CHECKPOINTING, *_FUSED)),
)


def rows(combinations: tuple[Combination, ...] = COMBINATIONS) -> Iterator[Row]:
    """Simulates one combination after another; each takes from half a minute to some minutes."""
    from engine.footprint.training import training_phases

    for combination in combinations:
        config = resolve([layer_from_sets([*BATCH, *combination.sets])]).config
        model = by_name()[combination.model.lower()][0].config
        found = simulate(config, model, combination.ranks, layers=LAYERS)
        predicted = {phase.phase: phase for phase in training_phases(_job(config, model, combination))}
        for phase in PHASES:
            bytes_ = found.phase(phase).bytes
            plan = predicted[phase]
            yield Row(combination, phase, bytes_, plan.allocated, plan.moment, found.seconds)


def table(found: list[Row]) -> str:
    """Rows as Markdown, GiB."""
    lines = [
        "| model | ranks | settings | phase | simulated GiB | predicted GiB | error |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in found:
        sets = ", ".join(s.partition(".")[2] for s in row.combination.sets) or "–"
        lines.append(
            f"| {row.combination.model} | {row.combination.ranks} | {sets} | {row.phase} | "
            f"{row.simulated / GIB:.3f} | {row.predicted / GIB:.3f} | {row.error:+.1%} |"
        )
    return "\n".join(lines)


def _job(config: RunConfig, model: dict[str, Any], combination: Combination) -> Job:
    device, ranks = find_device("H100"), combination.ranks
    per_node = min(ranks, 8)
    place = Place(device, ranks, per_node, per_node, device.memory, 10**12)
    return Job(config, shape_of(model, combination.model), place)


def main() -> None:
    """Print the table, or the part of it whose rows hold a word."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="combinations whose model or settings hold this")
    only = parser.parse_args().only
    chosen = tuple(c for c in COMBINATIONS if only in f"{c.model} {' '.join(c.sets)}")
    found = []
    for row in rows(chosen):
        found.append(row)
        print(table([row]).splitlines()[-1], f"({row.moment}; {row.seconds:.0f} s)", flush=True)
    worst = max(abs(row.error) for row in found if row.simulated > NEGLIGIBLE)
    print(f"{len(chosen)} combinations, worst error {worst:.1%}")


if __name__ == "__main__":
    main()
