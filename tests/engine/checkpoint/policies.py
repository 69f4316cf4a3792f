"""A tiny policy that is trained for a few steps, for tests of checkpoints."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from engine.checkpoint.manager import CheckpointManager
from engine.data.experience import Experience, MicroBatch, collate
from engine.models.actor import Actor
from engine.toy.tokenizer import build_tokenizer
from tests.engine.tiny import tiny_model


def tiny_actor(family: str = "qwen2", seed: int = 0) -> Actor:
    return Actor(tiny_model(family, seed), temperature=1.0, chunk_size=64)


def adamw(actor: nn.Module) -> torch.optim.AdamW:
    return torch.optim.AdamW(actor.parameters(), lr=1e-2, weight_decay=0.1)


def batch(seed: int) -> MicroBatch:
    """Two responses of five tokens, the same on every rank."""
    tokens = torch.randint(0, 61, (2, 8), generator=torch.Generator().manual_seed(seed)).tolist()
    experiences = [Experience(tuple(t[:3]), t[3:], torch.zeros(5), truncated=False) for t in tokens]
    return collate(experiences, 0, torch.device("cpu"), share_prompts=True)


def train(actor: nn.Module, optimizer: torch.optim.Optimizer, steps: range) -> None:
    """One optimizer step on the batch of each step number."""
    for step in steps:
        logprobs, _ = actor(batch(step))
        (-logprobs.mean()).backward()
        optimizer.step()
        optimizer.zero_grad()


def moments(actor: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimizer's state, whole. Collective if sharded."""
    return {
        f"{name}.{moment}": _whole(value)
        for name, parameter in actor.named_parameters()
        for moment, value in optimizer.state[parameter].items()
    }


def weights(model: nn.Module) -> dict[str, Tensor]:
    """The parameters, whole. Collective if sharded."""
    return {name: _whole(parameter.detach()) for name, parameter in model.named_parameters()}


def _whole(tensor: Tensor) -> Tensor:
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor.clone()


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


class Assets:
    """Writes what stands beside the weights of a tiny model."""

    def __init__(self, family: str = "qwen2") -> None:
        self.model = tiny_model(family)

    def __call__(self, folder: Path) -> None:
        self.model.config.save_pretrained(folder)
        build_tokenizer().save_pretrained(folder)


def manager(
    root: Path, events: list[dict[str, Any]] | None = None, *, family: str = "qwen2", **settings: Any
) -> CheckpointManager:
    defaults = {"max_num": 3, "max_gb": 1.0, "rank": 0, "world_size": 1}
    seen = events if events is not None else []
    return CheckpointManager(
        root,
        on_event=lambda **fields: seen.append(fields),
        hf_assets=Assets(family),
        **{**defaults, **settings},
    )


def save(
    made: CheckpointManager, step: int, actor: nn.Module, optimizer: torch.optim.Optimizer
) -> Path | None:
    """A save with no state worth mentioning."""
    return made.save(step, actor, optimizer, {"step": step}, {"rank": made.rank})
