"""What distinguishes the trainers' memory: bytes per parameter and per logit, buckets, what offload means."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Checkpointing = Literal["full", "selective", "none"]
Strategy = Literal["deepspeed", "fsdp", "ddp", "megatron", "single"]
"""Who holds the states. `single`: one process, or layers split over cards."""


@dataclass(frozen=True, slots=True)
class States:
    """Bytes per parameter that is trained."""

    weight: float
    grad: float
    master: float
    optimizer: float
    """Adam's two moments."""
    step: float
    """More of them while the optimizer steps: a float32 copy of the gradients, foreach Adam's temporaries."""
    frozen: float = 2
    """Bytes of a parameter that is not trained: of the base under LoRA."""

    @property
    def resident(self) -> float:
        return self.weight + self.grad + self.master + self.optimizer


MIXED_DEEPSPEED = States(weight=2, grad=2, master=4, optimizer=8, step=4)
MIXED_FSDP = States(weight=4, grad=4, master=0, optimizer=8, step=4)
MIXED_FSDP_FUSED = States(weight=4, grad=4, master=0, optimizer=8, step=0)
MIXED_MEGATRON = States(weight=2, grad=4, master=4, optimizer=8, step=0)
AUTOCAST = States(weight=4, grad=4, master=0, optimizer=8, step=4)
BF16_KAHAN = States(weight=2, grad=2, master=0, optimizer=6, step=0)
"""AdamW in bf16 with a compensation of rounding."""
PURE_BF16 = States(weight=2, grad=2, master=0, optimizer=4, step=2)


@dataclass(frozen=True, slots=True)
class Profile:
    """What one framework allocates. Logits: bytes per token and vocabulary entry, the bf16 ones included."""

    name: str
    states: Mapping[Strategy, States]
    logits: float
    """While the log-probabilities of a policy are trained."""
    logits_nograd: float
    """While they are only computed."""
    loss_logits: float = 12
    """With the cross-entropy of supervised fine-tuning."""
    packs: bool = False
    """Sequences of a micro-batch lie one after another, without padding."""
    group_at_once: bool = False
    """Its micro-batch counts prompts: all responses of a prompt are computed at once."""
    bucket: int | None = None
    """Elements of DeepSpeed's reduce and gather buckets; None: h², what the Hugging Face trainer writes."""
    offloads_update: bool = True
    """Its offload keeps the states on the host during the update too, as DeepSpeed's always does; False: they
    are only moved between phases."""
    sleeps: bool = False
    """A colocated rollout engine gives its memory back before the update."""
    chunked_head: bool = False
    """Logits exist for a chunk of the tokens at a time without being asked for."""
    checkpointing: Checkpointing = "full"
    """Where nobody says."""
    colocates: bool = True
    """A rollout engine shares the trainer's cards, where nobody says."""
    reference_on_card: bool = True
    """A frozen reference stays there during the update."""
    counts_reserved: bool = True
    """The peaks it publishes hold the allocator's cache and the driver's memory too."""
    source: str = ""
