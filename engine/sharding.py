"""Whole tensors of sharded ones."""

from typing import cast

from torch import Tensor
from torch.distributed.tensor import DTensor


def whole(tensor: Tensor) -> Tensor:
    """The full tensor, gathered on the device of its mesh, where the process group works; any other as it is.

    Collective for sharded tensors.
    """
    if not isinstance(tensor, DTensor):
        return tensor
    return cast(DTensor, tensor.to(tensor.device_mesh.device_type)).full_tensor()
