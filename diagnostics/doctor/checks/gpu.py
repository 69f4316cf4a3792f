"""Whether there are GPUs, and whether a run can have them: driver, number, kind, memory, MIG."""

from collections.abc import Iterator, Sequence

import msgspec

from diagnostics import preflight
from diagnostics.doctor.check import Answer, CannotCheck, Check, Ok
from diagnostics.doctor.checks import children, run_facts
from diagnostics.doctor.host import Host
from diagnostics.gpu_facts import GpuFacts
from diagnostics.place_warnings import gpu_names, held, holders, only_visible
from engine.findings import Finding, Fix
from engine.footprint.devices import GIB
from engine.footprint.predict import predict

LOOK_S = 8.0
"""Limit of checks that look at GPUs: one that hangs is given up by the reading itself after 5 s."""
KERNELS_S = 60.0
NVIDIA, DISPLAYS = "0x10de", ("0x0300", "0x0302")
"""PCI vendor, and classes of display and 3D controllers."""
DRIVER_VERSION = "/proc/driver/nvidia/version"
AMPERE, ADA = (8, 0), (8, 9)


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
        return tuple(found) or Ok(_in_words(hardware.gpus))
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


def _in_words(gpus: Sequence[GpuFacts]) -> str:
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
        return Ok(f"driver {hardware.driver}, CUDA {hardware.cuda}" if hardware.driver else "no driver")
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
    taken = [gpu for gpu in gpus if held(gpu) or gpu.processes]
    told = all(gpu.processes is not None or gpu.memory_used is not None for gpu in gpus)
    if not told:
        raise CannotCheck("the driver does not tell who uses the GPUs")
    if not taken:
        free = min((gpu.memory_free for gpu in gpus if gpu.memory_free is not None), default=None)
        room = f", {free / GIB:.1f} GiB free on each at least" if free is not None else ""
        return Ok(f"nobody else is on {gpu_names(gpus)}{room}")
    least = min(taken, key=lambda gpu: gpu.memory_free or 0)
    free, need = least.memory_free or 0, _need(host)
    cause = f"others hold memory of {gpu_names(taken)}: {free / GIB:.1f} GiB are free on GPU {least.index}"
    cause += f", and the run needs {need / GIB:.1f} GiB." if need else "."
    others = [gpu for gpu in host.hardware.gpus if gpu not in taken]
    pids = sorted({process.pid for gpu in taken for process in gpu.processes or ()})
    fixes = (
        [Fix("look at what holds it, and end it if it is yours", command=f"ps -fp {_joined(pids)}")]
        if pids
        else []
    )
    if others:
        fixes.append(only_visible("use other cards", others))
    fixes.append(Fix("or wait until it has ended"))
    return Finding(
        id="gpu.busy",
        severity="error" if need and need > free else "warning",
        cause=cause,
        evidence=tuple(line for gpu in taken for line in holders(gpu)),
        fixes=tuple(fixes),
    )


def _joined(pids: Sequence[int]) -> str:
    return ",".join(map(str, pids))


def _need(host: Host) -> int | None:
    """Bytes that the run needs on one card; None without a configuration or where its model is not known."""
    if host.config is None:
        return None
    try:
        return predict(run_facts.job(host)).peak
    except CannotCheck:
        return None


def _mixed(host: Host) -> Answer:
    gpus = wanted(host)
    kinds = {(gpu.name, gpu.memory_total) for gpu in gpus}
    if len(kinds) < 2:
        return Ok(f"all alike: {gpus[0].name}" if len(gpus) > 1 else f"one {gpus[0].name}")
    names = [gpu.name for gpu in gpus]
    most = max(names, key=names.count)
    alike = [gpu for gpu in gpus if gpu.name == most]
    return Finding(
        id="gpu.mixed",
        severity="warning",
        cause="the GPUs are not alike: every step waits for the slowest, and all must fit the smallest.",
        evidence=tuple(f"GPU {gpu.index}: {gpu.name}, {gpu.memory_total / GIB:.1f} GiB" for gpu in gpus),
        fixes=(only_visible(f"use the {len(alike)} {most} only", alike),),
    )


def _arch(host: Host) -> Answer:
    gpus = [gpu for gpu in wanted(host) if gpu.capability]
    if not gpus:
        raise CannotCheck("the driver does not tell the GPUs' compute capability")
    oldest = min(gpus, key=lambda gpu: gpu.capability or (0, 0))
    capability = oldest.capability or (0, 0)
    findings = tuple(_too_old(host, oldest, capability))
    return findings or Ok(f"compute capability {_dotted(capability)}")


def _dotted(capability: tuple[int, int]) -> str:
    return f"{capability[0]}.{capability[1]}"


