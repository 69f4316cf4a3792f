"""Asks NVML about each GPU."""

import os
import threading
import time
from typing import Any

from diagnostics.gpu_condition import read_condition
from diagnostics.gpu_facts import GpuFacts, GpuProcess, GpuReport, MigSlice, Pcie, throttled_words
from diagnostics.nvml import GpuQuery, LostGpuError, Nvml, as_text
from engine.findings import Finding, Fix

READ_SECONDS = 5.0
"""A GPU that has not told its facts by then hangs: some queries to a failing one block for minutes."""
NO_INSTANCE = 0xFFFFFFFF


def read_gpus(nvml: Nvml) -> GpuReport:
    """Facts of all GPUs, each read in a thread of its own, so that one which hangs holds up nothing."""
    answers: dict[int, GpuFacts | Finding] = {}
    failures: list[str] = []
    threads = [
        threading.Thread(target=_read_into, args=(nvml, index, answers, failures), daemon=True)
        for index in range(nvml.count)
    ]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + READ_SECONDS
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    hung = {i: _lost(i, f"no answer in {READ_SECONDS:.0f} s") for i in range(nvml.count) if i not in answers}
    answers = {**answers, **hung}
    ordered = [answers[index] for index in range(nvml.count)]
    lost = tuple(answer for answer in ordered if isinstance(answer, Finding))
    return GpuReport(
        gpus=tuple(answer for answer in ordered if isinstance(answer, GpuFacts)),
        unreachable=tuple(i for i in range(nvml.count) if isinstance(answers[i], Finding)),
        problems=(*lost, *_failed_queries(sorted(failures))),
    )


def _read_into(nvml: Nvml, index: int, answers: dict[int, GpuFacts | Finding], failures: list[str]) -> None:
    try:
        query = nvml.query(index)
        answers[index] = _read(query)
        failures += [f"GPU {index}: {failure}" for failure in query.failures]
    except LostGpuError as error:
        answers[index] = _lost(index, str(error))


def _read(query: GpuQuery) -> GpuFacts:
    name, uuid = query.ask("nvmlDeviceGetName"), query.ask("nvmlDeviceGetUUID")
    capability = query.ask("nvmlDeviceGetCudaComputeCapability")
    return GpuFacts(
        index=query.index,
        name=as_text(name) if name else "GPU",
        uuid=as_text(uuid) if uuid else "",
        capability=(int(capability[0]), int(capability[1])) if capability else None,
        processes=_processes(query),
        power_limit=_watts(query.ask("nvmlDeviceGetPowerManagementLimit")),
        power_limit_default=_watts(query.ask("nvmlDeviceGetPowerManagementDefaultLimit")),
        clock=query.ask("nvmlDeviceGetClockInfo", query.constant("NVML_CLOCK_SM", 1)),
        clock_max=query.ask("nvmlDeviceGetMaxClockInfo", query.constant("NVML_CLOCK_SM", 1)),
        memory_clock=query.ask("nvmlDeviceGetClockInfo", query.constant("NVML_CLOCK_MEM", 2)),
        memory_clock_max=query.ask("nvmlDeviceGetMaxClockInfo", query.constant("NVML_CLOCK_MEM", 2)),
        throttled=throttled_words(query.ask("nvmlDeviceGetCurrentClocksThrottleReasons")),
        pcie=Pcie(
            generation=query.ask("nvmlDeviceGetCurrPcieLinkGeneration"),
            generation_max=query.ask("nvmlDeviceGetMaxPcieLinkGeneration"),
            width=query.ask("nvmlDeviceGetCurrPcieLinkWidth"),
            width_max=query.ask("nvmlDeviceGetMaxPcieLinkWidth"),
        ),
        pci_bus=_bus(query.ask("nvmlDeviceGetPciInfo")),
        **_memory(query),
        **_ecc(query),
        **read_condition(query),
        **_mig(query),
        **_affinity(query),
        **_nvlinks(query),
    )


def _memory(query: GpuQuery) -> dict[str, Any]:
    """Version 2 of the query tells the driver's own share apart; version 1 counts it as used."""
    version = query.constant("nvmlMemory_v2", 0x02000028)
    memory = query.ask("nvmlDeviceGetMemoryInfo", version) or query.ask("nvmlDeviceGetMemoryInfo")
    if memory is None:
        return {}
    reserved = getattr(memory, "reserved", None)
    return {
        "memory_total": int(memory.total),
        "memory_free": int(memory.free),
        "memory_used": int(memory.used),
        "memory_reserved": int(reserved) if reserved is not None else None,
    }


def _processes(query: GpuQuery) -> tuple[GpuProcess, ...] | None:
    """Compute and graphics processes, largest first; None where NVML does not list them."""
    lists = [
        query.ask("nvmlDeviceGetComputeRunningProcesses"),
        query.ask("nvmlDeviceGetGraphicsRunningProcesses"),
    ]
    if lists[0] is None:
        return None
    entries = {entry.pid: entry for found in lists for entry in found or ()}
    processes = [
        GpuProcess(pid, *_who(pid), entry.usedGpuMemory, _instance(entry)) for pid, entry in entries.items()
    ]
    return tuple(sorted(processes, key=lambda process: (-(process.memory or 0), process.pid)))


def _instance(entry: Any) -> int | None:
    instance = getattr(entry, "gpuInstanceId", None)
    return None if instance == NO_INSTANCE else instance


def _who(pid: int) -> tuple[str, str]:
    """User and command of a process; the command without options, which may hold secrets."""
    import psutil

    try:
        process = psutil.Process(pid)
        words = process.cmdline() or [process.name()]
        user = process.username()
    except (psutil.Error, OSError):
        return "?", "?"
    options = (place for place, word in enumerate(words) if word.startswith("--"))
    words = words[: min(3, next(options, 3))]
    return user, " ".join([os.path.basename(words[0]), *words[1:]])[:80]  # noqa: PTH119


