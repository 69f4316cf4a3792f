"""Moving an optimizer's states between device and host memory."""

import torch
from torch import Tensor
from torch.optim import Optimizer


@torch.no_grad()
def move_states(optimizer: Optimizer, device: torch.device) -> None:
    """Move every state that is as large as its parameter to `device`; step counters stay where they are.

    Host copies are pinned where they come from a GPU. The states keep their identity as optimizer states,
    so a checkpoint finds them wherever they are.
    """
    for parameter, state in optimizer.state.items():
        for name, value in state.items():
            if isinstance(value, Tensor) and value.shape == parameter.shape:
                state[name] = _moved(value, device)
    if device.type == "cpu" and torch.cuda.is_available():
        torch.cuda.synchronize()
        torch.cuda.empty_cache()


def _moved(tensor: Tensor, device: torch.device) -> Tensor:
    # Of a DTensor, `empty_like` and `to` place the local part elsewhere and keep mesh and placements.
    if device.type == "cpu" and tensor.device.type != "cpu":
        host = torch.empty_like(tensor, device="cpu", pin_memory=True)
        return host.copy_(tensor, non_blocking=True)
    return tensor.to(device, non_blocking=True)
