"""The policy (or reference model) as the trainer uses it: micro-batch in, log-probabilities out."""

from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from engine.data.experience import MicroBatch
from engine.data.prompt_layout import take
from engine.models.attention_rows import give_layouts
from engine.models.fused_logprobs import fuse_head
from engine.models.logit_transform import LogitTransform
from engine.models.logprobs import chunked_logprobs
from engine.models.patches import apply_patches
from engine.models.sequence_parallel import SequenceParallel

if TYPE_CHECKING:  # strategies know models, so models cannot import them
    from engine.strategy.groups import RankGroup


class Actor(nn.Module):
    """A causal language model that returns log-probabilities of response tokens only.

    The output head runs on response positions alone, `chunk_size` tokens at a time; `fused`: without keeping
    logits for the backward pass even of a single chunk. `model` is the Hugging Face model; everything goes
    through `forward`, so that a sharding strategy's hooks see every call.
    """

    def __init__(
        self,
        model: Any,
        *,
        temperature: float,
        chunk_size: int,
        fused: bool = False,
        packing: bool = False,
        sequence_group: "RankGroup | None" = None,
    ) -> None:
        """`packing`: micro-batches are one row where they share no prompts; `sequence_group`: ranks share it.

        Both need a model that allows them (`engine.models.families`), which the rules have checked. Raises
        FindingsError (model.head-not-linear) for a head that cannot be `fused`.
        """
        super().__init__()
        self.model = model
        self.transform = LogitTransform.of(model.config, temperature)
        self.chunk_size = chunk_size
        self.fused = fused
        if fused:
            fuse_head(model.get_output_embeddings())
        self.shares_prompts = give_layouts(model)
        self.sequence: SequenceParallel | None = None
        if sequence_group is not None and sequence_group.size > 1:
            if not self.shares_prompts:
                raise ValueError(f"sequences of a {model.config.model_type} model cannot be split over ranks")
            self.sequence = SequenceParallel(sequence_group)
        self.packs_rows = packing or self.sequence is not None
        apply_patches(model)
        disable_dropout(model)

    def forward(self, batch: MicroBatch, *, entropy_grad: bool = False) -> tuple[Tensor, Tensor]:
        """Log-probabilities at the sampling temperature and entropies, both [N] over response tokens."""
        if self.sequence is None or batch.layout is None:
            return self._scores(batch, entropy_grad)
        part, mine = self.sequence.slice_of(batch)
        logprobs, entropy = self._scores(part, entropy_grad)
        n_targets = len(batch.targets)
        return self.sequence.whole(logprobs, mine, n_targets), self.sequence.whole(entropy, mine, n_targets)

    def _scores(self, batch: MicroBatch, entropy_grad: bool) -> tuple[Tensor, Tensor]:
        hidden = take(self._hidden(batch).flatten(0, 1), batch.positions)
        if self.fused:
            head = self.model.get_output_embeddings()
            return head(hidden, batch.targets, self.transform, self.chunk_size, entropy_grad)
        return chunked_logprobs(
            hidden, batch.targets, self._logits, chunk_size=self.chunk_size, entropy_grad=entropy_grad
        )

    def _hidden(self, batch: MicroBatch) -> Tensor:
        extra: dict[str, Any] = {}
        if batch.position_ids is not None:
            extra = {"position_ids": batch.position_ids}
        if batch.layout is not None:
            extra |= {"prompt_layout": batch.layout, "sequence_parallel": self.sequence}
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