def _too_old(host: Host, gpu: GpuFacts, capability: tuple[int, int]) -> Iterator[Finding]:
    config = host.config
    named = f"GPU {gpu.index} ({gpu.name}) has compute capability {_dotted(capability)}"
    if capability < AMPERE and (config is None or config.model.bf16):
        yield Finding(
            id="gpu.arch",
            severity="error" if config else "warning",
            cause=f"{named}: bfloat16 needs 8.0.",
            fixes=(Fix("train in float32", set={"model.bf16": False}), Fix("use newer cards")),
            param="model.bf16" if config else "",
        )
    if config and config.model.flash_attn and capability < AMPERE:
        yield Finding(
            id="gpu.arch.flash-attn",
            severity="error",
            cause=f"{named}: flash-attention 2 needs 8.0.",
            fixes=(Fix("use torch's own attention", set={"model.flash_attn": False}),),
            param="model.flash_attn",
        )
    if config and config.rollout.engine_quantization == "fp8" and capability < ADA:
        yield Finding(
            id="gpu.arch.fp8",
            severity="error",
            cause=f"{named}: the engine's fp8 needs 8.9 (Ada or Hopper).",
            fixes=(Fix("leave the engine's weights as they are", set={"rollout.engine_quantization": None}),),
            param="rollout.engine_quantization",
        )


def _kernels(host: Host) -> Answer:
    """Whether torch's build has code for these GPUs; a child imports it, as the list is in the library."""
    answer = children.ask(host, "kernels", limit_s=KERNELS_S)
    built, version = tuple(answer["architectures"]), answer["torch"]
    if not built:
        return Finding(
            id="gpu.kernels",
            severity="error",
            cause=f"torch {version} is built without CUDA, so it has no code for these GPUs.",
            fixes=(Fix("install a build with CUDA", command="pip install --force-reinstall torch"),),
        )
    without = [gpu for gpu in wanted(host) if gpu.capability and not has_code(gpu.capability, built)]
    if not without:
        return Ok(f"torch {version} has code for {_in_words(wanted(host))}")
    capability = _dotted(without[0].capability or (0, 0))
    return Finding(
        id="gpu.kernels",
        severity="error",
        cause=f"torch {version} has no code for {gpu_names(without)} ({without[0].name}, compute capability "
        f"{capability}): its first kernel fails with “no kernel image is available”.",
        evidence=(f"built for {', '.join(built)}",),
        fixes=(
            Fix("install a build for another CUDA version, which older or newer cards need"),
            Fix("use other cards"),
        ),
    )


def has_code(capability: tuple[int, int], built: Sequence[str]) -> bool:
    """Machine code runs on the same major version from its minor on, PTX (`compute_90`) on all later ones."""
    for name in built:
        kind, _, digits = name.rstrip("af").partition("_")
        if not digits.isdecimal():
            continue
        code = (int(digits[:-1]), int(digits[-1]))
        exact = name[-1] == "a"
        if kind == "sm" and (
            capability == code if exact else capability[0] == code[0] and capability >= code
        ):
            return True
        if kind == "compute" and not exact and capability >= code:
            return True
    return False


def _mig(host: Host) -> Answer:
    gpus = wanted(host)
    parts = [gpu for gpu in gpus if gpu.slice_of]
    if not parts:
        return Ok("no MIG slices")
    several = run_facts.ranks(host) > 1
    cause = f"GPU {parts[0].index} is in MIG mode, and a process sees one slice of it: {parts[0].name}, "
    cause += f"{parts[0].memory_total / GIB:.1f} GiB. There is neither P2P nor NCCL between slices."
    edit = Fix("use one rank", set={"parallel.nproc": 1})
    return Finding(
        id="gpu.mig",
        severity="error" if several else "warning",
        cause=cause + (f" {run_facts.ranks(host)} ranks cannot run on slices." if several else ""),
        evidence=(f"slice {parts[0].uuid}",),
        fixes=(
            *([edit] if several else []),
            Fix("have MIG mode turned off", command=f"sudo nvidia-smi -i {parts[0].index} -mig 0"),
        ),
        param="parallel.nproc" if several else "",
    )


CHECKS = (
    Check(
        "gpu.present",
        "GPUs are there, as many as the run wants",
        "fast",
        _present,
        limit_s=LOOK_S,
        essential=True,
    ),
    Check("gpu.nvml", "the driver answers, and so does every GPU", "fast", _nvml, limit_s=LOOK_S),
    Check("gpu.busy", "nobody else uses the GPUs", "fast", _busy, ("gpus",), LOOK_S),
    Check("gpu.mixed", "the GPUs are alike", "fast", _mixed, ("gpus",), LOOK_S),
    Check("gpu.arch", "the GPUs are new enough for the number formats", "fast", _arch, ("gpus",), LOOK_S),
    Check("gpu.kernels", "torch has code for these GPUs", "deep", _kernels, ("gpus", "torch"), KERNELS_S + 2),
    Check("gpu.mig", "the GPUs are whole (MIG)", "fast", _mig, ("gpus",), LOOK_S),
)
