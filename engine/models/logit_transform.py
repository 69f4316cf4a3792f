"""What stands between a model's output head and the logits that tokens are sampled from."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class LogitTransform:
    """logits ← cap · tanh(scale · logits / cap) / temperature; no cap: scale · logits / temperature."""

    scale: float = 1.0
    cap: float | None = None
    temperature: float = 1.0

    @classmethod
    def of(cls, config: Any, temperature: float) -> "LogitTransform":
        """The scalings that some families put after the head, from a transformers configuration."""
        divisor = getattr(config, "logits_scaling", None) or 1.0  # Granite
        scale = getattr(config, "logit_scale", None) or 1.0  # Cohere
        cap = getattr(config, "final_logit_softcapping", None)  # Gemma
        return cls(scale / divisor, cap or None, temperature)

    def __call__(self, logits: Tensor) -> Tensor:
        """The transformed logits, differentiable."""
        if self.scale != 1.0:
            logits = logits * self.scale
        if self.cap is not None:
            logits = self.cap * torch.tanh(logits / self.cap)
        return logits if self.temperature == 1.0 else logits / self.temperature

    def apply_(self, logits: Tensor) -> Tensor:
        """The same in place, without a graph."""
        if self.scale != 1.0:
            logits.mul_(self.scale)
        if self.cap is not None:
            logits.div_(self.cap).tanh_().mul_(self.cap)
        return logits if self.temperature == 1.0 else logits.div_(self.temperature)

    def slope(self, transformed: Tensor) -> Tensor | float:
        """The derivative at the point that was mapped to `transformed`."""
        linear = self.scale / self.temperature
        if self.cap is None:
            return linear
        return (transformed * (self.temperature / self.cap)).square_().neg_().add_(1).mul_(linear)
