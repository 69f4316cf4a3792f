"""Optimizer steps on a fixed global batch, however many ranks there are; rank 0 saves what came out.

Arguments: output file, and as JSON `Options`. The output has `metrics` by step, `weights` as a rollout engine
gets them, and `state`: all tensors that a checkpoint has, whole.
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
from engine.models.loading import recompute_activations
from engine.models.logprob_pass import compute_logprobs
from engine.policy_update import PolicyUpdate
from engine.schedule import continue_schedule, make_scheduler
from engine.sharding import whole
from engine.strategy import Strategy, get_strategy
from tests.engine.checkpoint.policies import manager
from tests.engine.tiny import tiny_model

GLOBAL_BATCH = 12
TOTAL_STEPS = 3


@dataclass
class Options:
    """What to train on, and how it is dealt to ranks and micro-batches."""

    micro: int
    budget: int = 0
    """Token budget of a micro-batch; 0: none."""
    how: str = "even"
    """How responses are dealt to ranks: `even` or `uneven`."""
    family: str = "qwen2"
    poisoned: int = -1
    """The step whose first response has an infinite advantage."""
    resume: str = ""
    """A checkpoint to go on from."""
    save: str = ""
    """The folder that gets a checkpoint after step `save_after`."""
    save_after: int = 1
    config: dict[str, dict[str, Any]] = field(default_factory=dict)


def main() -> None:
    output, options = sys.argv[1], Options(**json.loads(sys.argv[2]))
    config = run_config(options)
    strategy = get_strategy(config)
    model = tiny_model(options.family)
    if config.memory.gradient_checkpointing:
        recompute_activations(model)
    actor = Actor(model, temperature=1.0, chunk_size=config.memory.chunk_size)
    assert strategy.prepare_model(actor, trainable=True) is actor
    reference = Actor(tiny_model(options.family), temperature=1.0, chunk_size=4096)
    strategy.prepare_model(reference, trainable=False)
    optimizer = strategy.make_optimizer(actor, lr=config.optim.actor_learning_rate)
    scheduler = make_scheduler(optimizer, config.optim, TOTAL_STEPS)
    update = PolicyUpdate(config, strategy, actor, optimizer, scheduler, pad_token_id=0)
    first = 0
    if options.resume:
        state, _ = checkpoints(strategy, Path(options.resume).parent).load(
            Path(options.resume), actor, optimizer
        )
        first = state["step"]
        continue_schedule(scheduler, first)
    metrics = {}
    for step in range(first, TOTAL_STEPS):
        mine = share(global_experiences(step), options.how, strategy.rank, strategy.world_size)
        if step == options.poisoned and strategy.rank == 0:
            mine[0].advantages = torch.full((len(mine[0].response_ids),), float("inf"))
        rows = compute_logprobs(reference, mine, strategy, pad_token_id=0, micro_batch_size=2)
        for e, row in zip(mine, rows, strict=True):
            e.ref_logprobs = row
        sharded = [isinstance(p, DTensor) for p in reference.parameters()]
        assert all(sharded) or strategy.world_size == 1, "the reference model's weights stay whole"
        strategy.maybe_load_optimizer(optimizer)
        metrics[step] = update.step(mine, kl_coef=0.1)
        strategy.maybe_offload_optimizer(optimizer)
        if options.save and step + 1 == options.save_after:
            made = checkpoints(strategy, Path(options.save))
            assert made.save(step + 1, actor, optimizer, {"step": step + 1}, {})
    weights = {name: p.clone() for name, p in strategy.named_full_parameters(actor)}
    tensors = strategy.checkpoint_access.tensors(actor, optimizer)
    state = {name: whole(tensor).clone() for name, tensor in tensors.items()}
    if strategy.rank == 0:
        torch.save({"metrics": metrics, "weights": weights, "state": state}, output)


def run_config(options: Options) -> RunConfig:
    sections: dict[str, dict[str, Any]] = {
        "model": {"bf16": False},
        "batch": {
            "micro_train_batch_size": options.micro,
            "max_tokens_per_micro_batch": options.budget or None,
        },
        "rollout": {"prompt_max_len": 16, "max_len": 32},
        "algorithm": {"init_kl_coef": 0.1},
        "optim": {"actor_learning_rate": 1e-3, "l2": 0.1},
    }
    for section, values in options.config.items():
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
    return experiences[:1] if rank == 0 else experiences[1:]


def checkpoints(strategy: Strategy, root: Path) -> CheckpointManager:
    ranks = {"rank": strategy.rank, "world_size": strategy.world_size}
    return manager(root, access=strategy.checkpoint_access, **ranks)


if __name__ == "__main__":
    main()
    leave(0)
