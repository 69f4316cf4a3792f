"""How the GPUs of a run are joined: NVLink, PCIe, and whether they read each other's memory."""

from collections.abc import Sequence

from diagnostics.doctor.check import Answer, Check, DoesNotApply, Ok
from diagnostics.doctor.checks.gpu import LOOK_S, wanted
from diagnostics.doctor.host import Host
from diagnostics.place_warnings import gpu_names, only_visible
from diagnostics.topology import Join, Pair
from engine.findings import Finding, Fix

WORDS: dict[Join, str] = {
    "nvlink": "NVLink",
    "switch": "PCIe switch",
    "numa": "PCIe within a NUMA node",
    "across": "PCIe across NUMA nodes",
    "unknown": "unknown",
}
NEAR = ("nvlink", "switch")
SHOWN = 8


def _topology(host: Host) -> Answer:
    gpus = wanted(host)
    if len(gpus) < 2:
        raise DoesNotApply("there is one GPU")
    here = {gpu.index for gpu in gpus}
    pairs = [pair for pair in host.hardware.topology.pairs if pair.a in here and pair.b in here]
    findings = [*_no_peers(pairs), *_apart(host, pairs), *_islands(host, pairs)]
    return tuple(findings) or Ok(_in_words(pairs))


def _in_words(pairs: Sequence[Pair]) -> str:
    joins = [pair.join for pair in pairs]
    return ", ".join(f"{joins.count(join)} pairs by {WORDS[join]}" for join in dict.fromkeys(joins))


def _no_peers(pairs: Sequence[Pair]) -> list[Finding]:
    without = [pair for pair in pairs if pair.peer is False]
    if not without:
        return []
    return [
        Finding(
            id="gpu.topo.no-p2p",
            severity="info",
            cause=f"{len(without)} of {len(pairs)} pairs of GPUs cannot read each other's memory (P2P): NCCL "
            "goes "
            "through host memory between them, which is slower and needs room in /dev/shm.",
            evidence=_lines(without),
            fixes=(
                Fix(
                    "cards without it (GeForce) stay so; else look at IOMMU and ACS",
                    command="nvidia-smi topo -p2p r",
                ),
            ),
        )
    ]


def _apart(host: Host, pairs: Sequence[Pair]) -> list[Finding]:
    """Ranks that share every layer's work (tensor parallel of the engine) and are far apart."""
    size = host.config.rollout.engine_tp_size if host.config else 1
    order = [gpu.index for gpu in wanted(host)]
    groups = [set(order[start : start + size]) for start in range(0, len(order), size)]
    far = [p for p in pairs if p.join not in NEAR and any({p.a, p.b} <= group for group in groups)]
    if size == 1 or not far:
        return []
    return [
        Finding(
            id="gpu.topo.tp-apart",
            severity="warning",
            cause=f"tensor parallel over {size} GPUs crosses slow links, and exchanges data twice in every "
            "layer.",
            evidence=_lines(far),
            fixes=(
                Fix(
                    "keep each engine on one GPU, or on fewer", set={"rollout.engine_tp_size": size // 2 or 1}
                ),
                Fix("see how they are joined", command="nvidia-smi topo -m"),
            ),
            param="rollout.engine_tp_size",
        )
    ]


def _islands(host: Host, pairs: Sequence[Pair]) -> list[Finding]:
    """NVLink between some of the cards only: those between which there is none set the pace."""
    gpus = wanted(host)
    linked = [pair for pair in pairs if pair.join == "nvlink"]
    if not linked or len(linked) == len(pairs):
        return []
    inside = {gpu.index for gpu in gpus}
    largest = max(host.hardware.topology.islands, key=lambda group: len(inside & set(group)))
    group = [gpu for gpu in gpus if gpu.index in largest]
    if len(group) == len(gpus):
        return []
    return [
        Finding(
            id="gpu.topo.islands",
            severity="info",
            cause=f"NVLink joins {gpu_names(group)}, but not all {len(gpus)} GPUs: gradients cross PCIe.",
            evidence=_lines([pair for pair in pairs if pair.join != "nvlink"]),
            fixes=(only_visible(f"use the {len(group)} that it joins", group),),
        )
    ]


def _lines(pairs: Sequence[Pair]) -> tuple[str, ...]:
    lines = [f"GPU {pair.a} and {pair.b}: {WORDS[pair.join]}" for pair in pairs[:SHOWN]]
    return (*lines, *([f"and {len(pairs) - SHOWN} more pairs"] if len(pairs) > SHOWN else []))


CHECKS = (Check("gpu.topo", "the GPUs are joined by fast links", "fast", _topology, ("gpus",), LOOK_S),)
