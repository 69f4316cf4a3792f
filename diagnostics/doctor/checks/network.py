"""Checks of the network: ports, names, interfaces, InfiniBand, proxies."""

import re

from diagnostics.doctor.check import Answer, CannotCheck, Check, DoesNotApply, Ok
from diagnostics.doctor.checks.hub import HUB
from diagnostics.doctor.checks.infiniband import INFINIBAND
from diagnostics.doctor.checks.interfaces import INTERFACES
from diagnostics.doctor.checks.run_facts import machines
from diagnostics.doctor.host import Host
from engine.findings import Finding, Fix, Severity

TORCHRUN_PORT, RAS_PORT = 29500, 28028
LOOPBACK = "127.0.0.1"
LOCAL = ("localhost", LOOPBACK, "::1")
REACH_S = 3.0


def _port(host: Host) -> Answer:
    configured = host.config.parallel.master_port if host.config else None
    told = host.environ.get("MASTER_PORT", "")
    if configured is None and told and not told.isdecimal():
        cause = f"the environment's MASTER_PORT = {told!r} is not a port."
        return Finding("net.port", "error", cause, fixes=(Fix("leave it out", command="unset MASTER_PORT"),))
    port = configured or int(told or TORCHRUN_PORT)
    error = host.port_error(port, LOOPBACK)
    if error is None:
        return Ok(f"port {port} is free")
    free = next((p for p in range(port + 1, port + 20) if host.port_error(p, LOOPBACK) is None), None)
    fixes = []
    if configured:
        edit = {"parallel.master_port": None}
        fixes.append(Fix("leave master_port out: a free port is picked", set=edit))
        if free:
            fixes.append(Fix(f"or use port {free}, which is free", set={"parallel.master_port": free}))
    elif told:
        fixes.append(Fix("choose another port", command=f"export MASTER_PORT={free or 'PORT'}"))
    else:
        fixes.append(Fix("give torchrun another port", command=f"torchrun --master-port {free or 'PORT'}"))
    fixes.append(Fix("see who uses it", command=f"ss -ltnp 'sport = :{port}'"))
    name = "master_port" if configured else "MASTER_PORT" if told else "torchrun's usual port"
    cause = f"{name} {port} cannot be opened: {error}."
    if not configured and not told:
        cause += " rft launch picks a free one; torchrun by itself does not."
    severity: Severity = "error" if configured or told else "info"
    return Finding(
        "net.port", severity, cause, fixes=tuple(fixes), param="parallel.master_port" if configured else ""
    )


def _hostname(host: Host) -> Answer:
    name, several = host.hardware.host, machines(host) > 1
    addresses = host.resolve(name)
    beyond = [address for address in addresses if not address.startswith("127.") and address != "::1"]
    if beyond:
        return Ok(f"{name} is {beyond[0]}")
    if addresses and not several:
        return Ok(f"{name} is {addresses[0]}, which is enough for one machine")
    found = f"resolves to {', '.join(addresses)} only" if addresses else "does not resolve"
    effect = (
        "other machines cannot reach this one by it" if several else "gloo and Ray look it up as they start"
    )
    return Finding(
        id="net.hostname",
        severity="error" if several else "info",
        cause=f"the host's own name {name} {found}: {effect}.",
        fixes=(
            Fix("name it in /etc/hosts", command=f"echo 'ADDRESS {name}' | sudo tee -a /etc/hosts"),
            Fix("or give an address instead of a name", command="export MASTER_ADDR=ADDRESS"),
        ),
    )


def _reach(host: Host) -> Answer:
    address, port = host.environ.get("MASTER_ADDR", ""), host.environ.get("MASTER_PORT", "")
    if not address or address in (*LOCAL, host.hardware.host):
        raise DoesNotApply("MASTER_ADDR names no other machine")
    number = int(port) if port.isdecimal() else TORCHRUN_PORT
    error = host.connect(address, number, REACH_S)
    if error is None:
        return Ok(f"{address}:{number} answers")
    resolved = host.resolve(address)
    if "refused" in error.lower():
        reason = "the machine answers, but nothing listens there: rank 0 is not started, or on another port"
    elif not resolved:
        reason = "the name does not resolve here"
    else:
        reason = f"no answer within {REACH_S:g} s from {', '.join(resolved)}: a firewall, or a wrong address"
    return Finding(
        id="net.reach",
        severity="error",
        cause=f"the master at {address}:{number} cannot be reached: {error}; {reason}.",
        fixes=(
            Fix("try it by hand", command=f"nc -vz -w 3 {address} {number}"),
            Fix(f"start rank 0 there first, and open TCP port {number} between the machines"),
            Fix("give an address of the network that joins them", command="export MASTER_ADDR=ADDRESS"),
        ),
    )


def _proxy(host: Host) -> Answer:
    names = [
        name for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY") if host.environ.get(name)
    ]
    if not names:
        return Ok("no proxy for http")
    given = ",".join(host.environ.get(name, "") for name in ("no_proxy", "NO_PROXY"))
    spared = {entry.strip().lstrip(".") for entry in re.split(r"[,\s]+", given) if entry.strip()}
    missing = [local for local in ("localhost", LOOPBACK) if local not in spared]
    if "*" in spared or not missing:
        return Ok(f"{names[0]} is set, and no_proxy spares this machine")
    wanted = ",".join([*sorted(spared), *missing])
    return Finding(
        id="net.proxy",
        severity="warning",
        cause=f"{names[0]} is set, but no_proxy does not name {' and '.join(missing)}: calls to an engine "
        "or a reward server on this machine go to the proxy.",
        fixes=(Fix("spare this machine", command=f"export no_proxy={wanted} NO_PROXY={wanted}"),),
    )


def _ras(host: Host) -> Answer:
    if host.environ.get("NCCL_RAS_ENABLE", "1") == "0":
        raise DoesNotApply("NCCL_RAS_ENABLE = 0")
    address, _, port = host.environ.get("NCCL_RAS_ADDR", f"localhost:{RAS_PORT}").rpartition(":")
    if not port.isdecimal():
        raise CannotCheck(f"NCCL_RAS_ADDR = {host.environ.get('NCCL_RAS_ADDR')} is not ADDRESS:PORT")
    bound = LOOPBACK if address in ("", "localhost") else address
    error = host.port_error(int(port), bound)
    if error is None:
        return Ok(f"port {port} is free for NCCL's RAS")
    return Finding(
        id="ras.port",
        severity="info",
        cause=f"port {port} of NCCL's RAS service cannot be opened: {error}. A second job would run "
        "without the service, and a hang could not be looked into through it.",
        fixes=(
            Fix("give this job its own port", command=f"export NCCL_RAS_ADDR=localhost:{int(port) + 1}"),
            Fix("see who uses it", command=f"ss -ltnp 'sport = :{port}'"),
        ),
    )


CHECKS: tuple[Check, ...] = (
    Check("net.port", "the rendezvous port is free", "fast", _port),
    Check("net.hostname", "the host's name resolves", "fast", _hostname),
    INTERFACES,
    Check("net.reach", "the master can be reached", "active", _reach, limit_s=REACH_S + 2),
    INFINIBAND,
    Check("net.proxy", "no proxy is between processes of this machine", "fast", _proxy),
    HUB,
    Check("ras.port", "the port of NCCL's RAS is free", "fast", _ras, needs=("gpus",)),
)
