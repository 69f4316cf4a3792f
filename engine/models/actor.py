"""The policy (or reference model) as the trainer uses it: micro-batch in, log-probabilities out."""

from typing import Any

import torch
from torch import Tensor, nn

from engine.data.experience import MicroBatch
from engine.data.prompt_layout import take
from engine.models.logprobs import chunked_logprobs
from engine.models.patches import apply_patches
from engine.models.shared_prompts import share_prompts


class Actor(nn.Module):
    """A causal language model that returns log-probabilities of response tokens only.

    The output head runs on response positions alone, `chunk_size` tokens at a time. `model` is the Hugging
    Face model; everything goes through `forward`, so that a sharding strategy's hooks see every call.
    """

    def __init__(self, model: Any, *, temperature: float, chunk_size: int) -> None:
        super().__init__()
        self.model = model
        self.temperature = temperature
        self.chunk_size = chunk_size
        self.shares_prompts = share_prompts(model)
        apply_patches(model)
        disable_dropout(model)

    def forward(self, batch: MicroBatch, *, entropy_grad: bool = False) -> tuple[Tensor, Tensor]:
        """Log-probabilities at the sampling temperature and entropies, both [N] over response tokens."""
        hidden = take(self._hidden(batch).flatten(0, 1), batch.positions)
        return chunked_logprobs(
            hidden,
            batch.targets,
            self.logits,
            temperature=self.temperature,
            chunk_size=self.chunk_size,
            entropy_grad=entropy_grad,
        )

    def _hidden(self, batch: MicroBatch) -> Tensor:
        extra: dict[str, Any] = {}
        if batch.layout is not None:
            extra = {"position_ids": batch.layout.position_ids, "prompt_layout": batch.layout}
        hidden: Tensor = self.model.base_model(
            input_ids=batch.input_ids, use_cache=False, **extra
        ).last_hidden_state
        return hidden

    def logits(self, hidden: Tensor) -> Tensor:
        """The model's own output head, with the scalings some families put after it."""
        logits = self.model.get_output_embeddings()(hidden)
        config = self.model.config
        if divisor := getattr(config, "logits_scaling", None):  # Granite
            logits = logits / divisor
        if scale := getattr(config, "logit_scale", None):  # Cohere
            logits = logits * scale
        if cap := getattr(config, "final_logit_softcapping", None):  # Gemma 2 and 3
            logits = cap * torch.tanh(logits / cap)
        return logits


def disable_dropout(model: nn.Module) -> None:
    """Turn dropout off: the policy that is trained must be the one that sampled, or ratios start off 1."""
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        for name in ("attention_dropout", "attn_dropout"):
            if isinstance(getattr(module, name, None), float):
                setattr(module, name, 0.0)
