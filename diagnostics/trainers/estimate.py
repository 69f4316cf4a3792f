"""Device and host memory of another framework's job: `estimate(profile, setup)`.

Sections in the terms' sources are those of `docs/planner.md`. Everything is in bytes.
"""

from dataclasses import dataclass, replace

from diagnostics.trainers.activations import kept_per_token, layer_per_token, vision_bytes
from diagnostics.trainers.profile import Profile, States
from diagnostics.trainers.setup import Setup
from diagnostics.trainers.states import (
    NF4,
    at_step,
    frozen_base,
    gathered,
    loading_bytes,
    resident,
    trained_params,
)
from diagnostics.trainers.terms import term
from engine.footprint.constants import CUDA_CONTEXT, NCCL, NCCL_COMMUNICATOR
from engine.footprint.terms import Term

CACHED = 0.05
"""Of the live tensors, what the allocator reserves beyond them (§1.11: 5 to 9 % on DeepSpeed)."""
FRAGMENTED = 0.03
"""What of that it cannot give back when memory runs out (§1.11: 78.4 GB reserved for 76.3 live: 2.8 %)."""
HEAD_CHUNKS = 8
"""Parts that a chunked head computes its logits in."""
PINNED = 1.5
"""Pinned host memory per byte asked for (§1.12: 1 to 2, sizes are rounded up; DeepSpeed plans with 1.5)."""
PROCESS = 4e9
"""Host memory of one trainer process: libraries, CUDA, buffers of loaded data. Estimated, not measured."""
SLEEPING, SLEEPING_TP = 0.8 * 2**30, 2.4 * 2**30
"""What a sleeping rollout engine keeps at TP 1 and beyond: context, communicators, workspaces (§1.8)."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """`device`: what a card must have; `peak`: what the framework's users would see; `host`: per machine."""

    device: float
    peak: float
    host: float
    moment: str
    terms: tuple[Term, ...]
    """The peak's."""


def estimate(profile: Profile, setup: Setup) -> Estimate:
    """Memory of the worst moment of training on one rank, and host memory of one machine."""
    states = profile.states[setup.strategy]
    if setup.optimizer_bytes is not None:
        states = replace(states, optimizer=setup.optimizer_bytes)
    moments = {
        "loss": _saved(setup) + _logits(profile, setup) + gathered(profile, states, setup),
        "backward": _saved(setup) + _layer(setup) + gathered(profile, states, setup, backward=True),
        "log-probs": _forward(profile, setup) + gathered(profile, states, setup),
        "step": at_step(profile, states, setup),
    }
    moment, worst = max(moments.items(), key=lambda item: _total(item[1]))
    tensors = resident(profile, states, setup) + worst
    beside = _driver(setup) + _engine(setup)
    live = _total(tensors)
    needed = max(live * (1 + FRAGMENTED) + _total(beside), _engine_alone(setup))
    if setup.paged and needed > setup.card:
        return estimate(profile, replace(setup, paged=False, offload=setup.offload | {"optimizer"}))
    cache = term("allocator cache", CACHED * live, f"{CACHED:.0%} of the live tensors", "§1.11", "margin")
    seen = (*tensors, cache, *beside) if profile.counts_reserved else tensors
    return Estimate(needed, _total(seen), _host(profile, states, setup), moment, seen)


def _saved(setup: Setup) -> tuple[Term, ...]:
    """What forward keeps for backward."""
    layers, each = setup.shape.layers / setup.pp, kept_per_token(setup)
    terms = []
    if "activations" not in setup.offload:
        formula = f"{each:,.0f} B × {layers:g} layers × {setup.tokens:,.0f} tokens"
        terms.append(term("activations", each * layers * setup.tokens, formula, "§1.4"))
    if vision := vision_bytes(setup):
        terms.append(term("vision tower", vision, "patches × layers", "§1.13"))
    return tuple(terms)


