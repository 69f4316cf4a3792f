"""The CUDA version that the installed torch is built with, told without importing it."""

import re

from diagnostics.doctor.host import Host

RUNTIMES = re.compile(r"(?:nvidia-cuda-runtime(?:-cu\d+)?|cuda-toolkit(?:\[[^\]]*\])?)\s*==\s*(\d+)\.(\d+)")
"""What torch wheels of PyPI, which name no CUDA version themselves, require."""


def torch_cuda(host: Host) -> str | None:
    """Such as "12.8"; None for a CPU build, and without torch."""
    found = host.distributions().get("torch", ())
    if not found:
        return None
    local = found[0].version.partition("+")[2]
    if tagged := re.fullmatch(r"cu(\d+)(\d)", local):
        return f"{tagged[1]}.{tagged[2]}"
    required = next((match for line in found[0].requires if (match := RUNTIMES.match(line))), None)
    return f"{required[1]}.{required[2]}" if required else None
