"""Check of the variables that name network interfaces."""

from collections.abc import Sequence

from diagnostics.doctor.check import Answer, Check, Ok
from diagnostics.doctor.host import Host, Interface
from engine.findings import Finding, Fix

NCCL, GLOO = "NCCL_SOCKET_IFNAME", "GLOO_SOCKET_IFNAME"


def _ifname(host: Host) -> Answer:
    given = {name: host.environ[name] for name in (NCCL, GLOO) if host.environ.get(name)}
    if not given:
        return Ok("no interface is named: the libraries choose")
    up = [interface for interface in host.interfaces() if interface.up]
    wrong = {
        name: value for name, value in given.items() if not (_nccl if name == NCCL else _gloo)(value, up)
    }
    if not wrong:
        return Ok(", ".join(f"{name} = {value}" for name, value in given.items()))
    return tuple(_finding(name, value, up) for name, value in wrong.items())


def _nccl(value: str, up: Sequence[Interface]) -> bool:
    """Whether NCCL finds an interface: beginnings of names, whole names after `=`, none of them after `^`."""
    excluding, exact = value.startswith("^"), value.lstrip("^").startswith("=")
    entries = [entry.partition(":")[0] for entry in value.lstrip("^=").split(",") if entry]
    named = [
        interface
        for interface in up
        if any(interface.name == entry if exact else interface.name.startswith(entry) for entry in entries)
    ]
    if excluding:
        return any(interface not in named and interface.name != "lo" for interface in up)
    return bool(named)


def _gloo(value: str, up: Sequence[Interface]) -> bool:
    """Whether gloo finds every one: whole names only."""
    names = {interface.name for interface in up}
    return all(entry.strip() in names for entry in value.split(","))


def _finding(name: str, value: str, up: Sequence[Interface]) -> Finding:
    beyond = [interface for interface in up if interface.name != "lo"] or list(up)
    how = "beginnings of names" if name == NCCL else "whole names"
    return Finding(
        id="net.ifname",
        severity="error",
        cause=f"{name} = {value} matches no network interface that is up ({how} count).",
        evidence=tuple(f"{i.name}: {', '.join(i.addresses) or 'no address'}" for i in up),
        fixes=(
            *(
                Fix(f"name {interface.name}", command=f"export {name}={interface.name}")
                for interface in beyond[:3]
            ),
            Fix("or let the library choose", command=f"unset {name}"),
        ),
    )


INTERFACES = Check("net.ifname", "the named network interfaces are there", "fast", _ifname)
