"""Weights, gradients and optimizer states of one rank, and the whole tensors that exist for a moment."""

from diagnostics.trainers.profile import Profile, States
from diagnostics.trainers.setup import Setup
from diagnostics.trainers.terms import term
from engine.footprint.lora import lora_params
from engine.footprint.terms import Term

MAX_LIVE = 1e9
"""Parameters that ZeRO-3 keeps gathered at most (`stage3_max_live_parameters`)."""
SUB_GROUP = 1e9
"""Parameters that ZeRO-3 steps at once (`sub_group_size`)."""
NF4 = 0.57
"""Bytes of a 4-bit parameter with its scales (§1.1)."""


def trained_params(setup: Setup) -> float:
    """Parameters that learn, a critic's included."""
    others = sum(params for _, params in setup.trained_params)
    shape = setup.shape
    if setup.lora_rank is None:
        return setup.params - _frozen_tower(setup) + others
    ends = shape.params_embedding + shape.params_head if setup.trained_embeddings else 0
    return lora_params(shape, setup.lora_rank, "all-linear") * (1 + len(setup.trained_params)) + ends


def frozen_base(setup: Setup) -> float:
    """Parameters that the trained ones sit on and that stay as they are."""
    if setup.lora_rank is None:
        return _frozen_tower(setup)
    return setup.params + sum(params for _, params in setup.trained_params)


def loading_bytes(setup: Setup) -> float:
    """Host memory of one machine while its ranks read the weights: shards of one copy with stage 3."""
    if setup.stage == 3 or setup.strategy == "single":
        return 2 * setup.params
    return 2 * setup.params / split(setup) * setup.ranks / setup.nodes


def on_host(profile: Profile, setup: Setup) -> frozenset[str]:
    """Of `weights`, `gradients`, `optimizer`: what is on the host during the update."""
    moved = setup.offload & {"optimizer", "params"}
    stays_away = profile.offloads_update or setup.strategy == "deepspeed"
    if not moved or not stays_away:
        return frozenset()
    if "params" in moved or setup.strategy == "fsdp":
        return frozenset({"weights", "gradients", "optimizer"})
    return frozenset({"optimizer"})


def resident(profile: Profile, states: States, setup: Setup) -> tuple[Term, ...]:
    """What one rank holds from the first step on."""
    away = on_host(profile, setup)
    trained, base = trained_params(setup), frozen_base(setup)
    terms = []
    if base and "weights" not in away:
        terms.append(_held("frozen weights", base, NF4 if setup.quantized else states.frozen, 3, setup))
    if "weights" not in away:
        terms.append(_held("trained weights", trained, states.weight, 3, setup))
        terms += [_held(name, params, 2, 3, setup) for name, params in setup.frozen_params]
    if "gradients" not in away and not setup.step_in_backward:
        terms.append(_held("gradients", trained, states.grad, 2, setup))
    if "optimizer" not in away:
        terms.append(_held("optimizer states", trained, states.master + states.optimizer, 1, setup))
    return tuple(terms)


def at_step(profile: Profile, states: States, setup: Setup) -> tuple[Term, ...]:
    """What the optimizer's step adds."""
    if setup.step_in_backward or "optimizer" in on_host(profile, setup) or not states.step:
        return ()
    local = trained_params(setup) / _shards(setup, 1)
    if setup.strategy == "deepspeed" and setup.stage == 3:
        local = min(local, SUB_GROUP)
    return (term("optimizer step", states.step * local, f"{local / 1e9:.3f}e9 × {states.step:g} B", "§1.2"),)


def gathered(profile: Profile, states: States, setup: Setup, *, backward: bool = False) -> tuple[Term, ...]:
    """Whole parameters and gradients that exist for a moment, and the buffers that carry them."""
    learns_all = setup.lora_rank is None
    alone = _shards(setup, 3) == split(setup)
    ends = (setup.shape.params_embedding + setup.shape.params_head) / setup.tp
    layer = setup.shape.params_layer / split(setup) * setup.pp
    terms = []
    if setup.strategy == "deepspeed" and learns_all:
        bucket, count = profile.bucket or setup.shape.hidden**2, 2 if setup.stage == 3 else 4
        terms.append(term("buckets", 2 * count * bucket, f"{count} × {bucket:.2g} × 2 B", "§1.3"))
    if setup.strategy == "deepspeed" and not alone:
        live = min(MAX_LIVE + ends, setup.params)
        terms.append(term("gathered weights", 2 * live, f"{live / 1e9:.2f}e9 × 2 B", "§1.3"))
    if setup.strategy == "fsdp" and not alone:
        live = ends + 2 * layer
        terms.append(term("gathered weights", 2 * live, f"{live / 1e9:.2f}e9 × 2 B", "§1.3"))
        if backward and learns_all:
            each = 6 if states.grad == 4 else 4
            terms.append(
                term("gradients of a layer", each * layer, f"{layer / 1e9:.2f}e9 × {each} B", "§1.3")
            )
    if setup.strategy == "ddp" and learns_all:
        terms.append(term("gradient buckets", states.grad * setup.params, "a copy of the gradients", "§1.3"))
    return tuple(terms)


def split(setup: Setup) -> float:
    """Ranks that one model's parameters are divided over before any sharding of copies."""
    experts = setup.shape.experts
    if experts is None or setup.ep <= setup.tp:
        return setup.tp * setup.pp
    share = 1 - setup.shape.params_active / setup.shape.params_text  # roughly what experts hold
    return setup.pp / (share / setup.ep + (1 - share) / setup.tp)


def _shards(setup: Setup, stage: int) -> float:
    """Ranks over which what ZeRO shards from `stage` on is divided."""
    return max(split(setup), setup.ranks) if setup.stage >= stage else split(setup)


def _held(name: str, params: float, each: float, stage: int, setup: Setup) -> Term:
    ranks = _shards(setup, stage)
    return term(name, params * each / ranks, f"{params / 1e9:.3f}e9 × {each:g} B / {ranks:g}", "§1.2")


def _frozen_tower(setup: Setup) -> float:
    vision = setup.shape.vision
    return vision.params if vision and setup.images and not setup.images.trained else 0
