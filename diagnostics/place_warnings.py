"""What is said of a machine that is planned for: shared, unlike or sliced GPUs, links that are not there."""

from collections.abc import Sequence

from diagnostics.gpu_facts import GpuFacts, GpuProcess
from diagnostics.hardware import Hardware
from engine.findings import Finding, Fix
from engine.footprint.devices import GIB, Device

MIB = 1024**2
HELD = 512 * MIB
"""Used memory from which on somebody must hold it, though no process is visible; a display takes less."""
DRIVER = 1024 * MIB
"""Of what counts as used where the driver's own share is not told apart: at most this is the driver's."""


def warnings(
    hardware: Hardware, gpus: Sequence[GpuFacts], ranks: int, device: Device, island: int
) -> list[Finding]:
    """Everything to say of planning `ranks` ranks on `gpus`, with `device` as the table has it."""
    found = [
        _sliced(gpus, ranks),
        _too_few(gpus, ranks) if gpus and gpus[0].slice_of is None else None,
        _unlike(gpus),
        _shared(gpus),
        _unknown_device(gpus, device),
        _no_nvlink(gpus, device, island),
        _islands(hardware, gpus, island) if ranks <= len(gpus) else None,
        _nothing_visible(hardware),
    ]
    return [finding for finding in found if finding]


def held(gpu: GpuFacts) -> int:
    """Bytes of a GPU that others hold."""
    listed = sum(process.memory or 0 for process in gpu.processes or ())
    used = gpu.memory_used or 0
    known = HELD if gpu.memory_reserved is not None else HELD + DRIVER
    return max(listed, used if used > known else 0)


def _shared(gpus: Sequence[GpuFacts]) -> Finding | None:
    taken = [gpu for gpu in gpus if held(gpu) or gpu.processes]
    if not taken:
        return None
    free = min(gpu.memory_free or 0 for gpu in gpus)
    others = [gpu for gpu in gpus if gpu not in taken]
    fixes = [Fix("stop what holds the memory, if it is yours to stop, or wait for it")]
    if others:
        fixes.append(only_visible(f"leave {gpu_names(taken)} out", others))
    return Finding(
        id="hardware.gpu-shared",
        severity="warning",
        cause=f"others hold memory of {gpu_names(taken)}: planned with {_gib(free)}, the least free on one.",
        evidence=tuple(line for gpu in taken for line in holders(gpu)),
        fixes=tuple(fixes),
    )


def holders(gpu: GpuFacts) -> list[str]:
    """Who holds memory of a GPU, a line each."""
    lines = [f"GPU {gpu.index}: {_process(process)}" for process in gpu.processes or ()]
    return lines or [f"GPU {gpu.index}: {_mib(held(gpu))} by processes that are not visible from here"]


def _process(process: GpuProcess) -> str:
    size = _mib(process.memory) if process.memory is not None else "? MiB"
    return f"pid {process.pid}, user {process.user}, {process.command}, {size}"


def _unlike(gpus: Sequence[GpuFacts]) -> Finding | None:
    if len({(gpu.name, gpu.memory_total) for gpu in gpus}) < 2:
        return None
    names = [gpu.name for gpu in gpus]
    most = max(names, key=names.count)
    alike = [gpu for gpu in gpus if gpu.name == most]
    smallest = min(gpus, key=lambda gpu: gpu.memory_total)
    return Finding(
        id="hardware.gpus-unlike",
        severity="warning",
        cause=f"the GPUs are not alike: planned for the smallest, {smallest.name}, and the slowest.",
        evidence=tuple(f"GPU {gpu.index}: {gpu.name}, {_gib(gpu.memory_total)}" for gpu in gpus),
        fixes=(
            only_visible(f"use the {len(alike)} {most} only; CUDA numbers unlike GPUs in this order", alike),
        ),
    )


def _sliced(gpus: Sequence[GpuFacts], ranks: int) -> Finding | None:
    part = next((gpu for gpu in gpus if gpu.slice_of), None)
    if part is None:
        return None
    cause = f"GPU {part.index} is in MIG mode: planned with its slice {part.name}, {_gib(part.memory_total)}."
    if ranks > 1:
        cause += f" A process sees one slice, and NCCL joins none: {ranks} ranks cannot run on slices."
    return Finding(
        id="hardware.mig",
        severity="warning" if ranks > 1 else "info",
        cause=cause,
        evidence=(f"slice {part.uuid}",),
        fixes=(
            *([Fix("use one rank", set={"parallel.nproc": 1})] if ranks > 1 else []),
            Fix("have MIG mode turned off", command=f"nvidia-smi -i {part.index} -mig 0"),
        ),
        param="parallel.nproc" if ranks > 1 else "",
    )


