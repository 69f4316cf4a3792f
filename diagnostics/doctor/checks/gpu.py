"""Whether there are GPUs, and whether a run can have them: number, driver, who else uses them."""

from collections.abc import Iterator, Sequence

import msgspec

from diagnostics import preflight
from diagnostics.doctor.check import Answer, CannotCheck, Check, Ok
from diagnostics.doctor.checks import run_facts
from diagnostics.doctor.host import Host
from diagnostics.gpu_facts import GpuFacts
from diagnostics.place_warnings import gpu_names, held, holders, only_visible
from engine.findings import Finding, Fix
from engine.footprint.devices import GIB
from engine.footprint.predict import predict

LOOK_S = 8.0
"""Limit of checks that look at GPUs: one that hangs is given up by the reading itself after 5 s."""
NVIDIA, DISPLAYS = "0x10de", ("0x0300", "0x0302")
"""PCI vendor, and classes of display and 3D controllers."""
DRIVER_VERSION = "/proc/driver/nvidia/version"


def wanted(host: Host) -> tuple[GpuFacts, ...]:
    """The GPUs that the run would use, by default all that are visible."""
    gpus = host.hardware.gpus
    return gpus[: run_facts.ranks(host)] if host.config else gpus


def _present(host: Host) -> Answer:
    hardware = host.hardware
    if hardware.gpus:
        found = preflight.check_ranks(
            run_facts.ranks(host),
            hardware,
            host.config.parallel.dist_backend if host.config else None,
            run_facts.torch_version(host),
        )
        return tuple(found) or Ok(in_words(hardware.gpus))
    if hardware.installed > len(hardware.unreachable):
        hidden = host.environ.get("CUDA_VISIBLE_DEVICES")
        shown = f": CUDA_VISIBLE_DEVICES={hidden}" if hidden is not None else ""
        return Finding(
            id="gpu.present",
            severity="error",
            cause=f"{hardware.installed} GPUs are installed and none is visible to CUDA{shown}.",
            fixes=(
                Fix("make them visible", command="unset CUDA_VISIBLE_DEVICES"),
                Fix("in MIG mode, see whether there are slices", command="nvidia-smi -L"),
            ),
        )
    if boards := _boards(host):
        return _no_driver(boards, host.read(DRIVER_VERSION) is not None)
    return _none(host)


def in_words(gpus: Sequence[GpuFacts]) -> str:
    """ "8 × NVIDIA H100 80GB HBM3"."""
    names = [gpu.name for gpu in gpus]
    return ", ".join(f"{names.count(name)} × {name}" for name in dict.fromkeys(names))


def _boards(host: Host) -> list[str]:
    """PCI addresses of NVIDIA's graphics and 3D devices, which a container sees even without their driver."""
    found = [path for path in host.glob("/sys/bus/pci/devices/*/vendor") if _text(host, path) == NVIDIA]
    folders = [path.removesuffix("/vendor") for path in found]
    return [
        folder.rpartition("/")[2] for folder in folders if _text(host, f"{folder}/class").startswith(DISPLAYS)
    ]


def _text(host: Host, path: str) -> str:
    return (host.read(path) or "").strip()


def _no_driver(boards: list[str], loaded: bool) -> Finding:
    count = f"{len(boards)} NVIDIA GPU{'s are' if len(boards) > 1 else ' is'} in this machine"
    if loaded:
        cause = (
            f"{count} and the driver is loaded, but none can be reached from here: a container without them."
        )
        fixes = (
            Fix("start the container with its GPUs", command="docker run --gpus all …"),
            Fix("in Kubernetes, ask for nvidia.com/gpu in the pod's limits"),
        )
    else:
        cause = f"{count}, but no driver is loaded."
        fixes = (
            Fix("load it", command="sudo modprobe nvidia"),
            Fix("where that fails, install the driver (NVIDIA data center driver, or the distribution's)"),
        )
    return Finding("gpu.present", "error", cause, evidence=tuple(boards), fixes=fixes)


