"""Whether the host has the memory that a run needs: RAM, /dev/shm, and what was killed for lack of it."""

from diagnostics.doctor.check import Answer, CannotCheck, Check, Ok
from diagnostics.doctor.checks import run_facts
from diagnostics.doctor.checks.gpu import LOOK_S
from diagnostics.doctor.host import Host
from diagnostics.hardware import Hardware
from engine.findings import Finding, Fix
from engine.footprint.devices import GIB
from engine.footprint.predict import predict

MIB = 1024**2
SHM_LEAST = 512 * MIB
"""What DeepSpeed's ds_report asks for as well."""
SHM_A_RANK = GIB
LEFT = 0.08
"""Share of the memory that is left when it is scarce."""
NEARLY = 0.9
"""Share of what is available from which on a run is close to the limit."""
SHARED_MEMORY = (
    Fix("docker: start the container with more", command="docker run --shm-size=16g …"),
    Fix("or let it use the host's", command="docker run --ipc=host …"),
    Fix("Kubernetes: mount an emptyDir with medium: Memory at /dev/shm"),
    Fix("on the machine itself", command="sudo mount -o remount,size=16G /dev/shm"),
)


def _ram(host: Host) -> Answer:
    hardware = host.hardware
    need = _host_need(host) if host.config else None
    if need is not None and need > NEARLY * hardware.memory_available:
        return _too_little(host, need)
    if hardware.memory_available < LEFT * hardware.memory_total:
        return Finding(
            id="host.ram",
            severity="warning",
            cause=f"{_gib(hardware.memory_available)} of {_gib(hardware.memory_total)} RAM are left.",
            evidence=_limit(hardware),
            fixes=(Fix("see who holds it", command="ps aux --sort=-rss | head"),),
        )
    needed = f", the run needs about {_gib(need)}" if need is not None else ""
    return Ok(f"{_gib(hardware.memory_available)} of {_gib(hardware.memory_total)} RAM available{needed}")


def _host_need(host: Host) -> int | None:
    """Bytes of host memory for all ranks; None where the model is not known, which its own check says."""
    try:
        return predict(run_facts.job(host)).host_bytes
    except CannotCheck:
        return None


def _too_little(host: Host, need: int) -> Finding:
    hardware, ranks = host.hardware, run_facts.ranks(host)
    memory = host.config.memory if host.config else None
    fixes = []
    if memory and memory.adam_offload:
        fixes.append(Fix("keep optimizer states on the GPUs", set={"memory.adam_offload": False}))
    if memory and memory.fsdp_cpu_offload:
        fixes.append(Fix("keep parameters on the GPUs", set={"memory.fsdp_cpu_offload": False}))
    if ranks > 1:
        fixes.append(Fix("use fewer ranks", set={"parallel.nproc": ranks // 2}))
    if hardware.memory_limit:
        fixes.append(Fix("give the container more memory", command="docker run --memory=…"))
    over = need > hardware.memory_available
    return Finding(
        id="host.ram",
        severity="error" if over else "warning",
        cause=f"{ranks} rank{'s need' if ranks > 1 else ' needs'} about {_gib(need)} of RAM, and "
        f"{_gib(hardware.memory_available)} "
        f"of {_gib(hardware.memory_total)} are available{'.' if over else ': it is close.'}",
        evidence=_limit(hardware),
        fixes=(*fixes, Fix("use a smaller model, or a machine with more RAM")),
    )


def _limit(hardware: Hardware) -> tuple[str, ...]:
    limit = hardware.memory_limit
    return (f"the container's limit is {_gib(limit)}",) if limit else ()


def _killed(host: Host) -> Answer:
    hardware = host.hardware
    if hardware.oom_kills is None:
        raise CannotCheck(
            "the kernel does not count here what it ends for lack of memory (no memory control group)"
        )
    if not hardware.oom_kills:
        return Ok("nothing was ended for lack of memory")
    many = hardware.oom_kills > 1
    return Finding(
        id="host.oomhist",
        severity="warning",
        cause=f"the kernel has ended {hardware.oom_kills} process{'es' * many} of this container for lack of "
        "memory"
        f" since it started.",
        evidence=_limit(hardware),
        fixes=(
            Fix("give the container more memory", command="docker run --memory=…"),
            Fix("or use fewer ranks, less offload, fewer loading processes"),
        ),
    )


def _shm(host: Host) -> Answer:
    hardware, ranks = host.hardware, run_facts.ranks(host)
    total, free = hardware.shm_total, hardware.shm_free
    if total is None or free is None:
        cause = "there is no /dev/shm, which NCCL, vLLM and data loaders use."
        return Finding("host.shm", "error", cause, fixes=SHARED_MEMORY)
    if free >= SHM_A_RANK * ranks:
        return Ok(f"{_gib(free)} of {_gib(total)} free in /dev/shm")
    wanted = f"{_gib(SHM_A_RANK * ranks)} are wanted for {ranks} rank{'s' * (ranks > 1)}"
    full = total >= SHM_A_RANK * ranks
    clear = Fix(
        "it is what others left there: look, and remove what is no longer used", command="ls -lS /dev/shm"
    )
    return Finding(
        id="host.shm",
        severity="error" if free < SHM_LEAST else "warning",
        cause=f"/dev/shm has {_gib(free)} of {_gib(total)} free, and {wanted}: when it is full, processes "
        "end with a "
        "bus error.",
        fixes=(clear, *SHARED_MEMORY) if full else SHARED_MEMORY,
    )


def _gib(size: int) -> str:
    return f"{size / GIB:.1f} GiB" if size >= GIB else f"{size / MIB:.0f} MiB"


CHECKS = (
    Check("host.ram", "there is enough RAM", "fast", _ram, limit_s=LOOK_S),
    Check("host.oomhist", "nothing was ended for lack of memory", "fast", _killed, limit_s=LOOK_S),
    Check("host.shm", "/dev/shm is large enough", "fast", _shm, limit_s=LOOK_S),
)
