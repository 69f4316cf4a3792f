"""Gradient checkpointing keeps fewer activations between the two passes, for the same gradients."""

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close
from transformers import AutoModelForCausalLM

from engine.config.sections import ModelSection
from engine.data.experience import collate
from engine.models.actor import Actor
from engine.models.loading import recompute_activations
from engine.models.lora import add_adapters
from tests.engine.models.test_actor import experiences
from tests.engine.tiny import CONFIGS

LAYERS = 8


def both_passes(*, recompute: bool, lora_rank: int) -> tuple[int, dict[str, Tensor]]:
    """Bytes of activations that the forward pass keeps, and gradients by name."""
    config = CONFIGS["qwen2"]()
    config.num_hidden_layers, config.layer_types = LAYERS, ["full_attention"] * LAYERS
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config)
    if recompute:
        recompute_activations(model)
    actor = Actor(model, temperature=1.0, chunk_size=100, fused=True).train()
    if lora_rank:
        add_adapters(model, ModelSection(lora_rank=lora_rank), base="somewhere", seed=0)
    weights = {p.untyped_storage().data_ptr() for p in model.parameters()}
    kept: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    batch = collate(experiences(), 0, torch.device("cpu"), share_prompts=True)
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        logprobs, _ = actor(batch)
    logprobs.sum().backward()
    return sum(kept.values()), {n: p.grad for n, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("lora_rank", [0, 4])
def test_activations_within_layers_are_not_kept(lora_rank: int) -> None:
    kept, gradients = both_passes(recompute=False, lora_rank=lora_rank)
    kept_then, gradients_then = both_passes(recompute=True, lora_rank=lora_rank)
    assert kept_then < kept / 5
    assert gradients.keys() == gradients_then.keys()
    assert len(gradients) == (LAYERS * 7 * 2 if lora_rank else LAYERS * 12 + 2)
    for name, gradient in gradients.items():
        assert_close(gradients_then[name], gradient, msg=name)