def _too_few(gpus: Sequence[GpuFacts], ranks: int) -> Finding | None:
    if ranks <= len(gpus):
        return None
    return Finding(
        id="hardware.too-few-gpus",
        severity="warning",
        cause=f"{ranks} ranks share {len(gpus)} GPUs: planned with a part of one each, which nccl cannot do.",
        fixes=(
            Fix(f"use {len(gpus)} ranks", set={"parallel.nproc": len(gpus)}),
            Fix("describe the machine that the run is for, for example --gpus 8xH100"),
        ),
        param="parallel.nproc",
    )


def _unknown_device(gpus: Sequence[GpuFacts], device: Device) -> Finding | None:
    if not gpus or device.peak is not None or gpus[0].slice_of:
        return None
    cause = f"the speed of {device.name} is not known: memory is predicted, time is not."
    return Finding("hardware.speed-unknown", "info", cause)


def _no_nvlink(gpus: Sequence[GpuFacts], device: Device, island: int) -> Finding | None:
    if not device.nvlink or len(gpus) < 2 or any(gpu.nvlinks for gpu in gpus) or island > 1:
        return None
    told = "NVML shows no NVLink" if gpus[0].nvlinks is None else "no NVLink is active"
    return Finding(
        id="hardware.no-nvlink",
        severity="warning",
        cause=f"{device.name} usually comes with NVLink, but {told} here: planned with PCIe between GPUs.",
        fixes=(
            Fix("look at the links", command="nvidia-smi nvlink --status"),
            Fix(
                "with NVSwitch, see whether its service runs", command="systemctl status nvidia-fabricmanager"
            ),
        ),
    )


def _islands(hardware: Hardware, gpus: Sequence[GpuFacts], island: int) -> Finding | None:
    """Says so when NVLink joins some of the GPUs, but not neighbours, or not as many everywhere."""
    here = {gpu.index for gpu in gpus}
    groups = [
        joined for group in hardware.topology.islands if len(joined := [i for i in group if i in here]) > 1
    ]
    largest = max((len(group) for group in groups), default=1)
    if largest <= island:
        return None
    order = [i for group in groups for i in group]
    rest = [gpu.index for gpu in gpus if gpu.index not in order]
    by_index = {gpu.index: gpu for gpu in gpus}
    sorted_by_group = [by_index[i] for i in [*order, *rest]]
    equal = not rest and len({len(group) for group in groups}) == 1
    fix = (
        only_visible("list GPUs of one group next to each other", sorted_by_group)
        if equal
        else only_visible("use the largest group only", [by_index[i] for i in max(groups, key=len)])
    )
    return Finding(
        id="hardware.islands-mixed",
        severity="warning",
        cause=f"NVLink joins only {_groups(groups)}, which are not equal groups of neighbours: "
        f"tensor parallel is planned over {island} GPU{'s' if island > 1 else ''}.",
        fixes=(fix,),
    )


def _nothing_visible(hardware: Hardware) -> Finding | None:
    if hardware.gpus or hardware.installed <= len(hardware.unreachable):
        return None
    return Finding(
        id="hardware.no-gpu-visible",
        severity="warning",
        cause=f"{hardware.installed} GPUs are installed and none is visible: planned for the CPU.",
        fixes=(
            Fix("see what hides them: an empty or wrong value", command="echo $CUDA_VISIBLE_DEVICES"),
            Fix("in MIG mode, see whether there are slices", command="nvidia-smi -L"),
        ),
    )


def only_visible(text: str, gpus: Sequence[GpuFacts]) -> Fix:
    """`text`, with the command that leaves only `gpus` visible, in this order."""
    numbers = ",".join(str(gpu.index) for gpu in gpus)
    return Fix(text, command=f"export CUDA_DEVICE_ORDER=PCI_BUS_ID CUDA_VISIBLE_DEVICES={numbers}")


def gpu_names(gpus: Sequence[GpuFacts]) -> str:
    """ "GPUs 1, 2"."""
    return f"GPU{'s' if len(gpus) > 1 else ''} {', '.join(str(gpu.index) for gpu in gpus)}"


def _groups(groups: list[list[int]]) -> str:
    return " and ".join("GPUs " + ", ".join(map(str, group)) for group in groups)


def _gib(size: int) -> str:
    return f"{size / GIB:.1f} GiB"


def _mib(size: int) -> str:
    return f"{size / MIB:,.0f} MiB"
