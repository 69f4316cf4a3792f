"""Which GPUs a CUDA process sees: `CUDA_VISIBLE_DEVICES` and MIG."""

import os
from collections.abc import Mapping

import msgspec

from diagnostics.gpu_facts import GpuFacts, MigSlice


def visible(gpus: tuple[GpuFacts, ...], environ: Mapping[str, str] = os.environ) -> tuple[GpuFacts, ...]:
    """The GPUs a CUDA process would see, in its order.

    `CUDA_VISIBLE_DEVICES` holds indices, UUID prefixes or MIG UUIDs; like CUDA, an entry that names no GPU
    hides itself and all after it, and an empty value hides all. A GPU in MIG mode is seen as its first slice,
    and one process sees one slice only, so a slice comes alone; next to whole GPUs it is not seen.
    """
    wanted = environ.get("CUDA_VISIBLE_DEVICES")
    seen = list(gpus) if wanted is None else _named(gpus, wanted.split(","))
    seen = [part for gpu in seen if (part := gpu if not gpu.mig else _first_slice(gpu))]
    whole = tuple(gpu for gpu in seen if gpu.slice_of is None)
    if wanted is None:
        return whole or tuple(seen[:1])
    return tuple(seen[:1]) if seen and seen[0].slice_of else whole


def as_slice(gpu: GpuFacts, part: MigSlice) -> GpuFacts:
    """A slice as a GPU of its own: its memory and processes, no NVLink."""
    inside = [process for process in gpu.processes or () if process.gpu_instance == part.gpu_instance]
    return msgspec.structs.replace(
        gpu,
        name=f"{gpu.name} MIG {part.profile}".rstrip(),
        uuid=part.uuid,
        memory_total=part.memory_total,
        memory_free=part.memory_free,
        memory_used=part.memory_total - part.memory_free,
        memory_reserved=None,
        processes=tuple(inside) if gpu.processes is not None else None,
        mig=False,
        slices=(),
        slice_of=gpu.uuid,
        nvlinks=None,
        nvswitch=False,
        nvlink_peers=(),
    )


def _named(gpus: tuple[GpuFacts, ...], entries: list[str]) -> list[GpuFacts]:
    seen: list[GpuFacts] = []
    for entry in entries:
        gpu = _find(gpus, entry.strip())
        if gpu is None or gpu in seen:
            break
        seen.append(gpu)
    return seen


def _find(gpus: tuple[GpuFacts, ...], entry: str) -> GpuFacts | None:
    if entry.isdecimal():
        return next((gpu for gpu in gpus if gpu.index == int(entry)), None)
    slices = [as_slice(gpu, part) for gpu in gpus for part in gpu.slices if _is_slice(gpu, part, entry)]
    matches = slices or [gpu for gpu in gpus if entry and gpu.uuid.startswith(entry)]
    return matches[0] if len(matches) == 1 else None


def _is_slice(gpu: GpuFacts, part: MigSlice, entry: str) -> bool:
    """By its UUID or a beginning of it, or as drivers before 470 named it: `MIG-<GPU>/<number>/<number>`."""
    old = f"MIG-{gpu.uuid}/{part.gpu_instance}/{part.compute_instance}"
    return entry.startswith("MIG-") and (part.uuid.startswith(entry) or entry == old)


def _first_slice(gpu: GpuFacts) -> GpuFacts | None:
    return as_slice(gpu, gpu.slices[0]) if gpu.slices else None
