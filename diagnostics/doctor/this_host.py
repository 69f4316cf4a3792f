"""The machine this process runs on. Everything is looked at when it is asked for, once where it is slow."""

import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from glob import glob
from pathlib import Path
from typing import Any, TypeVar

from diagnostics.doctor.check import CannotCheck
from diagnostics.doctor.host import Distribution, Interface, Ran, Room
from diagnostics.doctor.installed import installed
from diagnostics.hardware import Hardware, detect
from engine.config.sections import RunConfig

T = TypeVar("T")
CHUNK = 1 << 20


class ThisHost:
    """The real `Host`. `config`: the run that is to be started; `runs_dir`: where its folder would be."""

    def __init__(
        self, runs_dir: Path, config: RunConfig | None = None, environ: Mapping[str, str] = os.environ
    ) -> None:
        self._runs_dir, self._config, self._environ = runs_dir, config, environ
        self._locks: dict[str, threading.Lock] = {"hardware": threading.Lock(), "installed": threading.Lock()}
        self._kept: dict[str, Any] = {}

    @property
    def hardware(self) -> Hardware:
        return self._once("hardware", lambda: detect(environ=self._environ, folder=self._runs_dir))

    @property
    def environ(self) -> Mapping[str, str]:
        return self._environ

    @property
    def config(self) -> RunConfig | None:
        return self._config

    @property
    def runs_dir(self) -> str:
        return str(self._runs_dir)

    @property
    def search_path(self) -> Sequence[str]:
        return tuple(sys.path)

    @property
    def python(self) -> str:
        return sys.executable

    def read(self, path: str) -> str | None:
        """Never blocks: a device such as /dev/kmsg gives what it holds now."""
        try:
            return _read_all(path).decode(errors="replace")
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return None
        except OSError as error:
            raise CannotCheck(f"{path} cannot be read: {error.strerror}") from None

    def glob(self, pattern: str) -> Sequence[str]:
        return sorted(glob(pattern, recursive=True))  # noqa: PTH207 (patterns are absolute)

    def room(self, path: str) -> Room | None:
        for place in _upwards(path):
            try:
                found = os.statvfs(place)
            except (FileNotFoundError, NotADirectoryError):
                continue
            except OSError as error:
                raise CannotCheck(f"{place} cannot be looked at: {error.strerror}") from None
            return Room(
                total=found.f_blocks * found.f_frsize,
                free=found.f_bavail * found.f_frsize,
                inodes_free=found.f_favail if found.f_files else None,
                read_only=bool(found.f_flag & os.ST_RDONLY),
            )
        return None

    def try_write(self, path: str) -> str | None:
        folder = next((place for place in _upwards(path) if place.exists()), Path(path))
        try:
            with tempfile.NamedTemporaryFile(dir=folder, prefix=".rft-doctor-") as probe:
                probe.write(b"\0" * 4096)
                probe.flush()
                os.fsync(probe.fileno())
        except OSError as error:
            return f"{error.strerror or error} ({folder})"
        return None

    def limit(self, name: str) -> tuple[int, int]:
        return resource.getrlimit(getattr(resource, f"RLIMIT_{name.upper()}"))

    def which(self, program: str) -> str | None:
        return shutil.which(program, path=self._environ.get("PATH"))

    def run(self, argv: Sequence[str], timeout_s: float, env: Mapping[str, str] | None = None) -> Ran:
        environ = {**self._environ, **(env or {})}
        try:
            child = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=environ,
                start_new_session=True,
            )
        except OSError as error:
            raise CannotCheck(f"{argv[0]} cannot be started: {error.strerror}") from None
        with child:
            try:
                out, err = child.communicate(timeout=timeout_s)
                code: int | None = child.returncode
            except subprocess.TimeoutExpired:
                os.killpg(child.pid, signal.SIGKILL)
                out, err = child.communicate()
                code = None
        return Ran(code, out.decode(errors="replace"), err.decode(errors="replace"))

    def distributions(self) -> Mapping[str, tuple[Distribution, ...]]:
        return self._once("installed", lambda: installed(sys.path))

    def interfaces(self) -> Sequence[Interface]:
        import psutil

        states, addresses = psutil.net_if_stats(), psutil.net_if_addrs()
        families = (socket.AF_INET, socket.AF_INET6)
        return tuple(
            Interface(name, state.isup, tuple(a.address for a in addresses[name] if a.family in families))
            for name, state in sorted(states.items())
            if name in addresses
        )

    def resolve(self, name: str) -> Sequence[str]:
        try:
            found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError):
            return ()
        return tuple(dict.fromkeys(str(entry[4][0]) for entry in found))

    def port_error(self, port: int, address: str = "") -> str | None:
        with socket.socket() as probe:
            try:
                probe.bind((address, port))
            except OSError as error:
                return f"{error.strerror}{_owner(port)}"
        return None

    def connect(self, address: str, port: int, timeout_s: float) -> str | None:
        try:
            socket.create_connection((address, port), timeout_s).close()
        except OSError as error:
            return error.strerror or str(error)
        return None

    def now(self) -> float:
        return time.time()

    def _once(self, name: str, look: Callable[[], T]) -> T:
        """The answer of the first who asks; others wait for it."""
        with self._locks[name]:
            if name not in self._kept:
                self._kept[name] = look()
            answer: T = self._kept[name]
            return answer


def _read_all(path: str) -> bytes:
    source = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    parts: list[bytes] = []
    try:
        while True:
            try:
                part = os.read(source, CHUNK)
            except BlockingIOError:
                break
            except BrokenPipeError:  # /dev/kmsg: records were overwritten meanwhile; the next read goes on
                continue
            if not part:
                break
            parts.append(part)
    finally:
        os.close(source)
    return b"".join(parts)


def _upwards(path: str) -> tuple[Path, ...]:
    place = Path(path).expanduser().absolute()
    return (place, *place.parents)


def _owner(port: int) -> str:
    """Who listens on a port, ", held by pid 1234 (python train.py)"; "" where that is not told."""
    import psutil

    try:
        held = psutil.net_connections(kind="tcp")
        pids = {c.pid for c in held if c.laddr and c.laddr.port == port and c.status == psutil.CONN_LISTEN}
        pid = next(pid for pid in pids if pid)
        return f", held by pid {pid} ({' '.join(psutil.Process(pid).cmdline()[:3])[:80]})"
    except (psutil.Error, OSError, StopIteration):
        return ""
