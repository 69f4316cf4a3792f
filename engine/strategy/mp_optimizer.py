"""AdamW on float32 masters of bfloat16 parameters, and how checkpoints see it."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.checkpoint.metadata import TensorStorageMetadata
from torch.distributed.tensor import DTensor
from torch.optim import Optimizer
from torch.optim.adamw import adamw

from engine.checkpoint.access import InPlace
from engine.checkpoint.tensors import MODEL, OPTIMIZER, allocate_moments

MASTER = ".master"


class MixedPrecisionAdamW(Optimizer):
    """AdamW whose parameters are bfloat16 while masters and moments are float32.

    The state of a parameter is `master`, `exp_avg`, `exp_avg_sq` and `step`, each sharded like it. Masters
    begin as the parameters are.
    """

    def __init__(
        self,
        params: Iterable[Tensor],
        *,
        lr: float,
        betas: tuple[float, float],
        weight_decay: float,
        fused: bool = True,
    ) -> None:
        # `fused` in a group tells whoever fills the state that step counters live on the device.
        settings = {"lr": lr, "betas": betas, "weight_decay": weight_decay, "eps": 1e-8, "fused": fused}
        super().__init__(params, settings)
        for group in self.param_groups:
            for parameter in group["params"]:
                self.state[parameter]["master"] = parameter.detach().float()

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """One AdamW step of the masters; the parameters become their rounding."""
        for group in self.param_groups:
            trained = [p for p in group["params"] if p.grad is not None]
            states = [self._state(p) for p in trained]
            adamw(
                [_local(state["master"]) for state in states],
                [_local(p.grad).float() for p in trained],
                [_local(state["exp_avg"]) for state in states],
                [_local(state["exp_avg_sq"]) for state in states],
                [],
                [state["step"] for state in states],
                amsgrad=False,
                beta1=group["betas"][0],
                beta2=group["betas"][1],
                lr=group["lr"],
                weight_decay=group["weight_decay"],
                eps=group["eps"],
                maximize=False,
                fused=group["fused"],
            )
            for parameter, state in zip(trained, states, strict=True):
                _local(parameter).copy_(_local(state["master"]))

    def _state(self, parameter: Tensor) -> dict[str, Any]:
        state: dict[str, Any] = self.state[parameter]
        if "step" not in state:
            state["exp_avg"] = torch.zeros_like(state["master"])
            state["exp_avg_sq"] = torch.zeros_like(state["master"])
            # On the device, so that the fused kernel runs without waiting for the host.
            state["step"] = torch.zeros((), dtype=torch.float32, device=_local(parameter).device)
        return state


class MasterAccess(InPlace):
    """Saves the masters as the weights, which is what any other optimizer has there too."""

    def tensors(self, model: nn.Module, optimizer: Optimizer) -> dict[str, Tensor]:
        tensors = super().tensors(model, optimizer)
        return _with_masters(tensors)

    @torch.no_grad()
    def fill(
        self,
        model: nn.Module,
        optimizer: Optimizer,
        saved: Mapping[str, TensorStorageMetadata],
        read: Callable[[dict[str, Tensor]], None],
    ) -> None:
        masters = {parameter: state["master"] for parameter, state in optimizer.state.items()}
        allocate_moments(model, optimizer, saved)
        for parameter, master in masters.items():
            optimizer.state[parameter]["master"] = master
        read(self.tensors(model, optimizer))
        for parameter, master in masters.items():
            _local(parameter).copy_(_local(master))


def _with_masters(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Checkpoint tensors in which each trained weight gives way to its master."""
    result = dict(tensors)
    for name in tensors:
        if name.startswith(OPTIMIZER) and name.endswith(MASTER):
            result[MODEL + name.removeprefix(OPTIMIZER).removesuffix(MASTER)] = result.pop(name)
    return result


def _local(tensor: Tensor | None) -> Tensor:
    """This rank's part, which shares memory with the tensor: an elementwise update needs no more."""
    assert tensor is not None
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor
