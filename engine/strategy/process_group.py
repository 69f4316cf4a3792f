"""Joins the process group that torchrun prepared, or a group of one when started by hand."""

import os
import warnings
from datetime import timedelta

import torch
import torch.distributed as dist
from torch.distributed.rendezvous import rendezvous

from engine.config.sections import RunConfig
from engine.findings import Finding, FindingsError, Fix
from engine.strategy.group_check import wait_for_all

DEFAULT_TIMEOUT_S = 1800


def start(config: RunConfig) -> tuple[int, int, torch.device]:
    """Rank, world size and device of this process. Idempotent: a running group is used as it is."""
    world_size = int(os.environ.get("WORLD_SIZE", "1"))
    rank = int(os.environ.get("RANK", "0"))
    _check_world(config, world_size)
    device = _device(config)
    # torch's new names for these do not exist in the earlier versions that are supported.
    warnings.filterwarnings("ignore", r"`torch\.distributed\.\w+_tensor` is deprecated", FutureWarning)
    if not dist.is_initialized():
        timeout = timedelta(seconds=timeout_seconds(config))
        backend = _backend(config, device)
        if "RANK" in os.environ:
            store = _meet(rank, world_size, timeout)
            dist.init_process_group(backend, store=store, rank=rank, world_size=world_size, timeout=timeout)
        else:
            dist.init_process_group(backend, store=dist.HashStore(), rank=0, world_size=1, timeout=timeout)
    return rank, world_size, device


def _meet(rank: int, world_size: int, timeout: timedelta) -> dist.Store:
    """The store that all ranks share, once all of them have come to it.

    Before `init_process_group`, which would tell of a missing rank by the name of an internal key.
    """
    try:
        store: dist.Store = next(rendezvous("env://", timeout=timeout))[0]
    except (dist.DistNetworkError, dist.DistStoreError) as error:
        address = f"{os.environ.get('MASTER_ADDR')}:{os.environ.get('MASTER_PORT')}"
        cause = f"Rank {rank} of {world_size} met no other rank at {address}: {str(error).splitlines()[0]}"
        fix = "Start all ranks with the same MASTER_ADDR and MASTER_PORT, one that their machines can reach."
        raise _refusal("parallel.rank-missing", cause, "parallel.master_port", fix) from error
    store.set_timeout(timeout)
    wait_for_all(store, "start", range(world_size), rank, timeout)
    return dist.PrefixStore("default_pg", store)


def timeout_seconds(config: RunConfig) -> int:
    """`nccl_timeout`, else the environment's NCCL_TIMEOUT, else 30 minutes."""
    if config.parallel.nccl_timeout is not None:
        return config.parallel.nccl_timeout
    given = os.environ.get("NCCL_TIMEOUT") or str(DEFAULT_TIMEOUT_S)
    if not given.isdecimal() or int(given) == 0:
        cause = f"The environment's NCCL_TIMEOUT = {given!r} is not a positive number of seconds."
        raise _refusal(
            "parallel.bad-timeout", cause, "parallel.nccl_timeout", "Unset it, or use --nccl_timeout."
        )
    return int(given)


def _device(config: RunConfig) -> torch.device:
    """This rank's GPU; over gloo, ranks beyond the GPUs share them."""
    count = torch.cuda.device_count()
    if not torch.cuda.is_available() or count == 0:
        return torch.device("cpu")
    index = int(os.environ.get("LOCAL_RANK", "0"))
    if index >= count and _chosen_backend(config) != "gloo":
        cause = f"Rank {index} of this machine has no GPU: {count} are visible, and nccl cannot share one."
        fix = f"Start {count} ranks per machine, or share GPUs over gloo (slow): --dist_backend gloo."
        raise _refusal("parallel.more-ranks-than-gpus", cause, "parallel.nproc", fix)
    device = torch.device("cuda", index % count)
    torch.cuda.set_device(device)
    return device


def _backend(config: RunConfig, device: torch.device) -> str:
    chosen = _chosen_backend(config)
    if device.type == "cpu":
        if chosen == "nccl":
            cause = "The collective backend nccl was asked for, but there is no GPU that it could use."
            raise _refusal(
                "parallel.nccl-without-gpu", cause, "parallel.dist_backend", "Use gloo, or name none."
            )
        return "gloo"
    # With offload, gradients and their norm live in host memory: gloo reduces those.
    return "gloo" if chosen == "gloo" else "cpu:gloo,cuda:nccl"


def _chosen_backend(config: RunConfig) -> str | None:
    """`dist_backend`, else the environment's NCCL_BACKEND."""
    chosen = config.parallel.dist_backend or os.environ.get("NCCL_BACKEND") or None
    if chosen not in (None, "nccl", "gloo"):
        cause = f"The environment's NCCL_BACKEND = {chosen!r} is neither nccl nor gloo."
        raise _refusal(
            "parallel.bad-backend", cause, "parallel.dist_backend", "Unset it, or use --dist_backend."
        )
    return chosen


def _check_world(config: RunConfig, world_size: int) -> None:
    nproc = config.parallel.nproc
    if nproc is not None and nproc != world_size:
        cause = f"parallel.nproc = {nproc}, but torchrun started {world_size} rank(s)."
        fix = f"Start torchrun with --nproc-per-node {nproc}, or leave nproc out."
        raise _refusal("parallel.world-mismatch", cause, "parallel.nproc", fix)


def _refusal(id: str, cause: str, param: str, fix: str) -> FindingsError:
    return FindingsError([Finding(id=id, severity="error", cause=cause, param=param, fixes=(Fix(fix),))])
