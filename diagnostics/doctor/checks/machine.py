"""Limits of the operating system: open files, locked memory, processes, cores, and looking into processes."""

from diagnostics.doctor.check import Answer, Check, Ok
from diagnostics.doctor.checks import run_facts
from diagnostics.doctor.checks.gpu import LOOK_S
from diagnostics.doctor.host import Host
from engine.findings import Finding, Fix

FILES = 65_536
PROCESSES = 4_096
UNLIMITED = -1
INFINIBAND = "/sys/class/infiniband/*"
PTRACE = "/proc/sys/kernel/yama/ptrace_scope"
SYS_PTRACE = 19
"""Number of the capability CAP_SYS_PTRACE."""


def _limits(host: Host) -> Answer:
    findings = [*_files(host), *_locked(host), *_processes(host)]
    return tuple(findings) or Ok(
        f"{_many(host.limit('nofile')[0])} open files, {_many(host.limit('nproc')[0])} processes"
    )


def _files(host: Host) -> list[Finding]:
    soft, hard = host.limit("nofile")
    if _enough(soft, FILES):
        return []
    cause = f"a process may open {soft:,} files; with data loaders and an engine it may need {FILES:,}."
    return [Finding("host.limits", "warning", cause, fixes=_raise("nofile", "n", FILES, hard))]


def _locked(host: Host) -> list[Finding]:
    soft, hard = host.limit("memlock")
    if soft == UNLIMITED or not host.glob(INFINIBAND):
        return []
    cause = (
        f"a process may lock {soft // 1024:,} KiB of memory, and InfiniBand registers its buffers that way."
    )
    return [Finding("host.limits.memlock", "warning", cause, fixes=_raise("memlock", "l", UNLIMITED, hard))]


def _processes(host: Host) -> list[Finding]:
    soft, hard = host.limit("nproc")
    if _enough(soft, PROCESSES):
        return []
    cause = f"a user may have {soft:,} processes and threads; libraries start hundreds in every rank."
    return [Finding("host.limits.nproc", "warning", cause, fixes=_raise("nproc", "u", PROCESSES, hard))]


def _enough(limit: int, wanted: int) -> bool:
    return limit == UNLIMITED or limit >= wanted


def _raise(name: str, flag: str, wanted: int, hard: int) -> tuple[Fix, ...]:
    value = "unlimited" if wanted == UNLIMITED else str(wanted)
    docker = f"docker run --ulimit {name}={wanted} …"
    if hard == UNLIMITED or (wanted != UNLIMITED and hard >= wanted):
        here = Fix("raise it in the shell that starts the run", command=f"ulimit -{flag} {value}")
        return (here, Fix("or for the container", command=docker))
    lasting = f"echo '* - {name} {value}' | sudo tee /etc/security/limits.d/90-rftui.conf"
    return (
        Fix("raise it for the container", command=docker),
        Fix("or on the machine, then log in again", command=lasting),
    )


def _many(limit: int) -> str:
    return "unlimited" if limit == UNLIMITED else f"{limit:,}"


def _cores(host: Host) -> Answer:
    cores, ranks = host.hardware.cores, run_facts.ranks(host)
    workers = host.config.data.num_workers if host.config else 0
    wanted = ranks * (1 + workers)
    if cores >= wanted:
        return Ok(f"{cores} usable cores for {ranks} rank{'s' * (ranks > 1)}")
    fixes = []
    if workers:
        fewer = max(0, cores // ranks - 1)
        fixes.append(Fix(f"use {fewer} loading processes a rank", set={"data.num_workers": fewer}))
    if ranks > 1 and not run_facts.uses_gpus(host):
        fixes.append(Fix(f"use {cores} ranks", set={"parallel.nproc": cores}))
    fixes.append(Fix("or allow this process more cores (taskset, cpuset, docker --cpus)", command="nproc"))
    return Finding(
        id="host.cpu",
        severity="warning",
        cause=f"{ranks} ranks with {workers} loading processes each want {wanted} cores, and {cores} are "
        "usable here.",
        fixes=tuple(fixes),
    )


def _ptrace(host: Host) -> Answer:
    scope = (host.read(PTRACE) or "0").strip()
    if scope == "0" or _may_trace(host):
        return Ok("stacks of running processes can be read (py-spy)")
    return Finding(
        id="host.ptrace",
        severity="info",
        cause=f"py-spy cannot look into running processes here (ptrace_scope {scope}): a hang is looked into "
        "with the "
        "stacks that ranks write themselves.",
        fixes=(
            Fix("allow it until the next reboot", command="sudo sysctl kernel.yama.ptrace_scope=0"),
            Fix("in a container", command="docker run --cap-add=SYS_PTRACE …"),
        ),
    )


def _may_trace(host: Host) -> bool:
    lines = (host.read("/proc/self/status") or "").splitlines()
    held = next((line.split()[1] for line in lines if line.startswith("CapEff:")), "0")
    return bool(int(held, 16) >> SYS_PTRACE & 1)


CHECKS = (
    Check("host.limits", "the limits of processes are high enough", "fast", _limits),
    Check("host.cpu", "there are cores for all ranks", "fast", _cores, limit_s=LOOK_S),
    Check("host.ptrace", "running processes can be looked into", "fast", _ptrace),
)
