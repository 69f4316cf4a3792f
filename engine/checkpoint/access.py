"""How a checkpoint reaches the tensors of a model and its optimizer: one way per strategy."""

from collections.abc import Callable, Iterator, Mapping
from typing import Protocol

from torch import Tensor, nn
from torch.distributed.checkpoint.metadata import TensorStorageMetadata
from torch.optim import Optimizer

from engine.checkpoint.tensors import allocate_moments, checkpoint_tensors, model_tensors
from engine.sharding import whole


class TensorAccess(Protocol):
    """Names are those of `engine.checkpoint.tensors`. Every method is collective.

    Of a model with adapters, `tensors` and `fill` are about these alone, the others about all weights.
    """

    def tensors(self, model: nn.Module, optimizer: Optimizer) -> dict[str, Tensor]:
        """All that torch DCP saves: weights and moments, sharded ones as DTensors."""
        ...

    def fill(
        self,
        model: nn.Module,
        optimizer: Optimizer,
        saved: Mapping[str, TensorStorageMetadata],
        read: Callable[[dict[str, Tensor]], None],
    ) -> None:
        """Fill model and optimizer; `read` fills the tensors it is given in place."""
        ...

    def weight_shapes(self, model: nn.Module) -> dict[str, Tensor]:
        """The model's weights by name; only shape and dtype of the tensors count."""
        ...

    def whole_weights(self, model: nn.Module) -> Iterator[tuple[str, Tensor]]:
        """The same weights whole, in the same order, one at a time."""
        ...


class InPlace:
    """Tensors that live in the model and the optimizer themselves: one process, or FSDP2."""

    def tensors(self, model: nn.Module, optimizer: Optimizer) -> dict[str, Tensor]:
        return checkpoint_tensors(model, optimizer)

    def fill(
        self,
        model: nn.Module,
        optimizer: Optimizer,
        saved: Mapping[str, TensorStorageMetadata],
        read: Callable[[dict[str, Tensor]], None],
    ) -> None:
        allocate_moments(model, optimizer, saved)
        read(checkpoint_tensors(model, optimizer))

    def weight_shapes(self, model: nn.Module) -> dict[str, Tensor]:
        return model_tensors(model)

    def whole_weights(self, model: nn.Module) -> Iterator[tuple[str, Tensor]]:
        for name, tensor in model_tensors(model).items():
            yield name, whole(tensor)
