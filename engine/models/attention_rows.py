"""Attention over a micro-batch that is one row, in which responses may share one copy of their prompt.

All of a transformer but attention works on single tokens and needs to know nothing of the layout. Attention
is registered with transformers by name, once for each library that computes it, so the models themselves are
not touched.
"""

from functools import partial
from typing import Any, Protocol

from torch import Tensor, nn
from transformers import AttentionInterface

from engine.data.prompt_layout import PromptLayout
from engine.models import attention_flash, attention_sdpa
from engine.models.attention import FLASH
from engine.models.families import takes_layouts
from engine.models.sequence_parallel import SequenceParallel

# Without "flash" in it: transformers goes by that word.
WITH_SDPA, WITH_FLASH = "rftui_rows", "rftui_rows_varlen"


class Kernels(Protocol):
    """A library's attention: query [B, H, N, D] → [B, N, H, D]; key and value may have fewer heads."""

    def padded(self, query: Tensor, key: Tensor, value: Tensor, scaling: float | None) -> Tensor:
        """Over rows padded on the right."""
        ...

    def laid_out(
        self, query: Tensor, key: Tensor, value: Tensor, layout: PromptLayout, scaling: float | None
    ) -> Tensor:
        """Over one row, B = 1."""
        ...


def attend(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    prompt_layout: PromptLayout | None = None,
    sequence_parallel: SequenceParallel | None = None,
    *,
    kernels: Kernels,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """Attention as transformers calls it: query [B, H, N, D], key and value likewise; gives [B, N, H, D].

    Without `prompt_layout`: on rows padded on the right. With `sequence_parallel` the N tokens are this
    rank's slice of the row that the layout describes.
    """
    if prompt_layout is None:
        return kernels.padded(query, key, value, scaling), None
    if sequence_parallel is None:
        return kernels.laid_out(query, key, value, prompt_layout, scaling), None
    query, key, value = sequence_parallel.to_heads(query, key, value, prompt_layout.n_tokens)
    return sequence_parallel.to_tokens(kernels.laid_out(query, key, value, prompt_layout, scaling)), None


def give_layouts(model: Any) -> bool:
    """Let `model` take micro-batches with a layout, if its attention allows; says whether it does."""
    if not takes_layouts(model.config.to_dict()):
        return False
    flash = model.config._attn_implementation == FLASH
    model.set_attn_implementation(WITH_FLASH if flash else WITH_SDPA)
    return True


AttentionInterface.register(WITH_SDPA, partial(attend, kernels=attention_sdpa))
AttentionInterface.register(WITH_FLASH, partial(attend, kernels=attention_flash))
