"""torch.compile for the repeated blocks of a model."""

import torch
from torch import nn
from transformers import AttentionInterface

from engine.models.attention_rows import WITH_FLASH, WITH_SDPA
from engine.models.layers import decoder_layers

RECOMPILE_LIMIT = 64
"""Layers are compiled once for training and once for log-probs, and anew for LoRA's states; beyond this
number of variants torch would quietly go on without compiling."""


def compile_layers(model: nn.Module) -> None:
    """Compile the decoder layers in place, at their first call; before the model is sharded.

    All layers share what is compiled, for batches of any size. Attention over rows stays out: its sizes of 1
    (one prompt, one response) would each be compiled anew, and its kernels are the same either way.
    """
    torch._dynamo.config.recompile_limit = max(torch._dynamo.config.recompile_limit, RECOMPILE_LIMIT)
    attention = AttentionInterface()
    for name in (WITH_SDPA, WITH_FLASH):
        AttentionInterface.register(name, torch.compiler.disable(attention[name]))
    for layer in decoder_layers(model):
        layer.compile(dynamic=True)
