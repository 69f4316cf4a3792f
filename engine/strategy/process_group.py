"""Joins the process group that torchrun prepared, or a group of one when started by hand."""

import os
from datetime import timedelta

import torch
import torch.distributed as dist

from engine.config.sections import RunConfig
from engine.findings import Finding, FindingsError, Fix

DEFAULT_TIMEOUT_S = 1800


def start(config: RunConfig) -> tuple[int, int, torch.device]:
    """Rank, world size and device of this process. Idempotent: a running group is used as it is."""
    world_size = int(os.environ.get("WORLD_SIZE", "1"))
    rank = int(os.environ.get("RANK", "0"))
    _check_world(config, world_size)
    device = _device()
    if not dist.is_initialized():
        timeout = timedelta(seconds=timeout_seconds(config))
        backend = _backend(config, device)
        if "RANK" in os.environ:
            dist.init_process_group(backend, timeout=timeout)
        else:
            store = dist.HashStore()
            dist.init_process_group(backend, store=store, rank=0, world_size=1, timeout=timeout)
    return rank, world_size, device


def timeout_seconds(config: RunConfig) -> int:
    """`nccl_timeout`, else the environment's NCCL_TIMEOUT, else 30 minutes."""
    if config.parallel.nccl_timeout is not None:
        return config.parallel.nccl_timeout
    return int(os.environ.get("NCCL_TIMEOUT", DEFAULT_TIMEOUT_S))


def _device() -> torch.device:
    if not torch.cuda.is_available():
        return torch.device("cpu")
    device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
    torch.cuda.set_device(device)
    return device


def _backend(config: RunConfig, device: torch.device) -> str:
    chosen = config.parallel.dist_backend or os.environ.get("NCCL_BACKEND")
    if device.type == "cpu" or chosen == "gloo":
        return "gloo"
    # With offload, gradients and their norm live in host memory: gloo reduces those.
    return "cpu:gloo,cuda:nccl"


def _check_world(config: RunConfig, world_size: int) -> None:
    nproc = config.parallel.nproc
    if nproc is not None and nproc != world_size:
        raise FindingsError(
            [
                Finding(
                    id="parallel.world-mismatch",
                    severity="error",
                    cause=f"parallel.nproc = {nproc}, but torchrun started {world_size} rank(s).",
                    param="parallel.nproc",
                    fixes=(Fix(f"Start torchrun with --nproc-per-node {nproc}, or leave nproc out."),),
                )
            ]
        )
