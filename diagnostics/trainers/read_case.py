"""A published case, reduced to a setup: fields first, then what the note says, then assumptions by name."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from diagnostics.trainers.notes import UNITS, Note
from diagnostics.trainers.profile import Checkpointing, Profile, Strategy
from diagnostics.trainers.profiles import EASY_R1, EASY_R1_BF16, FP32_FROZEN, all_bf16, find_profile
from diagnostics.trainers.row import Row
from diagnostics.trainers.setup import Engine, Images, Setup
from diagnostics.trainers.shapes import shape_for
from diagnostics.trainers.tokens import SUPERVISED, micro_batch
from engine.findings import FindingsError
from engine.footprint.devices import GIB

VISIBLE = 0.99
"""Of a card's nominal GiB, what torch can use: an "80 GB" card shows 79.1 to 79.6 GiB."""
ASSUMED_CARD = 80
ASSUMED_SHARE = 0.5
"""Of the card, for a rollout engine that says nothing."""
ASSUMED_PIXELS = 1_003_520
"""What the recipes of vision models allow an image where they bound it (1280 tokens of 28 × 28)."""
ENGINES = ("vllm", "sglang", "lmdeploy")
BACKENDS: tuple[tuple[Strategy, tuple[str, ...]], ...] = (
    ("megatron", ("megatron", "mcore")),
    ("deepspeed", ("deepspeed", "zero")),
    ("fsdp", ("fsdp", "dtensor", "hsdp")),
    ("ddp", ("ddp",)),
)


@dataclass(frozen=True, slots=True)
class Case:
    """What is to be estimated, and how the case gives its own figures."""

    profile: Profile
    setup: Setup
    unit: int
    """Bytes of the unit of its peak; GiB where it names none, as torch and nvidia-smi count."""
    host_capacity: float | None
    """Bytes of a machine's host memory."""
    missing: tuple[str, ...]
    """Fields that had to be assumed."""


def read_case(values: Mapping[str, Any]) -> Case:
    """The setup of a case. Raises FindingsError for impossible values, and for a model without a size."""
    row = Row(values)
    note = Note(row.text("note"))
    algo = row.text("algo")
    profile = _profile(row, note)
    card = row.count("gpu_gb", ASSUMED_CARD) * VISIBLE * GIB
    gpus = row.count("n_gpus", 1)
    ranks = min(note.trainers or gpus, gpus)
    stated, stage, lora = row.number("params_b"), row.number("zero_stage", most=3), row.number("lora")
    engine = _engine(row, note, profile)
    shape, own = shape_for(row.text("model"), stated * 1e9 if stated else None)
    batch = micro_batch(row, note, profile, algo, sees=shape.vision is not None)
    nodes = max(1, int(row.number("nodes") or 1))
    if row.wrong:
        raise FindingsError(row.wrong)
    params = float(shape.params) if own or not stated else stated * 1e9
    if not own:
        row.assume("model", 0)
    strategy = _strategy(row.text("backend"), stage)
    tp = note.tp or 1
    if strategy == "megatron" and note.tp is None and note.pp == 1:
        tp = int(row.assume("training tp", _least_split(params, ranks, card)))
    setup = Setup(
        shape=shape,
        params=params,
        strategy=strategy,
        ranks=ranks,
        nodes=nodes,
        card=card,
        tokens=batch.tokens,
        forward_tokens=batch.forward_tokens,
        stage=_stage(row, strategy, stage),
        tp=tp,
        pp=note.pp,
        ep=note.ep,
        communicators=1 + sum(size > 1 for size in (tp, note.pp, note.ep, note.sp)),
        checkpointing=_checkpointing(row, note, profile),
        objective="loss" if algo in SUPERVISED else "policy",
        lora_rank=int(lora) if lora else None,
        quantized=note.quantized,
        trained_embeddings=note.says(r"(?:embedding|lm_head).{0,30}trained"),
        head=note.head,
        compiled=note.compiled,
        optimizer_bytes=2 if note.eight_bit_adam else None,
        paged=note.says(r"paged (?:8[- ]?bit|adam|optim)"),
        step_in_backward=note.says(r"(?:optimizer|step) in backward") or note.climbed("step in backward"),
        offload=_offload(row, note),
        frozen_params=_frozen(note, profile, algo, params, lora=bool(lora)),
        trained_params=(("critic", params),) if algo == "ppo" and not note.roles_apart else (),
        images=_images(note, batch.images) if shape.vision else None,
        engine=engine,
    )
    return Case(profile, setup, note.unit or UNITS["gib"], note.host_capacity, tuple(row.missing))


