"""AdamW on float32 masters of bfloat16 parameters."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor


class MixedPrecisionAdamW(torch.optim.Optimizer):
    """AdamW whose parameters are bfloat16 while masters and moments are float32.

    The state of a parameter is `master`, `exp_avg`, `exp_avg_sq` and `step`, each sharded like it, so that
    a checkpoint holds the exact weights. The masters begin as the parameters are.
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
        super().__init__(params, {"lr": lr, "betas": betas, "weight_decay": weight_decay, "eps": 1e-8})
        self.fused = fused

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """One AdamW step of the masters; the parameters become their rounding."""
        for group in self.param_groups:
            trained = [p for p in group["params"] if p.grad is not None]
            states = [self._state(p) for p in trained]
            torch.optim.adamw.adamw(
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
                fused=self.fused,
            )
            for parameter, state in zip(trained, states, strict=True):
                _local(parameter).copy_(_local(state["master"]))

    def _state(self, parameter: Tensor) -> dict[str, Any]:
        state: dict[str, Any] = self.state[parameter]
        if not state:
            master = parameter.detach().float()
            # A step counter on the device lets the fused kernel run without waiting for the host.
            step = torch.zeros((), dtype=torch.float32, device=_local(parameter).device)
            state |= {
                "master": master,
                "exp_avg": torch.zeros_like(master),
                "exp_avg_sq": torch.zeros_like(master),
                "step": step,
            }
        return state


def _local(tensor: Tensor | None) -> Tensor:
    """This rank's part, which shares memory with the tensor: an elementwise update needs no more."""
    assert tensor is not None
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor
