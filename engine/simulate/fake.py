"""Operations on the absent device: shapes are computed, memory is counted, nothing else happens."""

from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.utils._pytree import tree_leaves, tree_map_only

from engine.simulate import accelerator
from engine.simulate.tracker import MemoryTracker

aten = torch.ops.aten


class FakeTracker(MemoryTracker):
    """Counts like its base. Tensors in host memory are real, and turn fake on their way to the device.

    Numbers that are read from the device are 1: there are none.
    """

    most_true: int = 1
    """How many elements of a mask on the device are taken to be true, where their number decides shapes."""

    def __init__(self) -> None:
        super().__init__()
        self.mode = FakeTensorMode(allow_non_fake_inputs=True)

    def run(self, func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
        fake = any(isinstance(leaf, FakeTensor) for leaf in tree_leaves((args, kwargs)))
        if fake and func is aten._local_scalar_dense.default:
            dtype = args[0].dtype
            return 1.0 if dtype.is_floating_point else dtype == torch.bool or 1
        if not fake and not _on_device(kwargs.get("device")):
            return func(*args, **kwargs)
        if func is aten.nonzero.default:
            mask = args[0]
            shape = (min(mask.numel(), FakeTracker.most_true), mask.dim())
            return self.run(aten.new_empty.default, (mask, shape), {"dtype": torch.int64})
        args, kwargs = tree_map_only(Tensor, self._fake, (args, kwargs))
        with self.mode:
            return func(*args, **kwargs)

    def _fake(self, tensor: Tensor) -> Tensor:
        # Here and not in the mode, which would compute with the values of real ones.
        return tensor if isinstance(tensor, FakeTensor) else self.mode.from_tensor(tensor)


def _on_device(device: Any) -> bool:
    return device is not None and torch.device(device).type == accelerator.NAME
