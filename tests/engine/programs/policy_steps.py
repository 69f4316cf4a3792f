"""Three optimizer steps on a fixed global batch, however many ranks there are; rank 0 saves what came out.

Arguments: output file, micro-batch size, token budget (0: none), how responses are dealt to ranks
(`even` or `uneven`), extra configuration as JSON {"section": {"name": value}}.
"""

import json
import random
import sys

import torch
from torch.distributed.tensor import DTensor

from engine.config.sections import RunConfig
from engine.data.experience import Experience
from engine.leaving import leave
from engine.models.actor import Actor
from engine.models.loading import recompute_activations
from engine.models.logprob_pass import compute_logprobs
from engine.policy_update import PolicyUpdate
from engine.schedule import make_scheduler
from engine.strategy import get_strategy
from tests.engine.tiny import tiny_model

GLOBAL_BATCH = 12


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


def main() -> None:
    output, micro, budget, how, extra = sys.argv[1:]
    batch = {"micro_train_batch_size": int(micro), "max_tokens_per_micro_batch": int(budget) or None}
    sections = {
        "model": {"bf16": False},
        "batch": batch,
        "rollout": {"prompt_max_len": 16, "max_len": 32},
        "algorithm": {"init_kl_coef": 0.1},
        "optim": {"actor_learning_rate": 1e-3},
    }
    for section, values in json.loads(extra).items():
        sections.setdefault(section, {}).update(values)
    config = RunConfig.model_validate(sections)
    strategy = get_strategy(config)
    model = tiny_model()
    if config.memory.gradient_checkpointing:
        recompute_activations(model)
    memory = config.memory
    actor = Actor(model, temperature=1.0, chunk_size=memory.chunk_size, fused=memory.fused_linear_logprob)
    strategy.prepare_model(actor, trainable=True)
    reference = Actor(tiny_model(), temperature=1.0, chunk_size=4096)
    strategy.prepare_model(reference, trainable=False)
    optimizer = torch.optim.AdamW(actor.parameters(), lr=config.optim.actor_learning_rate)
    update = PolicyUpdate(
        config, strategy, actor, optimizer, make_scheduler(optimizer, config.optim, 3), pad_token_id=0
    )
    metrics = []
    for step in range(3):
        mine = share(global_experiences(step), how, strategy.rank, strategy.world_size)
        rows = compute_logprobs(reference, mine, strategy, pad_token_id=0, micro_batch_size=2)
        for e, row in zip(mine, rows, strict=True):
            e.ref_logprobs = row
        sharded = [isinstance(p, DTensor) for p in reference.parameters()]
        assert all(sharded) or strategy.world_size == 1, "the reference model's weights stay whole"
        metrics.append(update.step(mine, kl_coef=0.1))
    weights = {name: p.clone() for name, p in strategy.named_full_parameters(actor)}
    if strategy.rank == 0:
        torch.save({"metrics": metrics, "weights": weights}, output)


if __name__ == "__main__":
    main()
    leave(0)