def _profile(row: Row, note: Note) -> Profile:
    profile, known = find_profile(row.text("source"), row.text("backend"), note.text)
    if not known:
        row.assume("framework", 0)
    if profile is EASY_R1 and note.says(r"bf16|bfloat16") and not note.says(r"\bamp\b|fp32"):
        return EASY_R1_BF16
    if note.pure_bf16:
        return all_bf16(profile)
    return replace(profile, states=FP32_FROZEN) if note.fp32_base else profile


def _strategy(backend: str, stage: float | None) -> Strategy:
    for strategy, words in BACKENDS:
        if any(word in backend for word in words):
            return strategy
    return "deepspeed" if stage else "single"


def _stage(row: Row, strategy: Strategy, stage: float | None) -> int:
    if strategy == "fsdp":
        return 3
    if strategy == "deepspeed":
        return int(row.assume("zero_stage", 2) if stage is None else stage)
    return 1 if strategy == "megatron" else 0


def _least_split(params: float, ranks: int, card: float) -> int:
    """Cards that a Megatron job must at least divide a model over: weights and gradients in half a card."""
    cards = 1
    while cards < ranks and 6 * params / cards > card / 2:
        cards *= 2
    return cards


def _checkpointing(row: Row, note: Note, profile: Profile) -> Checkpointing:
    said = row.flag("grad_ckpt")
    if said:
        return "full"
    if note.checkpointing:
        return note.checkpointing
    if said is False:
        return "none"
    row.assume("grad_ckpt", 0)
    return profile.checkpointing


def _offload(row: Row, note: Note) -> frozenset[str]:
    words = row.text("offload")
    if not words:
        row.assume("offload", 0)
    moved = {"activations"} if note.activations_on_host else set()
    if words.split()[:1] in (["no"], ["none"], ["not"], ["off"], ["false"]):
        return frozenset(moved)
    if any(word in words for word in ("rollout", "idle", "between")):
        return frozenset(moved | {"idle"})
    named = {
        "optimizer": any(word in words for word in ("optim", "adam")),
        "params": any(word in words for word in ("param", "model", "weight")),
    }
    moved |= {what for what, yes in named.items() if yes}
    if not any(named.values()) and any(word in words for word in ("cpu", "full", "all", "true")):
        moved |= {"optimizer", "params"}
    return frozenset(moved)


def _frozen(
    note: Note, profile: Profile, algo: str, params: float, *, lora: bool
) -> tuple[tuple[str, float], ...]:
    """The other models that only compute. Under LoRA the base without adapters is the reference."""
    models = []
    referred = algo not in (*SUPERVISED, "simpo", "orpo", "cpo", "rm")
    if referred and profile.reference_on_card and not (lora or note.no_reference or note.roles_apart):
        models.append(("reference model", params))
    if algo == "ppo" and not note.roles_apart and not note.says(r"rule[- ]based|no reward model"):
        models.append(("reward model", params))
    if note.teacher_params:
        models.append(("teacher", note.teacher_params))
    return tuple(models)


def _images(note: Note, images: float) -> Images:
    pixels = note.number(r"([\d.,]+k?) pixels", r"(?:max|image)_pixels[ =:]+([\d.,]+)") or ASSUMED_PIXELS
    frames = note.number(r"(\d+) frames") or 1
    return Images(
        pixels=pixels * max(1, frames / 2) * images,
        trained=not note.says(
            r"(?:vision|tower|vit)[\w ]* frozen|fr(?:ee|o)ze\w* (?:the )?(?:vision|vit|tower)"
        ),
        checkpointed=not note.says(r"(?:vision|vit)[\w ]*checkpointing[ =:]+(?:false|off)"),
    )


def _engine(row: Row, note: Note, profile: Profile) -> Engine | None:
    """A rollout engine on the trainer's own cards."""
    backend, share = row.text("backend"), row.number("mem_util", most=1)
    if "server" in backend or note.engine_elsewhere or not any(name in backend for name in ENGINES):
        return None
    if not (profile.colocates or share or note.says(r"colocat|hybrid")):
        return None
    sleeps = profile.sleeps if note.sleeps is None else note.sleeps
    return Engine(row.count("tp", 1), share or row.assume("mem_util", ASSUMED_SHARE), sleeps)
