"""What a job needs on each card and machine, against what is there; estimates held to published cases."""

from collections.abc import Sequence
from typing import NamedTuple

from diagnostics.rules.foreign import Foreign
from diagnostics.rules.job import Job
from diagnostics.rules.memory_fit import what_fits
from diagnostics.rules.memory_setup import Prepared, prepare
from diagnostics.rules.telling import in_order, told, use
from diagnostics.trainers.estimate import Estimate, estimate
from diagnostics.trainers.states import NF4, resident
from engine.findings import Finding, Fix
from engine.footprint.devices import GIB
from engine.footprint.job import Place
from engine.footprint.shape import ModelShape
from engine.footprint.terms import Term

TIGHT = 0.9
"""Of a card: beyond this, what an estimate leaves out may be what is missing."""
USUAL_CARDS = (24, 40, 48, 80, 96, 141, 180)
"""GB, as cards are sold."""
ENGINE_OVERHEAD = 1.5 * GIB
"""Activations and CUDA graphs of a rollout engine at least (§1.7: 1 to 4 GiB)."""
MOST_TERMS = 6


class Memory(NamedTuple):
    """`lines`: what is needed, in words. `findings`: where it does not fit, and what would."""

    lines: tuple[str, ...]
    findings: tuple[Finding, ...] = ()


def memory_of(foreign: Foreign, job: Job, shape: ModelShape | None, place: Place | None) -> Memory:
    """Device memory of a rank in update and rollout, and host memory of a machine.

    `place` is None where nobody said which GPUs, and this machine has none: then nothing is judged.
    """
    if shape is None:
        return Memory(("memory is not estimated: the model is not known",))
    card = float(place.device.memory) if place and not place.on_cpu else None
    prepared = prepare(job, shape, card or 80 * GIB)
    lines: list[str] = []
    findings: list[Finding] = []
    if isinstance(prepared, str):
        lines.append(f"memory of the update is not estimated: {prepared}")
    else:
        needed = estimate(prepared.profile, prepared.setup)
        lines += _update_lines(prepared, needed, card, place)
        if card and place:
            findings += _update_findings(foreign, job, shape, place, prepared, needed)
            findings += _rollout_beside_states(foreign, job, prepared)
            findings += _host(foreign, job, place, needed)
    engine_lines, engine_findings = _engine(foreign, job, shape, card)
    lines += engine_lines
    findings += engine_findings
    if place and not place.on_cpu:
        findings += _enough_cards(foreign, job, place)
    return Memory(tuple(lines), tuple(in_order(findings)))


def _update_lines(prepared: Prepared, needed: Estimate, card: float | None, place: Place | None) -> list[str]:
    setup = prepared.setup
    largest = ", ".join(f"{term.name} {_gib(term.bytes)}" for term in _largest(needed.terms, 4))
    where = f"of {_gib(card)} ({place.device.name})" if card and place else ""
    lines = [
        f"update: {_gib(needed.device)} {where}{' ' if where else ''}on each of {setup.ranks} cards, most in "
        f"{_moment(needed.moment)}: {largest}"
    ]
    if not card:
        fitting = next((size for size in USUAL_CARDS if needed.device <= TIGHT * size * GIB), None)
        lines.append(
            f"which cards are meant is not known: it takes ones of {fitting} GB (--gpus 8xA100-80 judges it)"
            if fitting
            else f"no card has that much: the largest is sold with {USUAL_CARDS[-1]} GB"
        )
    lines.append(f"host: {_gib(needed.host)} of memory on each machine")
    if prepared.assumed:
        lines.append(f"assumed: {'; '.join(prepared.assumed)}")
    return lines


def _update_findings(
    foreign: Foreign, job: Job, shape: ModelShape, place: Place, prepared: Prepared, needed: Estimate
) -> list[Finding]:
    card = prepared.setup.card
    if needed.device <= TIGHT * card:
        return []
    over = needed.device > card
    param = job.name("micro") if job.micro else job.name("token_budget")
    words = (
        f"the update needs {_gib(needed.device)} on each card, which has {_gib(card)} ({place.device.name})"
        if over
        else f"the update needs {_gib(needed.device)}, {needed.device / card:.0%} of a card's {_gib(card)} "
        f"({place.device.name})"
    )
    cause = f"{words}: most in {_moment(needed.moment)}."
    if over and place.ranks > (job.ranks or place.ranks):
        cause += f" Only {job.ranks} of {place.ranks} GPUs share it."
    fixes = (
        what_fits(foreign, job, shape, card, TIGHT)
        if over
        else what_fits(foreign, job, shape, card, TIGHT)[:2]
    )
    shared = over and _fits_inside_the_share(job, prepared, needed)
    note = ["old engines count what training holds as a part of their share: with one of these it may fit"]
    return [
        told(
            foreign,
            "cfg.mem.train",
            "error" if over and not shared else "warning",
            param,
            cause,
            *fixes,
            evidence=_term_lines(needed.terms) + (note if shared else []),
        )
    ]


def _fits_inside_the_share(job: Job, prepared: Prepared, needed: Estimate) -> bool:
    """Whether it would fit if an engine that never sleeps took its share with the states, not beside them.

    vLLM before its V1 engine did so in the trainer's process, which verl's recipes without sleep rest on.
    """
    engine = prepared.setup.engine
    if engine is None or engine.sleeps or job.framework != "verl":
        return False
    states = prepared.profile.states[prepared.setup.strategy]
    held = sum(term.bytes for term in resident(prepared.profile, states, prepared.setup))
    return needed.device - min(held, engine.share * prepared.setup.card) <= prepared.setup.card