def _layer(setup: Setup) -> tuple[Term, ...]:
    each = layer_per_token(setup)
    return (term("one layer", each * setup.tokens, f"{each:,.0f} B × {setup.tokens:,.0f} tokens", "§1.4"),)


def _logits(profile: Profile, setup: Setup) -> tuple[Term, ...]:
    shape = setup.shape
    each = profile.loss_logits if setup.objective == "loss" else profile.logits
    tokens = {
        "whole": setup.tokens,
        "chunked": setup.tokens / HEAD_CHUNKS,
        "fused": min(setup.tokens, setup.tokens * shape.hidden / shape.vocab),  # as Liger sizes its chunks
    }[setup.head or ("chunked" if profile.chunked_head else "whole")]
    entries = tokens * shape.vocab / setup.tp
    logits = term("logits", each * entries, f"{each:g} B × {entries / 1e9:.2f}e9 entries", "§1.5")
    if setup.lora_rank is not None and not setup.trained_embeddings:
        return (logits,)
    return (
        logits,
        term("gradient of the head", 2 * shape.vocab * shape.hidden / setup.tp, "V·h × 2 B", "§1.5"),
    )


def _forward(profile: Profile, setup: Setup) -> tuple[Term, ...]:
    """A pass without gradient: one layer's temporaries, and the logits of all its tokens."""
    tokens, shape = setup.forward_tokens, setup.shape
    if not tokens:
        return ()
    layer = (6 * shape.mlp + 8 * shape.hidden) / setup.tp
    entries = tokens * shape.vocab / setup.tp
    return (
        term("one layer", layer * tokens, f"(6·I + 8·h) B × {tokens:,.0f} tokens", "§1.4"),
        term(
            "logits", profile.logits_nograd * entries, f"{profile.logits_nograd:g} B × {entries:.3g}", "§1.5"
        ),
    )


def _driver(setup: Setup) -> tuple[Term, ...]:
    context = term("CUDA context", CUDA_CONTEXT, "one process", "§1.10", "driver")
    if setup.ranks == 1 or setup.strategy == "single":
        return (context,)
    nccl = NCCL + setup.communicators * NCCL_COMMUNICATOR
    return (context, term("NCCL", nccl, f"0.5 + {setup.communicators} × 0.6 GB", "§1.10", "driver"))


def _engine(setup: Setup) -> tuple[Term, ...]:
    """What a rollout engine on the same card takes from the update."""
    engine = setup.engine
    if engine is None:
        return ()
    if engine.sleeps:
        kept = SLEEPING if engine.tp == 1 else SLEEPING_TP
        return (term("sleeping engine", kept, "context, communicators, workspaces", "§1.8", "engine"),)
    return (term("engine", engine.share * setup.card, f"{engine.share:g} of the card", "§1.7", "engine"),)


def _engine_alone(setup: Setup) -> float:
    """More than the card has where the engine's share does not even hold its weights."""
    engine = setup.engine
    if engine is None:
        return 0
    return (NF4 if setup.quantized else 2) * setup.params / engine.tp / engine.share


def _host(profile: Profile, states: States, setup: Setup) -> float:
    """One machine: offloaded states whenever they are offloaded, pinned, and a sleeping engine's weights."""
    trained, moved = trained_params(setup), 0.0
    if setup.offload & {"optimizer", "idle"}:
        moved += trained * (states.master + states.optimizer)
    if setup.offload & {"params", "idle"}:
        moved += trained * (states.weight + states.grad) + frozen_base(setup) * states.frozen
    if setup.engine and setup.engine.sleeps:
        moved += 2 * setup.params * max(1, setup.ranks / setup.engine.tp)
    if not profile.reference_on_card and setup.objective == "policy" and setup.lora_rank is None:
        moved += 2 * setup.params
    processes = PROCESS * setup.ranks
    return max((PINNED * moved + processes) / setup.nodes, loading_bytes(setup))


def _total(terms: tuple[Term, ...]) -> float:
    return sum(each.bytes for each in terms)
