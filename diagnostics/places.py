"""Places to plan for: machines described in words, and this machine as it was found."""

import re

from engine.findings import Finding, FindingsError, Fix
from engine.footprint.devices import GIB, Device, assumed_of_name, find_device
from engine.footprint.job import Place

HOST_SHARE = 2
"""Host memory assumed of a described machine, in memory of all its GPUs: what is sold with eight A100 or H100
(0.6 TB together) has 1 to 2 TB."""
NODE_LINK = 50e9
"""Bytes per second and GPU between machines: 400 Gb/s, as H100 and later are sold with."""
NODE_LINK_AMPERE = 25e9
MAX_GPUS = 16
"""Of one machine, as sold."""
EXAMPLES = "8xA100-80, 4xH200, 1xRTX4090, 4xunknown-24"


def described_place(text: str, nodes: int = 1, host_memory: int | None = None) -> Place:
    """The place that `text` describes: GPUs of one machine ("8xA100-80", "H200" for one), `nodes` machines.

    `host_memory`: bytes of one machine, assumed when None. Raises FindingsError for what is no number and
    name, for an unknown GPU and for numbers no machine has. What had to be assumed: `assumed_of_place`.
    """
    count, device = _described(text, nodes)
    ampere = device.name.startswith(("A100", "A800"))
    return Place(
        device=device,
        ranks=count * nodes,
        ranks_per_node=count,
        island=count if device.nvlink else 1,
        free=device.memory,
        host_memory=host_memory or HOST_SHARE * count * device.memory,
        node_link=NODE_LINK_AMPERE if ampere else NODE_LINK,
    )


def assumed_of_place(text: str, nodes: int = 1, host_memory: int | None = None) -> list[Finding]:
    """What `described_place` had to assume, with the same arguments: findings of severity info."""
    place = described_place(text, nodes, host_memory)
    assumed = assumed_of_name(_split(text)[1])
    if host_memory is None:
        cause = (
            f"a machine with {text} is assumed to have {place.host_memory / GIB:.0f} GiB of RAM, "
            f"{HOST_SHARE} times the memory of its GPUs."
        )
        assumed.append(Finding("hardware.host-assumed", "info", cause, fixes=(Fix("give its RAM"),)))
    return assumed


def _described(text: str, nodes: int) -> tuple[int, Device]:
    count, name = _split(text)
    if nodes < 1:
        raise FindingsError([_malformed(f"{nodes} machines cannot run anything", "give 1 or more")])
    if count == 0:
        raise FindingsError([_malformed(f"{text!r} has no GPU", f"write for example {EXAMPLES}")])
    if count > MAX_GPUS:
        wanted = f"8x{name} on {-(-count * nodes // 8)} machines"
        raise FindingsError([_malformed(f"no machine has {count} GPUs; {text!r} is one machine", wanted)])
    return count, find_device(name)


def _split(text: str) -> tuple[int, str]:
    """ "8xA100-80" → 8, "A100-80"; "H200" → 1, "H200"."""
    match = re.fullmatch(r"\s*(?:(\d+)\s*[x×*]\s*)?([a-z0-9][\w .-]*?)\s*", text, re.IGNORECASE)
    if match is None:
        raise FindingsError([_malformed(f"{text!r} describes no GPUs", f"write for example {EXAMPLES}")])
    swapped = re.fullmatch(r"(.+?)\s*[x×*]\s*(\d+)", match[2], re.IGNORECASE)
    if swapped and not match[1]:
        raise FindingsError(
            [_malformed(f"{text!r} has its number at the end", f"write {swapped[2]}x{swapped[1]}")]
        )
    return int(match[1] or 1), match[2]


def _malformed(cause: str, fix: str) -> Finding:
    return Finding("hardware.gpus-malformed", "error", f"{cause}.", fixes=(Fix(fix),))
