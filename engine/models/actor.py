"""The policy (or reference model) as the trainer uses it: micro-batch in, log-probabilities out."""

from typing import Any

from torch import Tensor, nn

from engine.data.experience import MicroBatch
from engine.data.prompt_layout import take
from engine.models.fused_logprobs import fuse_head
from engine.models.logit_transform import LogitTransform
from engine.models.logprobs import chunked_logprobs
from engine.models.patches import apply_patches
from engine.models.shared_prompts import share_prompts


class Actor(nn.Module):
    """A causal language model that returns log-probabilities of response tokens only.

    The output head runs on response positions alone, `chunk_size` tokens at a time; `fused`: without keeping
    logits for the backward pass even of a single chunk. `model` is the Hugging Face model; everything goes
    through `forward`, so that a sharding strategy's hooks see every call.
    """

    def __init__(self, model: Any, *, temperature: float, chunk_size: int, fused: bool = False) -> None:
        """Raises FindingsError (model.head-not-linear) for a head that cannot be `fused`."""
        super().__init__()
        self.model = model
        self.transform = LogitTransform.of(model.config, temperature)
        self.chunk_size = chunk_size
        self.fused = fused
        if fused:
            fuse_head(model.get_output_embeddings())
        self.shares_prompts = share_prompts(model)
        apply_patches(model)
        disable_dropout(model)

    def forward(self, batch: MicroBatch, *, entropy_grad: bool = False) -> tuple[Tensor, Tensor]:
        """Log-probabilities at the sampling temperature and entropies, both [N] over response tokens."""
        hidden = take(self._hidden(batch).flatten(0, 1), batch.positions)
        if self.fused:
            head = self.model.get_output_embeddings()
            return head(hidden, batch.targets, self.transform, self.chunk_size, entropy_grad)
        return chunked_logprobs(
            hidden, batch.targets, self._logits, chunk_size=self.chunk_size, entropy_grad=entropy_grad
        )

    def _hidden(self, batch: MicroBatch) -> Tensor:
        extra: dict[str, Any] = {}
        if batch.layout is not None:
            extra = {"position_ids": batch.layout.position_ids, "prompt_layout": batch.layout}
        hidden: Tensor = self.model.base_model(
            input_ids=batch.input_ids, use_cache=False, **extra
        ).last_hidden_state
        return hidden

    def _logits(self, hidden: Tensor) -> Tensor:
        """What tokens are sampled from, in float32."""
        return self.transform(self.model.get_output_embeddings()(hidden).float())


def disable_dropout(model: nn.Module) -> None:
    """Turn dropout off: the policy that is trained must be the one that sampled, or ratios start off 1."""
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        for name in ("attention_dropout", "attn_dropout"):
            if isinstance(getattr(module, name, None), float):
                setattr(module, name, 0.0)
