"""What the machine runs out of: host memory, device memory, /dev/shm, disk."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from statistics import median

from diagnostics.health.observed import Observed, RankSeen
from engine.events import Gpu, Host
from engine.findings import Finding, Fix

HOST_FULL, DEVICE_FULL, LOW = 0.92, 0.97, 0.05
LEAK_STEPS = 20
LEAK_LIMIT, LEAK_BYTES = 0.10, 256 * 2**20
"""Growth over `LEAK_STEPS` steps of one phase that is no noise: of what was held, and in bytes."""
GB = 1e9


def resources(seen: Observed) -> Iterator[Finding]:
    """Findings of the newest samples and of how memory grew."""
    for samples in seen.hosts.values():
        yield from _host(samples[0], samples[-1])
        yield from _disk(samples)
    yield from _devices(seen)
    yield from _growth(seen)


def _host(first: Host, last: Host) -> Iterator[Finding]:
    if (last.oom_kills or 0) > (first.oom_kills or 0):
        yield Finding(
            id="memory.oom-killed",
            severity="error",
            cause=f"on {last.host} the kernel ended {(last.oom_kills or 0) - (first.oom_kills or 0)} "
            "process(es) of this container for lack of memory since the run began.",
            fixes=_less_host_memory(),
        )
    used, total = _used(last)
    if total and used / total > HOST_FULL:
        what = "the container's limit" if last.memory_limit else "its memory"
        yield Finding(
            id="memory.host-nearly-full",
            severity="warning",
            cause=f"{last.host} uses {used / GB:.1f} of {total / GB:.1f} GB, {used / total:.0%} of {what}: "
            "the kernel will soon end a process.",
            fixes=_less_host_memory(),
        )
    if last.shm_total and last.shm_free is not None and last.shm_free / last.shm_total < LOW:
        yield Finding(
            id="memory.shm-nearly-full",
            severity="warning",
            cause=f"/dev/shm of {last.host} has {last.shm_free / 2**20:.0f} of "
            f"{last.shm_total / 2**20:.0f} MiB left; NCCL and data loaders crash when it is full.",
            fixes=(
                Fix("start the container with more shared memory (--shm-size=16g, or --ipc=host)"),
                Fix("remove segments that ended programs left", command="ls -la /dev/shm"),
            ),
        )


def _used(host: Host) -> tuple[int, int]:
    """Bytes in use and bytes there are, of the container where it has a limit."""
    if host.memory_limit and host.memory_left is not None and host.memory_limit < host.memory_total:
        return host.memory_limit - host.memory_left, host.memory_limit
    return host.memory_used, host.memory_total


def _less_host_memory() -> tuple[Fix, ...]:
    return (
        Fix("keep states on the device", set={"memory.adam_offload": False}),
        Fix("use fewer ranks on this machine, or give the container more memory"),
    )


def _disk(samples: Sequence[Host]) -> Iterator[Finding]:
    last = samples[-1]
    if last.disk_total and last.disk_free / last.disk_total < LOW:
        yield Finding(
            id="memory.disk-nearly-full",
            severity="warning",
            cause=f"the disk of the run on {last.host} has {last.disk_free / GB:.1f} of "
            f"{last.disk_total / GB:.0f} GB left: the next checkpoint may not fit.",
            fixes=(
                Fix("keep fewer checkpoints", set={"checkpoint.max_ckpt_num": 1}),
                Fix("free space, for example old runs", command="du -sh runs/*"),
            ),
        )


def _devices(seen: Observed) -> Iterator[Finding]:
    newest = [samples[-1] for samples in seen.gpus.values()]
    full = [
        gpu for gpu in newest if gpu.memory_total and (gpu.memory_used or 0) / gpu.memory_total > DEVICE_FULL
    ]
    if full:
        yield Finding(
            id="memory.device-nearly-full",
            severity="warning",
            cause=f"{len(full)} GPU(s) use more than {DEVICE_FULL:.0%} of their memory: "
            "a slightly longer response may not fit.",
            evidence=tuple(map(_use, full)),
            fixes=(
                Fix("give the rollout engine less", set={"rollout.engine_mem_util": 0.4}),
                Fix("train on fewer responses at a time", set={"batch.micro_train_batch_size": 1}),
                Fix("recompute activations", set={"memory.gradient_checkpointing": True}),
            ),
        )


def _use(gpu: Gpu) -> str:
    used, total = (gpu.memory_used or 0) / GB, (gpu.memory_total or 0) / GB
    return f"{gpu.host} GPU {gpu.index}: {used:.1f} of {total:.1f} GB"


def _growth(seen: Observed) -> Iterator[Finding]:
    """The rank and phase whose memory grows most, step after step."""
    grown = [
        (rank, phase, *growth)
        for rank in seen.ranks.values()
        for phase in rank.memory
        if (growth := _grown(rank, phase)) is not None
    ]
    if not grown:
        return
    rank, phase, before, now = max(grown, key=lambda each: each[3] - each[2])
    per_step = (now - before) / LEAK_STEPS
    yield Finding(
        id="memory.grows",
        severity="warning",
        cause=f"memory in phase {phase} of rank {rank.rank} grew steadily over the last {LEAK_STEPS} steps, "
        f"from {before / GB:.2f} to {now / GB:.2f} GB: about {per_step / 2**20:.0f} MiB a step.",
        evidence=(_room_left(seen, rank, per_step),),
        fixes=(
            Fix("look at what own code keeps between steps: rewards, caches, lists of responses"),
            Fix("resume from a checkpoint before memory is full: that begins with fresh processes"),
        ),
    )


def _grown(rank: RankSeen, phase: str) -> tuple[float, float] | None:
    """Bytes held in a phase, before and now, where each quarter of the steps held more than the last."""
    held = [size for _, size in rank.memory[phase]][-LEAK_STEPS:]
    if len(held) < LEAK_STEPS:
        return None
    quarter = LEAK_STEPS // 4
    levels = [median(held[start : start + quarter]) for start in range(0, LEAK_STEPS, quarter)]
    rising = all(later > earlier for earlier, later in pairwise(levels))
    enough = levels[-1] - levels[0] > max(LEAK_LIMIT * levels[0], LEAK_BYTES)
    return (levels[0], levels[-1]) if rising and enough else None


def _room_left(seen: Observed, rank: RankSeen, per_step: float) -> str:
    """In how many steps memory ends at this rate, where the host's samples tell what is left."""
    host = seen.hosts.get(rank.header.host if rank.header else "")
    on_device = bool(rank.header and rank.header.device not in ("", "cpu"))
    if host is None or on_device:
        return "what is left of the device's memory is not known per rank"
    used, total = _used(host[-1])
    return f"{(total - used) / GB:.1f} GB are left on {host[-1].host}: {(total - used) / per_step:.0f} steps"