def _rollout_beside_states(foreign: Foreign, job: Job, prepared: Prepared) -> list[Finding]:
    """While a colocated engine is awake, what training does not move away stays beside it."""
    setup, engine = prepared.setup, prepared.setup.engine
    if engine is None:
        return []
    states = prepared.profile.states[setup.strategy]
    moved = {
        "optimizer": ("optimizer states",),
        "params": ("trained weights", "frozen weights"),
        "idle": ("optimizer states", "trained weights", "frozen weights"),
    }
    away = {name for what in setup.offload if what in moved for name in moved[what]} | {"gradients"}
    kept = [term for term in resident(prepared.profile, states, setup) if term.name not in away]
    held = sum(term.bytes for term in kept)
    total = held + engine.share * setup.card
    if total <= setup.card:
        return []
    share = max(0.05, (0.95 * setup.card - held) / setup.card)
    fixes = [use(foreign, job.name("engine_share"), round(share, 2))] if held < 0.85 * setup.card else []
    if "optimizer" not in setup.offload and job.name("offload") != "offload":
        fixes.append(Fix(f"move optimizer states away during rollouts ({job.name('offload')})"))
    return [
        told(
            foreign,
            "cfg.mem.engine-beside-states",
            "error",
            job.name("engine_share"),
            f"while the engine is awake it takes {engine.share:g} of the card = "
            f"{_gib(engine.share * setup.card)}, and training keeps {_gib(held)} beside it: together "
            f"{_gib(total)} of {_gib(setup.card)}.",
            *fixes,
            evidence=_term_lines(kept),
        )
    ]


def _engine(
    foreign: Foreign, job: Job, shape: ModelShape, card: float | None
) -> tuple[list[str], list[Finding]]:
    """The engine's share against its weights and the cache of one sequence."""
    part = job.engine_share or 0
    if card is None or job.engine not in ("vllm", "sglang") or not 0 < part <= 1:
        return [], []
    tp = max(1, job.engine_tp)
    longest = job.model_len or (job.prompt_len or 0) + (job.response_len or 0)
    weights = (NF4 if job.quantized else 2) * shape.params / tp
    token = shape.kv_bytes(tp, 2)
    share = part * card
    left = share - weights - ENGINE_OVERHEAD
    if longest and left >= token * longest:
        held = int(left // token)
        line = (
            f"rollout engine: {part:g} of a card = {_gib(share)}: weights {_gib(weights)}, "
            f"cache for about {held:,} tokens = {held // longest:,} sequences of {longest:,}"
        )
        return [line], []
    needed = weights + ENGINE_OVERHEAD + token * longest
    name, fixes = job.name("engine_share"), []
    if needed < 0.95 * card:
        fixes.append(use(foreign, name, round(needed / card + 0.05, 2)))
    fixes.append(use(foreign, job.name("engine_tp"), 2 * tp))
    cause = (
        f"the engine's share, {part:g} of the card = {_gib(share)}, does not hold its weights "
        f"({_gib(weights)}) and the cache of one sequence of {longest:,} tokens ({_gib(token * longest)}): "
        "it does not start."
    )
    finding = told(foreign, "cfg.mem.engine", "error", name, cause, *fixes, also=(job.name("engine_tp"),))
    return [f"rollout engine: {_gib(needed)} needed of {_gib(share)}"], [finding]


def _host(foreign: Foreign, job: Job, place: Place, needed: Estimate) -> list[Finding]:
    if needed.host <= TIGHT * place.host_memory:
        return []
    over = needed.host > place.host_memory
    return [
        told(
            foreign,
            "cfg.mem.host",
            "error" if over else "warning",
            job.name("offload"),
            f"a machine needs about {_gib(needed.host)} of RAM for offloaded states, sleeping engines and "
            f"processes, and has {_gib(place.host_memory)}.",
            Fix("offload less, or run fewer ranks on a machine"),
        )
    ]


def _enough_cards(foreign: Foreign, job: Job, place: Place) -> list[Finding]:
    total = (job.ranks or 0) + (job.engine_ranks or 0)
    if not job.ranks or total <= place.ranks:
        return []
    split = f"{job.ranks} that train and {job.engine_ranks} of engines" if job.engine_ranks else f"{total}"
    return [
        told(
            foreign,
            "cfg.gpus",
            "error",
            job.name("ranks"),
            f"the job wants {split} GPUs, and there are {place.ranks}.",
            Fix(f"start it on {-(-total // place.ranks_per_node)} such machines, or with fewer ranks"),
        )
    ]


def _largest(terms: Sequence[Term], count: int) -> list[Term]:
    return sorted(terms, key=lambda term: -term.bytes)[:count]


def _term_lines(terms: Sequence[Term]) -> list[str]:
    return [f"{term.name}: {_gib(term.bytes)} ({term.formula})" for term in _largest(terms, MOST_TERMS)]


def _moment(moment: str) -> str:
    return {
        "loss": "the loss",
        "backward": "the backward pass",
        "log-probs": "the pass for log-probabilities",
        "step": "the optimizer's step",
    }[moment]


def _gib(amount: float) -> str:
    return f"{amount / GIB:.1f} GiB"
