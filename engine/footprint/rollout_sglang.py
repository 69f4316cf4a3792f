"""The memory of SGLang, whose processes stand beside the training processes on the same devices."""

from engine.footprint.constants import CUDA_CONTEXT
from engine.footprint.job import Job
from engine.footprint.rollout_vllm import one_sequence, weight_bytes
from engine.footprint.terms import Term

MIB = 1024**2
SGLANG = "engine/rollout/sglang.py; docs/planner.md, engine"
CHUNKED_PREFILL = 8192
MOST = 1024
"""Sequences decoded at once: an estimate, it depends on memory."""
LARGE_RESERVE, LARGE_CARD = 10 * 10**9, 60 * 10**9


def static(job: Job, free_at_start: int) -> int:
    """Weights and KV cache together: a share of what is free when the engine starts."""
    return int(job.config.rollout.engine_mem_util * max(0, free_at_start))


def weights(job: Job) -> Term:
    """Weights of one tensor-parallel rank."""
    tp, fp8 = job.config.rollout.engine_tp_size, job.config.rollout.engine_quantization == "fp8"
    size = weight_bytes(job.shape, tp, job.compute_bytes, fp8=fp8)
    formula = f"{job.compute_bytes} B × {job.shape.params:,} parameters / TP {tp}{', fp8' if fp8 else ''}"
    return Term("engine weights", size, formula, SGLANG, "engine")


def kv_share(job: Job, free_at_start: int) -> int:
    """What the weights leave of the share. It may be too little."""
    return max(0, static(job, free_at_start) - weights(job).bytes)


def kv_cache(job: Job, free_at_start: int) -> Term:
    """Never below one sequence of `max_len`."""
    util = job.config.rollout.engine_mem_util
    formula = f"{util:g} × {free_at_start / 1e9:.1f} GB free at its start − weights"
    return Term("KV cache", max(kv_share(job, free_at_start), one_sequence(job)), formula, SGLANG, "engine")


def working(job: Job) -> Term:
    """Activations and CUDA graphs, which SGLang keeps out of its share."""
    tp, memory = job.config.rollout.engine_tp_size, job.place.device.memory
    size = 512 * MIB + int(1.5 * MIB) * CHUNKED_PREFILL + tp * 10**9 // 8
    formula = f"512 MiB + 1.5 MiB × {CHUNKED_PREFILL} + TP {tp} / 8 GB"
    if memory > LARGE_CARD and size < LARGE_RESERVE:
        size, formula = LARGE_RESERVE, "10 GB on cards above 60 GB"
    return Term("engine activations and graphs", size, formula, SGLANG, "engine")


def context() -> Term:
    """A process of its own has a context of its own."""
    return Term("CUDA context of the engine", CUDA_CONTEXT, "0.4 GiB per process", SGLANG, "driver")
