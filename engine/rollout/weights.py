"""Copying the trainer's weights into an engine's model."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

ROWS = 64
"""Rows copied at once into a matrix stored by columns: they stay in the cache while they are turned."""


@torch.no_grad()
def copy_weights(model: nn.Module, named: Iterable[tuple[str, Tensor]]) -> None:
    """Copy full tensors into all parameters of `model` in place, converting dtype and device.

    `named` is consumed one by one. One name of a tied group is enough. Raises ValueError naming all unknown,
    missing and misshapen parameters at once; the weights are then undefined.
    """
    parameters = dict(model.named_parameters(remove_duplicate=False))
    missing = {id(parameter) for parameter in parameters.values()}
    problems = []
    for name, tensor in named:
        parameter = parameters.get(name)
        if parameter is None:
            problems.append(f"unknown parameter {name}")
            continue
        missing.discard(id(parameter))
        if parameter.shape == tensor.shape:
            _copy(parameter, tensor)
        else:
            problems.append(f"{name} is {tuple(tensor.shape)}, expected {tuple(parameter.shape)}")
    problems += [f"missing parameter {name}" for name, p in model.named_parameters() if id(p) in missing]
    if problems:
        raise ValueError("weights do not fit the rollout engine's model: " + "; ".join(problems))


def _copy(parameter: Tensor, tensor: Tensor) -> None:
    """`parameter.copy_(tensor)`, which on a CPU takes seven times as long where it has to transpose."""
    if parameter.is_cpu and parameter.dim() == 2 and parameter.stride(0) == 1:
        for into, rows in zip(parameter.split(ROWS), tensor.split(ROWS), strict=True):
            into.copy_(rows)
    else:
        parameter.copy_(tensor)
