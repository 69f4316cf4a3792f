"""Optimizer steps whose sequences may be split over ranks; several cases in one start.

Arguments: a folder, and as JSON the configurations {"section": {"name": value}} by name. Rank 0 leaves
`NAME.pt` in the folder for each, with `metrics` by step, `weights`, the `logprobs` of all responses by the
reference model and as `old` ones in the update, the `tokens` in each row that each rank put through the
reference model, and how many were `counted` in updates.
"""

import json
import random
import sys
from pathlib import Path
from typing import Any

import torch

from engine.config.sections import RunConfig
from engine.data.experience import Experience, MicroBatch
from engine.leaving import leave
from engine.models.actor import Actor
from engine.models.loading import recompute_activations
from engine.models.logprob_pass import compute_logprobs
from engine.policy_update import PolicyUpdate
from engine.schedule import make_scheduler
from engine.strategy import Strategy, get_strategy
from tests.engine.tiny import tiny_model

STEPS = 3


def main() -> None:
    folder = Path(sys.argv[1])
    for name, given in json.loads(sys.argv[2]).items():
        strategy = get_strategy(run_config(given))
        result = run(strategy.config, strategy)
        if strategy.rank == 0:
            torch.save(result, folder / f"{name}.pt")


def run(config: RunConfig, strategy: Strategy) -> dict[str, Any]:
    actor = prepared_actor(config, strategy, trainable=True)
    reference = prepared_actor(config, strategy, trainable=False)
    optimizer = strategy.make_optimizer(actor, lr=config.optim.actor_learning_rate)
    scheduler = make_scheduler(optimizer, config.optim, STEPS)
    update = PolicyUpdate(config, strategy, actor, optimizer, scheduler, pad_token_id=0)
    tokens = count_tokens(reference)
    metrics, before, written = [], [], []
    for step in range(STEPS):
        everything = global_experiences(step)
        mine = everything[strategy.rank * len(everything) // strategy.world_size :]
        mine = mine[: len(everything) // strategy.world_size]
        rows = compute_logprobs(reference, mine, strategy, pad_token_id=0, micro_batch_size=4)
        for e, row in zip(mine, rows, strict=True):
            e.ref_logprobs = row
        metrics.append(update.step(mine, kl_coef=0.1))
        before += everyones(strategy, rows)
        written += everyones(strategy, [e.old_logprobs for e in mine])
    weights = {name: p.clone() for name, p in strategy.named_full_parameters(actor)}
    told = strategy.all_gather_objects(tokens)
    counted = strategy.all_reduce_number(update.forwarded_tokens, "sum")
    logprobs = {"reference": torch.cat(before), "old": torch.cat(written)}
    return {
        "metrics": metrics,
        "weights": weights,
        "logprobs": logprobs,
        "tokens": told,
        "counted": counted,
    }


def run_config(given: dict[str, dict[str, Any]]) -> RunConfig:
    sections: dict[str, dict[str, Any]] = {
        "model": {"bf16": False},
        "batch": {"micro_train_batch_size": 5},
        "rollout": {"prompt_max_len": 16, "max_len": 32},
        "algorithm": {"init_kl_coef": 0.1, "entropy_coef": 0.01},
        "optim": {"actor_learning_rate": 1e-3},
    }
    for section, values in given.items():
        sections.setdefault(section, {}).update(values)
    return RunConfig.model_validate(sections)


def prepared_actor(config: RunConfig, strategy: Strategy, *, trainable: bool) -> Actor:
    model = tiny_model()
    if config.memory.gradient_checkpointing:
        recompute_activations(model)
    actor = Actor(
        model,
        temperature=1.0,
        chunk_size=config.memory.chunk_size,
        fused=config.memory.fused_linear_logprob,
        packing=config.memory.packing_samples,
        sequence_group=strategy.sequence_group,
    )
    strategy.prepare_model(actor, trainable=trainable)
    return actor


def global_experiences(seed: int) -> list[Experience]:
    """Three responses each to four prompts, some of them of one token."""
    rng = random.Random(seed)
    made = []
    for _ in range(4):
        prompt = tuple(rng.randrange(61) for _ in range(rng.randint(1, 9)))
        for _ in range(3):
            length = rng.choice([1, rng.randint(2, 12)])
            ids = [rng.randrange(61) for _ in range(length)]
            e = Experience(prompt, ids, torch.full((length,), -4.0), truncated=False)
            e.advantages = torch.full((length,), rng.choice([-1.5, -0.5, 0.0, 0.7, 1.2]))
            made.append(e)
    return made


def count_tokens(actor: Actor) -> list[int]:
    """A list that gets the size of every row that `actor` puts through its model."""
    seen: list[int] = []
    scores = actor._scores

    def counted(batch: MicroBatch, entropy_grad: bool) -> tuple[torch.Tensor, torch.Tensor]:
        seen.append(batch.input_ids.numel())
        return scores(batch, entropy_grad)

    actor._scores = counted  # type: ignore[method-assign]
    return seen


def everyones(strategy: Strategy, rows: list[torch.Tensor]) -> list[torch.Tensor]:
    return [row for part in strategy.all_gather_objects(rows) for row in part]


if __name__ == "__main__":
    main()
    leave(0)
