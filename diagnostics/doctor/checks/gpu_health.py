"""Whether the GPUs are well: memory errors, throttling, what the driver wrote to the kernel log."""

from collections.abc import Iterator, Sequence

from diagnostics.doctor.check import Answer, CannotCheck, Check, Ok
from diagnostics.doctor.checks.gpu import LOOK_S, wanted
from diagnostics.doctor.host import Host
from diagnostics.gpu_facts import GpuFacts
from diagnostics.place_warnings import gpu_names
from diagnostics.xids import ACTIONS, Seen, read_xids, same_card
from engine.findings import Finding, Fix

SLOWED = ("hardware slowdown", "heat (software)", "heat (hardware)", "power brake of the power supply")
"""Reasons for low clocks that something is wrong; the power limit is reached by every busy card."""
CAPPED = 0.9
"""A power limit below this share of the card's own is a cap that somebody has set."""
KMSG = "/dev/kmsg"
COMMANDS = (("journalctl", "-k", "-b", "-q", "--no-pager", "-o", "short-iso"), ("dmesg",))
COMMAND_S = 1.5
MOST_LINES = 5
RANK = {"error": 0, "warning": 1, "info": 2}


def _ecc(host: Host) -> Answer:
    gpus = wanted(host)
    findings = tuple(finding for gpu in gpus for finding in _memory_errors(gpu))
    if findings:
        return findings
    if not any(gpu.ecc for gpu in gpus):
        return Ok("these cards have no ECC memory, or it is off")
    lifetime = sum(gpu.ecc_errors_lifetime or 0 for gpu in gpus)
    return Ok(
        "no uncorrected memory errors" + (f" now, {lifetime} in the cards' lifetime" if lifetime else "")
    )


def _memory_errors(gpu: GpuFacts) -> Iterator[Finding]:
    named = f"GPU {gpu.index} ({gpu.name})"
    reset = Fix(
        "end what runs on it and reset it (with NVSwitch: all GPUs, or reboot)",
        command=f"sudo nvidia-smi --gpu-reset -i {gpu.index}",
    )
    replace = Fix(
        "if they come again after the reset, have the card inspected",
        command="nvidia-smi -q -d ECC,ROW_REMAPPER",
    )
    if gpu.rows_failed:
        cause = f"{named} has no spare row left for a broken one in its memory: it is to be replaced."
        yield Finding("gpu.ecc.remap-failed", "error", cause, fixes=(Fix("have the card replaced"), replace))
    if gpu.ecc_errors:
        cause = f"{named} has had {gpu.ecc_errors} uncorrected memory errors since the driver was loaded."
        yield Finding("gpu.ecc", "error", cause, fixes=(reset, replace))
    if gpu.rows_pending:
        cause = f"{named} replaces a broken row of its memory at its next reset."
        yield Finding("gpu.ecc.remap-pending", "warning", cause, fixes=(reset,))


def _throttle(host: Host) -> Answer:
    gpus = wanted(host)
    told = [gpu for gpu in gpus if gpu.throttled is not None]
    if not told:
        raise CannotCheck("the driver does not tell why clocks are low")
    slowed = [gpu for gpu in told if set(gpu.throttled or ()) & set(SLOWED)]
    findings = []
    if slowed:
        findings.append(
            Finding(
                id="gpu.throttle",
                severity="warning",
                cause=f"{gpu_names(slowed)}: slower than possible, and every step waits for the slowest.",
                evidence=tuple(
                    f"GPU {gpu.index}: {', '.join(gpu.throttled or ())}; {_clocks(gpu)}" for gpu in slowed
                ),
                fixes=(
                    Fix(
                        "heat: look at temperatures, fans and airflow",
                        command="nvidia-smi -q -d TEMPERATURE,PERFORMANCE",
                    ),
                    Fix("power brake: the machine's supply asks for it; look at its power supplies"),
                ),
            )
        )
    findings += _capped(gpus)
    return tuple(findings) or Ok("no card is slowed down by heat or power")


def _clocks(gpu: GpuFacts) -> str:
    return f"{gpu.clock} of {gpu.clock_max} MHz" if gpu.clock and gpu.clock_max else "clocks not told"


def _capped(gpus: Sequence[GpuFacts]) -> list[Finding]:
    low = [
        gpu
        for gpu in gpus
        if gpu.power_limit and gpu.power_limit_default and gpu.power_limit < CAPPED * gpu.power_limit_default
    ]
    if not low:
        return []
    return [
        Finding(
            id="gpu.throttle.power-cap",
            severity="warning",
            cause=f"the power of {gpu_names(low)} is capped below what the card is made for.",
            evidence=tuple(
                f"GPU {g.index}: {g.power_limit:.0f} of {g.power_limit_default:.0f} W" for g in low
            ),
            fixes=(
                Fix(
                    "lift it, if it is yours to lift",
                    command=f"sudo nvidia-smi -pl {low[0].power_limit_default:.0f}",
                ),
            ),
        )
    ]


def _xid(host: Host) -> Answer:
    log = _kernel_log(host)
    by_cause: dict[tuple[int, str], list[Seen]] = {}
    for seen in read_xids(log):
        by_cause.setdefault((seen.code, seen.bus), []).append(seen)
    if not by_cause:
        return Ok("no Xid in the kernel log")
    findings = [_as_finding(found, host.hardware.gpus) for found in by_cause.values()]
    return tuple(sorted(findings, key=lambda finding: RANK[finding.severity]))


def _as_finding(found: Sequence[Seen], gpus: Sequence[GpuFacts]) -> Finding:
    first, times = found[0], len(found)
    gpu = next((gpu for gpu in gpus if same_card(first.bus, gpu.pci_bus)), None)
    where = f"GPU {gpu.index}" if gpu else f"the GPU at {first.bus}, which is not visible here,"
    often = "once" if times == 1 else f"{times} times"
    words, command = ACTIONS[first.xid.act]
    return Finding(
        id=f"gpu.xid.{first.code}",
        severity=first.xid.severity,
        cause=f"the kernel log has Xid {first.code} of {where} {often} since boot: {first.xid.meaning}.",
        evidence=tuple(seen.text for seen in found[-MOST_LINES:]),
        fixes=(Fix(words, command=command.format(gpu=gpu.index if gpu else first.bus)),),
    )


def _kernel_log(host: Host) -> str:
    """Since boot. Raises CannotCheck with the reasons where nobody may read it."""
    reasons = []
    try:
        if (text := host.read(KMSG)) is not None:
            return text
        reasons.append(f"there is no {KMSG}")
    except CannotCheck as error:
        reasons.append(str(error))
    for command in COMMANDS:
        if host.which(command[0]) is None:
            reasons.append(f"no {command[0]}")
            continue
        ran = host.run(command, COMMAND_S)
        if ran.code == 0 and ran.out.strip():
            return ran.out
        reasons.append(
            f"{command[0]}: {ran.err.strip().splitlines()[-1] if ran.err.strip() else 'says nothing'}"
        )
    raise CannotCheck(
        f"the kernel log may not be read here ({'; '.join(reasons)}); on the machine itself: "
        "sudo dmesg | grep -i xid"
    )


CHECKS = (
    Check("gpu.ecc", "the GPUs' memory is sound (ECC)", "fast", _ecc, ("gpus",), LOOK_S),
    Check("gpu.throttle", "the GPUs run at full speed", "fast", _throttle, ("gpus",), LOOK_S),
    Check("gpu.xid", "the kernel log has no GPU errors (Xid)", "fast", _xid, ("nvidia",), LOOK_S),
)
