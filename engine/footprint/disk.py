"""What a run's checkpoints take on disk. Ranks write into one folder, so this is counted once."""

from engine.footprint.job import Job
from engine.footprint.states import trained
from engine.footprint.terms import Term

GB = 10**9
FLOAT32_AND_ADAM = 12
"""Bytes per trained parameter: weight and two moments in float32, whatever the strategy."""


def checkpoint_bytes(job: Job) -> int:
    """One checkpoint. With LoRA it holds the adapters alone."""
    return FLOAT32_AND_ADAM * trained(job)


def disk_terms(job: Job) -> tuple[Term, ...]:
    """Checkpoints that are kept, the one that is written before the earliest goes, and the final model."""
    size, settings = checkpoint_bytes(job), job.config.checkpoint
    kept = max(1, min(settings.max_ckpt_num, int(settings.max_ckpt_mem * GB // size)))
    params, each = job.shape.params, _final_bytes(job)
    return (
        Term(
            "checkpoints",
            (kept + 1) * size,
            f"({kept} kept + 1 being written) × 12 B × {trained(job):,} (weights and Adam in float32)",
            "engine/checkpoint/manager.py: max_ckpt_num, max_ckpt_mem",
        ),
        Term("final model", each * params, f"{each} B × {params:,}", "engine/checkpoint/hf_folder.py"),
    )


def _final_bytes(job: Job) -> int:
    """Of a weight in the final model: as it is trained, or in the dtype of a LoRA base."""
    bf16_weights = job.strategy == "fsdp2" and job.config.memory.use_mp_opt
    return job.compute_bytes if job.config.model.lora_rank or bf16_weights else 4
