"""What kind of GPUs there are: alike, new enough, with code for them in torch, whole."""

from collections.abc import Iterator, Sequence

from diagnostics.doctor.check import Answer, CannotCheck, Check, Ok
from diagnostics.doctor.checks import children, run_facts
from diagnostics.doctor.checks.gpu import LOOK_S, in_words, wanted
from diagnostics.doctor.host import Host
from diagnostics.gpu_facts import GpuFacts
from diagnostics.place_warnings import gpu_names, only_visible
from engine.findings import Finding, Fix
from engine.footprint.devices import GIB

KERNELS_S = 60.0
AMPERE, ADA = (8, 0), (8, 9)


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
        return Ok(f"torch {version} has code for {in_words(wanted(host))}")
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
    Check("gpu.mixed", "the GPUs are alike", "fast", _mixed, ("gpus",), LOOK_S),
    Check("gpu.arch", "the GPUs are new enough for the number formats", "fast", _arch, ("gpus",), LOOK_S),
    Check("gpu.kernels", "torch has code for these GPUs", "deep", _kernels, ("gpus", "torch"), KERNELS_S + 2),
    Check("gpu.mig", "the GPUs are whole (MIG)", "fast", _mig, ("gpus",), LOOK_S),
)
