"""Check of InfiniBand and RoCE ports, from /sys/class/infiniband."""

from diagnostics.doctor.check import Answer, CannotCheck, Check, Ok
from diagnostics.doctor.host import Host
from engine.findings import Finding, Fix, Severity

PORTS = "/sys/class/infiniband/*/ports/*"
COUNTERS = ("link_downed", "symbol_error", "port_rcv_errors")


def _ib(host: Host) -> Answer:
    ports = host.glob(PORTS)
    states = {port: _text(host, f"{port}/state") for port in ports}
    active = [port for port, state in states.items() if "ACTIVE" in state]
    down = [port for port in ports if port not in active]
    findings = []
    if down:
        findings.append(_down(down, active, states))
    if errors := [line for port in active if (line := _errors(host, port))]:
        findings.append(_erring(errors))
    if roce := [port for port in active if _lacks_version_2(host, port)]:
        findings.append(_no_version_2(roce))
    return tuple(findings) or Ok(f"{len(active)} of {len(ports)} ports active, no link errors")


def _down(down: list[str], active: list[str], states: dict[str, str]) -> Finding:
    severity: Severity = "warning" if active else "error"
    fixes = [Fix("look at the ports: the cable, and whether a subnet manager runs", command="ibstat")]
    if active:
        devices = ",".join(sorted({_name(port).partition(":")[0] for port in active}))
        fixes.insert(0, Fix("name the adapters that work", command=f"export NCCL_IB_HCA={devices}"))
    else:
        fixes.append(Fix("or use TCP meanwhile, which is slower", command="export NCCL_IB_DISABLE=1"))
    return Finding(
        id="net.ib.down",
        severity=severity,
        cause=f"{len(down)} of {len(states)} InfiniBand ports are not active"
        + (": NCCL finds none that works." if not active else "."),
        evidence=tuple(f"{_name(port)}: {states[port] or 'no state'}" for port in down),
        fixes=tuple(fixes),
    )


def _erring(errors: list[str]) -> Finding:
    return Finding(
        id="net.ib.errors",
        severity="warning",
        cause=f"{len(errors)} InfiniBand ports have counted link errors since they were reset: a cable or "
        "a transceiver may be bad, and NCCL waits for what is sent again.",
        evidence=tuple(errors),
        fixes=(
            Fix("see whether they still rise", command="watch -n 10 perfquery -x"),
            Fix("name the adapters without errors in NCCL_IB_HCA, and have the cables of the others seen to"),
        ),
    )


def _no_version_2(ports: list[str]) -> Finding:
    return Finding(
        id="net.ib.gid",
        severity="warning",
        cause=f"{', '.join(map(_name, ports))}: RoCE without an address of version 2 (RoCE v2), which does "
        "not cross routers and which NCCL does not choose by itself.",
        fixes=(
            Fix("see which addresses there are", command="show_gids"),
            Fix(
                "give the interface an IP address, then name its index", command="export NCCL_IB_GID_INDEX=3"
            ),
        ),
    )


def _errors(host: Host, port: str) -> str:
    """The error counters of a port that are not 0, in words."""
    counts = {name: _text(host, f"{port}/counters/{name}") for name in COUNTERS}
    risen = [f"{name} {count}" for name, count in counts.items() if count.isdecimal() and int(count)]
    return f"{_name(port)}: {', '.join(risen)}" if risen else ""


def _lacks_version_2(host: Host, port: str) -> bool:
    if _text(host, f"{port}/link_layer") != "Ethernet":
        return False
    return not any(_is_version_2(host, entry) for entry in host.glob(f"{port}/gid_attrs/types/*"))


def _is_version_2(host: Host, entry: str) -> bool:
    try:
        return _text(host, entry) == "RoCE v2"
    except CannotCheck:  # the kernel refuses to read the type of an address that is not set
        return False


def _name(port: str) -> str:
    """`mlx5_0:1` of its folder."""
    device, number = port.split("/")[-3::2]
    return f"{device}:{number}"


def _text(host: Host, path: str) -> str:
    return (host.read(path) or "").strip()


INFINIBAND = Check("net.ib", "InfiniBand ports are active", "fast", _ib, needs=("infiniband",))
