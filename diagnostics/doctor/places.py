"""Folders that a run writes to or reads from, as environment variables and defaults set them."""

import os
from collections.abc import Mapping, Sequence

import msgspec

from diagnostics.doctor.host import Host

NETWORK = {
    *("nfs", "nfs4", "cifs", "smb3", "9p", "afs", "ceph", "glusterfs", "lustre", "gpfs", "beegfs", "pvfs2"),
    *("orangefs", "wekafs", "virtiofs", "fuse", "panfs"),
}
MOUNTS = "/proc/self/mounts"


class Mount(msgspec.Struct, frozen=True):
    """A line of /proc/self/mounts."""

    source: str
    folder: str
    kind: str

    @property
    def network(self) -> bool:
        return self.kind in NETWORK or self.kind.startswith("fuse.")


def mounts(host: Host) -> list[Mount]:
    """All mounts, in the order in which they were made: of one folder, the last counts."""
    lines = (line.split() for line in (host.read(MOUNTS) or "").splitlines())
    return [Mount(words[0], _unescaped(words[1]), words[2]) for words in lines if len(words) > 2]


def mount_of(path: str, known: Sequence[Mount]) -> Mount | None:
    """The mount that holds a path."""
    fitting = [
        mount for mount in known if path == mount.folder or path.startswith(mount.folder.rstrip("/") + "/")
    ]
    return max(reversed(fitting), key=lambda mount: len(mount.folder), default=None)


def home(environ: Mapping[str, str]) -> str:
    """The user's home folder."""
    return environ.get("HOME", "/root")


def hub_cache(environ: Mapping[str, str]) -> str:
    """Where huggingface_hub keeps models."""
    base = environ.get("HF_HOME") or f"{cache(environ)}/huggingface"
    return _full(environ, environ.get("HF_HUB_CACHE") or f"{base}/hub")


def temporary(environ: Mapping[str, str]) -> str:
    """TMPDIR, else /tmp."""
    return _full(environ, environ.get("TMPDIR") or "/tmp")


def triton_cache(environ: Mapping[str, str]) -> str:
    """Where Triton keeps compiled kernels."""
    return _full(environ, environ.get("TRITON_CACHE_DIR") or f"{home(environ)}/.triton/cache")


def vllm_cache(environ: Mapping[str, str]) -> str:
    """Where vLLM keeps compiled graphs."""
    return _full(environ, environ.get("VLLM_CACHE_ROOT") or f"{cache(environ)}/vllm")


def flight_dumps(environ: Mapping[str, str]) -> str:
    """Where torch writes its record of collectives when one hangs."""
    names = ("TORCH_FR_DUMP_TEMP_FILE", "TORCH_NCCL_DEBUG_INFO_TEMP_FILE")
    prefix = next((environ[name] for name in names if environ.get(name)), "")
    return _full(environ, os.path.dirname(prefix) if prefix else f"{cache(environ)}/torch")  # noqa: PTH120


def cache(environ: Mapping[str, str]) -> str:
    """XDG_CACHE_HOME, else ~/.cache."""
    return environ.get("XDG_CACHE_HOME") or f"{home(environ)}/.cache"


def _full(environ: Mapping[str, str], path: str) -> str:
    return home(environ) + path[1:] if path.startswith("~/") else path


def _unescaped(folder: str) -> str:
    return folder.replace("\\040", " ").replace("\\011", "\t")