def _ecc(query: GpuQuery) -> dict[str, Any]:
    mode = query.ask("nvmlDeviceGetEccMode")
    if not mode or not mode[0]:
        return {"ecc": bool(mode[0]) if mode else None}
    uncorrected = query.constant("NVML_MEMORY_ERROR_TYPE_UNCORRECTED", 1)
    return {
        "ecc": True,
        "ecc_errors": query.ask(
            "nvmlDeviceGetTotalEccErrors", uncorrected, query.constant("NVML_VOLATILE_ECC", 0)
        ),
        "ecc_errors_lifetime": query.ask(
            "nvmlDeviceGetTotalEccErrors", uncorrected, query.constant("NVML_AGGREGATE_ECC", 1)
        ),
    }


def _mig(query: GpuQuery) -> dict[str, Any]:
    mode = query.ask("nvmlDeviceGetMigMode")
    if not mode or not mode[0]:
        return {"mig": bool(mode[0]) if mode else None}
    places = query.ask("nvmlDeviceGetMaxMigDeviceCount") or 0
    handles = [query.ask("nvmlDeviceGetMigDeviceHandleByIndex", place) for place in range(places)]
    return {
        "mig": True,
        "slices": tuple(_slice(query, handle) for handle in handles if handle is not None),
    }


def _slice(query: GpuQuery, handle: object) -> MigSlice:
    name, uuid = (query.ask_slice(f"nvmlDeviceGet{what}", handle) for what in ("Name", "UUID"))
    memory = query.ask_slice("nvmlDeviceGetMemoryInfo", handle)
    return MigSlice(
        uuid=as_text(uuid) if uuid else "",
        profile=as_text(name).rpartition("MIG ")[2] if name and "MIG " in as_text(name) else "",
        memory_total=int(memory.total) if memory else 0,
        memory_free=int(memory.free) if memory else 0,
        gpu_instance=query.ask_slice("nvmlDeviceGetGpuInstanceId", handle),
        compute_instance=query.ask_slice("nvmlDeviceGetComputeInstanceId", handle),
    )


def _affinity(query: GpuQuery) -> dict[str, Any]:
    words = -(-(os.cpu_count() or 64) // 64)
    nodes = _bits(query.ask("nvmlDeviceGetMemoryAffinity", 1, query.constant("NVML_AFFINITY_SCOPE_NODE", 0)))
    cpus = _bits(query.ask("nvmlDeviceGetCpuAffinity", words))
    return {"numa_node": nodes[0] if nodes else None, "cpus": _ranges(cpus) if cpus else None}


def _nvlinks(query: GpuQuery) -> dict[str, Any]:
    states = []
    for link in range(query.constant("NVML_NVLINK_MAX_LINKS", 18)):
        state = query.ask("nvmlDeviceGetNvLinkState", link)
        if state is None:
            break
        states.append(state)
    active = [link for link, state in enumerate(states) if state]
    if not active:
        return {"nvlinks": 0 if states else None}
    switch = query.constant("NVML_NVLINK_DEVICE_TYPE_SWITCH", 2)
    speed = _field(query, query.constant("NVML_FI_DEV_NVLINK_SPEED_MBPS_COMMON", 90))
    facts = {"nvlinks": len(active), "nvlink_speed": speed * 1e6 * len(active) if speed else None}
    if query.ask("nvmlDeviceGetNvLinkRemoteDeviceType", active[0]) == switch:
        return {**facts, "nvswitch": True}
    ends = {_bus(query.ask("nvmlDeviceGetNvLinkRemotePciInfo", link)) for link in active}
    return {**facts, "nvlink_peers": tuple(sorted(bus for bus in ends if bus))}


def _field(query: GpuQuery, field: int) -> int | None:
    values = query.ask("nvmlDeviceGetFieldValues", [field])
    return int(values[0].value.uiVal) if values and values[0].nvmlReturn == 0 else None


def _bus(info: object | None) -> str | None:
    bus = getattr(info, "busId", None)
    return as_text(bus).upper() if bus else None


def _bits(words: Any) -> list[int]:
    """Positions of the set bits in an array of 64-bit words."""
    numbers = [int(word) for word in words] if words is not None else []
    return [64 * place + bit for place, word in enumerate(numbers) for bit in range(64) if word >> bit & 1]


def _ranges(numbers: list[int]) -> str:
    """0, 1, 2, 8 → "0-2,8"."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ",".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs)


def _watts(milliwatts: int | None) -> float | None:
    return milliwatts / 1000 if milliwatts is not None else None


def _lost(index: int, reason: str) -> Finding:
    return Finding(
        id="hardware.gpu-lost",
        severity="warning",
        cause=f"GPU {index} does not answer ({reason}), so it is treated as absent.",
        fixes=(
            Fix(
                "read what the driver logged: Xid 79 is a GPU that fell off the bus",
                command="dmesg | grep -i xid",
            ),
            Fix("reset it, or reboot the machine", command=f"nvidia-smi --gpu-reset -i {index}"),
            Fix("leave it out: name the others in CUDA_VISIBLE_DEVICES by UUID", command="nvidia-smi -L"),
        ),
    )


def _failed_queries(failures: list[str]) -> tuple[Finding, ...]:
    if not failures:
        return ()
    return (
        Finding(
            id="hardware.gpu-query-failed",
            severity="warning",
            cause=f"{len(failures)} questions to the NVIDIA driver failed; what they ask is unknown.",
            evidence=tuple(failures),
            fixes=(Fix("see whether the GPUs are well", command="nvidia-smi -q"),),
        ),
    )
