"""Optimizer steps on a fixed global batch, however many ranks there are; several cases in one start.

Arguments: a folder, and as JSON the `Case` of each name. Rank 0 leaves `NAME.pt` in the folder with `metrics`
by step, `weights` as a rollout engine gets them, and `state`: all tensors of a checkpoint, whole.
"""

import json
import random
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch.distributed.tensor import DTensor

from engine.checkpoint.manager import CheckpointManager
from engine.config.sections import RunConfig
from engine.data.experience import Experience
from engine.leaving import leave
from engine.models.actor import Actor
from engine.models.compile import compile_layers
from engine.models.loading import recompute_activations
from engine.models.logprob_pass import compute_logprobs
from engine.models.lora import add_adapters
from engine.models.weight_names import engine_weights
from engine.policy_update import PolicyUpdate
from engine.schedule import continue_schedule, make_scheduler
from engine.sharding import whole
from engine.strategy import Strategy, get_strategy
from tests.engine.checkpoint.policies import manager
from tests.engine.tiny import tiny_model

GLOBAL_BATCH = 12
TOTAL_STEPS = 3


@dataclass
class Case:
    """A configuration, and how the batch is dealt to ranks and micro-batches."""

    micro: int = 2
    budget: int = 0
    """Token budget of a micro-batch; 0: none."""
    how: str = "even"
    """How responses are dealt to ranks: `even` or `uneven`."""
    family: str = "qwen2"
    until: int = TOTAL_STEPS
    poisoned: int = -1
    """The step whose first response has an infinite advantage."""
    level: int = -1
    """The step whose advantages are all 0: in the first one, so is every gradient."""
    resume: str = ""
    """A checkpoint to go on from."""
    save: str = ""
    """A folder that gets a checkpoint after the first step."""
    config: dict[str, dict[str, Any]] = field(default_factory=dict)


def main() -> None:
    folder = Path(sys.argv[1])
    for name, options in json.loads(sys.argv[2]).items():
        case = Case(**options)
        strategy = get_strategy(run_config(case))
        result = run(case, strategy)
        if strategy.rank == 0:
            torch.save(result, folder / f"{name}.pt")


def run(case: Case, strategy: Strategy) -> dict[str, Any]:
    config = strategy.config
    model = tiny_model(case.family)
    if config.memory.gradient_checkpointing:
        recompute_activations(model)
    memory = config.memory
    actor = Actor(model, temperature=1.0, chunk_size=memory.chunk_size, fused=memory.fused_linear_logprob)
    if config.model.lora_rank > 0:
        add_adapters(model.to(strategy.compute_dtype), config.model, base="tiny", seed=0)
    if config.model.torch_compile:
        compile_layers(actor)
    assert strategy.prepare_model(actor, trainable=True) is actor
    reference = Actor(tiny_model(case.family), temperature=1.0, chunk_size=4096)
    strategy.prepare_model(reference, trainable=False)
    sharded = [isinstance(p, DTensor) for p in reference.parameters()]
    assert all(sharded) or strategy.world_size == 1, "the reference model's weights stay whole"
    optimizer = strategy.make_optimizer(actor, lr=config.optim.actor_learning_rate)
    scheduler = make_scheduler(optimizer, config.optim, TOTAL_STEPS)
    update = PolicyUpdate(config, strategy, actor, optimizer, scheduler, pad_token_id=0)
    first = 0
    if case.resume:
        path = Path(case.resume)
        first = checkpoints(strategy, path.parent).load(path, actor, optimizer)[0]["step"]
        continue_schedule(scheduler, first)
        strategy.maybe_offload_optimizer(optimizer)
    metrics = {}
    for step in range(first, case.until):
        mine = share(global_experiences(step), case.how, strategy.rank, strategy.world_size)
        if step == case.poisoned and strategy.rank == 0:
            mine[0].advantages = torch.full((len(mine[0].response_ids),), float("inf"))
        for e in mine if step == case.level else ():
            e.advantages = torch.zeros(len(e.response_ids))
        rows = compute_logprobs(reference, mine, strategy, pad_token_id=0, micro_batch_size=2)
        for e, row in zip(mine, rows, strict=True):
            e.ref_logprobs = row
        strategy.maybe_load_optimizer(optimizer)
        metrics[step] = update.step(mine, kl_coef=0.1)
        strategy.maybe_offload_optimizer(optimizer)
        if case.save and step == 0:
            assert checkpoints(strategy, Path(case.save)).save(1, actor, optimizer, {"step": 1}, {})
    named = strategy.named_full_parameters(actor)
    weights = {name: p.clone() for name, p in engine_weights(actor, named, on_disk=True)}
    tensors = strategy.checkpoint_access.tensors(actor, optimizer)
    state = {name: whole(tensor).clone() for name, tensor in tensors.items()}
    graphs = torch._dynamo.utils.counters["stats"]["unique_graphs"] if config.model.torch_compile else 0
    return {"metrics": metrics, "weights": weights, "state": state, "compiled graphs": graphs}


def run_config(case: Case) -> RunConfig:
    sections: dict[str, dict[str, Any]] = {
        "model": {"bf16": False},
        "batch": {
            "micro_train_batch_size": case.micro,
            "max_tokens_per_micro_batch": case.budget or None,
        },
        "rollout": {"prompt_max_len": 16, "max_len": 32},
        "algorithm": {"init_kl_coef": 0.1},
        "optim": {"actor_learning_rate": 1e-3, "l2": 0.1},
    }
    for section, values in case.config.items():
        sections.setdefault(section, {}).update(values)
    return RunConfig.model_validate(sections)


def global_experiences(seed: int) -> list[Experience]:
    rng = random.Random(seed)
    made = []
    for i in range(GLOBAL_BATCH):
        length = rng.randint(1, 12)
        e = Experience(
            prompt_ids=tuple(rng.randrange(61) for _ in range(rng.randint(1, 9))),
            response_ids=[rng.randrange(61) for _ in range(length)],
            engine_logprobs=torch.full((length,), -4.0),
            truncated=False,
        )
        e.advantages = torch.full((length,), rng.choice([-1.5, -0.5, 0.0, 0.7, 1.2]) + 0.01 * i)
        made.append(e)
    return made


def share(experiences: list[Experience], how: str, rank: int, world: int) -> list[Experience]:
    if world == 1 or how == "even":
        return experiences[rank::world]
    return experiences[:1] if rank == 0 else experiences[rank :: world - 1]


def checkpoints(strategy: Strategy, root: Path) -> CheckpointManager:
    ranks = {"rank": strategy.rank, "world_size": strategy.world_size}
    return manager(root, access=strategy.checkpoint_access, **ranks)


if __name__ == "__main__":
    main()
    leave(0)
