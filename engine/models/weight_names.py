"""The policy's weights as a rollout engine wants them: names of Hugging Face checkpoints."""

from collections.abc import Iterable, Iterator

from torch import Tensor, nn

from engine.models.actor import Actor


def engine_weights(model: nn.Module, named: Iterable[tuple[str, Tensor]]) -> Iterator[tuple[str, Tensor]]:
    """Whole parameters of `model` under the names that its checkpoint on disk would have."""
    prefix = "model." if isinstance(model, Actor) else ""
    for name, tensor in named:
        yield name.removeprefix(prefix), tensor