def _none(host: Host) -> Finding:
    if host.config and host.config.parallel.dist_backend == "nccl":
        found = preflight.check_ranks(run_facts.ranks(host), host.hardware, "nccl")
        return found[0]
    cause = "this machine has no NVIDIA GPU: runs use the CPU, which is enough for toy models."
    return Finding("gpu.present", "info", cause)


def _nvml(host: Host) -> Answer:
    hardware = host.hardware
    if not hardware.problems:
        return Ok(f"driver {hardware.driver}, CUDA {hardware.cuda}")
    loaded = host.read(DRIVER_VERSION)
    return tuple(
        _broken(problem, loaded) if problem.id == "hardware.nvml-broken" else problem
        for problem in hardware.problems
    )


def _broken(problem: Finding, loaded: str | None) -> Finding:
    """Of a launch it is a warning, because the CPU remains; here it is what is wrong."""
    fixes = problem.fixes
    if "mismatch" in problem.cause:
        reload = "sudo rmmod nvidia_uvm nvidia_drm nvidia_modeset nvidia && sudo modprobe nvidia"
        fixes = (
            Fix("the driver was updated while the old one was loaded: reboot", command="sudo reboot"),
            Fix("or, with nothing using the GPUs, load the new one", command=reload),
        )
    elif "Permission" in problem.cause:
        fixes = (
            Fix("see who may open the devices", command="ls -l /dev/nvidia*"),
            Fix("join their group, then log in again", command="sudo usermod -aG video $USER"),
        )
    evidence = tuple(line.strip() for line in (loaded or "").splitlines()[:1])
    return msgspec.structs.replace(problem, severity="error", evidence=evidence, fixes=fixes)


def _busy(host: Host) -> Answer:
    gpus = wanted(host)
    if any(gpu.processes is None and gpu.memory_used is None for gpu in gpus):
        raise CannotCheck("the driver does not tell who uses the GPUs")
    taken = [gpu for gpu in gpus if held(gpu) or gpu.processes]
    if not taken:
        free = min((gpu.memory_free for gpu in gpus if gpu.memory_free is not None), default=None)
        room = f", {free / GIB:.1f} GiB free on each at least" if free is not None else ""
        return Ok(f"nobody else is on {gpu_names(gpus)}{room}")
    least = min(taken, key=lambda gpu: gpu.memory_free or 0)
    free, need = least.memory_free or 0, _need(host)
    cause = f"others hold memory of {gpu_names(taken)}: {free / GIB:.1f} GiB are free on GPU {least.index}"
    return Finding(
        id="gpu.busy",
        severity="error" if need and need > free else "warning",
        cause=cause + (f", and the run needs {need / GIB:.1f} GiB." if need else "."),
        evidence=tuple(line for gpu in taken for line in holders(gpu)),
        fixes=tuple(_instead(taken, [gpu for gpu in host.hardware.gpus if gpu not in taken])),
    )


def _instead(taken: Sequence[GpuFacts], others: Sequence[GpuFacts]) -> Iterator[Fix]:
    """A process without a user is one of another container, which cannot be looked at."""
    pids = sorted({str(p.pid) for gpu in taken for p in gpu.processes or () if p.user != "?"})
    if pids:
        yield Fix("look at what holds it, and end it if it is yours", command=f"ps -fp {','.join(pids)}")
    if others:
        yield only_visible("use other cards", others)
    yield Fix("or wait until it has ended")


def _need(host: Host) -> int | None:
    """Bytes that the run needs on one card; None without a configuration or where its model is not known."""
    if host.config is None:
        return None
    try:
        return predict(run_facts.job(host)).peak
    except CannotCheck:
        return None


CHECKS = (
    Check(
        "gpu.present",
        "GPUs are there, as many as the run wants",
        "fast",
        _present,
        limit_s=LOOK_S,
        essential=True,
    ),
    Check("gpu.nvml", "the driver answers, and so does every GPU", "fast", _nvml, ("nvidia",), LOOK_S),
    Check("gpu.busy", "nobody else uses the GPUs", "fast", _busy, ("gpus",), LOOK_S),
)
