"""Everything that a check may look at, behind one object: this machine, or one recorded in a test."""

from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec

from diagnostics.hardware import Hardware
from engine.config.sections import RunConfig


class Room(msgspec.Struct, frozen=True):
    """Bytes and inodes of a file system."""

    total: int
    free: int
    inodes_free: int | None = None
    read_only: bool = False


class Ran(msgspec.Struct, frozen=True):
    """A child process that ended. `code` is None where it was ended for lack of time."""

    code: int | None
    out: str = ""
    err: str = ""


class Interface(msgspec.Struct, frozen=True):
    """A network interface."""

    name: str
    up: bool
    addresses: tuple[str, ...] = ()


class Distribution(msgspec.Struct, frozen=True):
    """An installed Python distribution: its `Requires-Dist` lines, and where it lies."""

    name: str
    version: str
    requires: tuple[str, ...] = ()
    location: str = ""


class Host(Protocol):
    """A machine. What cannot be looked at raises `CannotCheck`; what is absent is None or empty."""

    @property
    def hardware(self) -> Hardware:
        """GPUs, memory, /dev/shm, disk of the runs' folder (`diagnostics.hardware.detect`)."""
        ...

    @property
    def environ(self) -> Mapping[str, str]: ...

    @property
    def config(self) -> RunConfig | None:
        """The run that is to be started, of `--preset` or `--config`."""
        ...

    @property
    def runs_dir(self) -> str: ...

    @property
    def python(self) -> str:
        """The interpreter with which child processes are started."""
        ...

    @property
    def search_path(self) -> Sequence[str]:
        """`sys.path`."""
        ...

    def read(self, path: str) -> str | None:
        """A text file, such as those of /proc and /sys; None where there is none."""
        ...

    def glob(self, pattern: str) -> Sequence[str]:
        """Paths that match, sorted."""
        ...

    def room(self, path: str) -> Room | None:
        """The file system of a folder or of its nearest existing parent."""
        ...

    def try_write(self, path: str) -> str | None:
        """Write, fsync and remove a probe file in a folder, or in its nearest existing parent.

        The error in words, None where it works.
        """
        ...

    def limit(self, name: str) -> tuple[int, int]:
        """Soft and hard resource limit (`nofile`, `memlock`, `nproc`); −1 is unlimited."""
        ...

    def which(self, program: str) -> str | None: ...

    def run(self, argv: Sequence[str], timeout_s: float, env: Mapping[str, str] | None = None) -> Ran:
        """A child process, in a session of its own, ended with its children when the time is over."""
        ...

    def distributions(self) -> Mapping[str, tuple[Distribution, ...]]:
        """Installed distributions by normalised name; several of one name where several are on the path."""
        ...

    def interfaces(self) -> Sequence[Interface]: ...

    def resolve(self, name: str) -> Sequence[str]:
        """Addresses of a host name; empty where it does not resolve."""
        ...

    def port_error(self, port: int, address: str = "") -> str | None:
        """Why a TCP port cannot be opened here (the owner's pid and command where known); None if it can."""
        ...

    def connect(self, address: str, port: int, timeout_s: float) -> str | None:
        """Why no TCP connection could be made; None if it could."""
        ...

    def now(self) -> float:
        """Unix seconds."""
        ...
