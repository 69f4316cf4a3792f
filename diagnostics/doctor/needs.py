"""Whether what a check needs is there; if not, the check does not apply."""

from collections.abc import Callable

from diagnostics.doctor.check import Need
from diagnostics.doctor.host import Host

PACKAGES: tuple[Need, ...] = ("torch", "vllm", "deepspeed", "ray", "wandb")
CONTAINER_FILES = ("/.dockerenv", "/run/.containerenv")
CONTAINER_WORDS = ("docker", "kubepods", "containerd", "libpod", "lxc")


def missing(need: Need, host: Host) -> str | None:
    """Why a need is not met, in words; None where it is. Raises CannotCheck."""
    if need in PACKAGES:
        return None if need in host.distributions() else f"{need} is not installed"
    look, words = _LOOKS[need]
    return None if look(host) else words


def _nvidia(host: Host) -> bool:
    hardware = host.hardware
    return bool(hardware.installed or hardware.driver or hardware.problems)


def _container(host: Host) -> bool:
    if any(host.glob(path) for path in CONTAINER_FILES):
        return True
    groups = host.read("/proc/1/cgroup") or ""
    return any(word in groups for word in CONTAINER_WORDS)


_LOOKS: dict[Need, tuple[Callable[[Host], bool], str]] = {
    "gpus": (lambda host: bool(host.hardware.gpus), "no GPU is visible"),
    "nvidia": (_nvidia, "this machine has no NVIDIA GPU"),
    "config": (lambda host: host.config is not None, "no configuration was given (--preset or --config)"),
    "container": (_container, "this is not a container"),
    "infiniband": (lambda host: bool(host.glob("/sys/class/infiniband/*")), "there is no InfiniBand"),
}
