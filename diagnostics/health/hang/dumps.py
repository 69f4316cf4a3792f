"""Reads PyTorch's flight-recorder dumps, of any version from 2.1 to 2.10 and later, as pickle or JSON.

A dump holds built-in types only, so the unpickler refuses every class and function: a pickle that would run
code is refused unread.
"""

import contextlib
import gc
import io
import pickle
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import msgspec

MAX_BYTES = 1 << 28
"""A dump of 2000 entries with frames has a few MB."""
_NOT_DUMPS = (".pipe", ".part", ".log", ".txt", ".jsonl", ".err", ".out", ".md", ".yaml", ".yml", ".py")
_NAME = re.compile(r"(.*?)(\d+)(?:\.(?:json|pkl|pickle|bin))?")


class DumpError(Exception):
    """A file that is no readable dump; the text says why."""


class Refused(DumpError):
    """A pickle that would have run code."""


class Entry(msgspec.Struct, frozen=True, gc=False):
    """One collective, or one send or receive, as a rank recorded it. Names are those of the dump."""

    record_id: int = 0
    process_group: tuple[str, str] = ("", "")
    """Name and description. The name is the same on all ranks, the dump's `pg_id` is not."""
    collective_seq_id: int = 0
    p2p_seq_id: int = 0
    is_p2p: bool = False
    profiling_name: str = ""
    input_sizes: tuple[tuple[int, ...], ...] = ()
    input_dtypes: tuple[str, ...] = ()
    time_created_ns: int = 0
    time_discovered_started_ns: int | None = None
    time_discovered_completed_ns: int | None = None
    state: str = "scheduled"
    retired: bool = False
    frames: Any = None
    """List of {name, filename, line}, innermost first."""

    @property
    def group(self) -> str:
        return self.process_group[0]

    @property
    def op(self) -> str:
        """`all_reduce`, `send 0->3`, without the backend."""
        return self.profiling_name.partition(":")[2] or self.profiling_name

    @property
    def done(self) -> bool:
        """Over, or no longer watched: gloo leaves the state at `scheduled` and only retires."""
        return self.state == "completed" or self.retired or bool(self.time_discovered_completed_ns)

    @property
    def started(self) -> bool:
        return self.state == "started" or bool(self.time_discovered_started_ns)

    def call_site(self) -> str:
        """`file:line function` of the innermost frame that wraps no collective; empty without one."""
        for frame in self.frames if isinstance(self.frames, list) else []:
            if not isinstance(frame, dict):
                continue
            name, file, line = (str(frame.get(key, "")) for key in ("name", "filename", "line"))
            if file and not _WRAPPERS.search(file):
                return f"{file}:{line} {name}"
        return ""


_WRAPPERS = re.compile(
    r"/torch/|contextlib\.py$|/deepspeed/(?:comm|utils)/|/engine/strategy/collectives\.py$|\.cpp$|\.so"
)


class _Group(msgspec.Struct, frozen=True):
    name: str = ""
    desc: str = ""
    ranks: Any = ()


class _Content(msgspec.Struct, frozen=True):
    version: str = ""
    pg_config: dict[str, _Group] = {}
    pg_status: dict[str, dict[str, int | None]] = {}
    entries: tuple[Entry, ...] = ()


class Dump(msgspec.Struct, frozen=True):
    """What one rank's recorder held."""

    rank: int
    version: str
    groups: dict[str, tuple[int, ...]]
    """Ranks of each group by name, as far as they are told: gloo tells none."""
    entries: tuple[Entry, ...]
    ever_enqueued: bool
    """Whether the rank took part in anything, entries or not."""
    written: float = 0.0
    """Modification time of the file, Unix seconds."""

    def active(self) -> list[Entry]:
        """What is not over yet."""
        return [entry for entry in self.entries if not entry.done]


class Dumps(msgspec.Struct, frozen=True):
    """All dumps that could be read, and what was wrong with the others, by rank (−1: not known)."""

    dumps: dict[int, Dump]
    problems: dict[int, str]
    refused: tuple[str, ...] = ()


def rank_of(path: Path) -> int | None:
    """The rank that a dump's file name ends with: `_dump_3`, `rank_3`, `nccl_trace_rank_3`, `rank_3.json`."""
    found = _NAME.fullmatch(path.name)
    return int(found.group(2)) if found and path.suffix not in _NOT_DUMPS else None


def _prefix(path: Path) -> str:
    found = _NAME.fullmatch(path.name)
    return found.group(1) if found else path.name


def is_dump(path: Path) -> bool:
    """Whether a file looks like a dump from its name and its first bytes."""
    if rank_of(path) is None:
        return False
    try:
        with path.open("rb") as file:
            head = file.read(4096)
    except OSError:
        return False
    if head.startswith(b"{"):
        return b'"pg_config"' in head or b'"entries"' in head
    return head[:1] == b"\x80" and head[1:2] in b"\x02\x03\x04\x05"


def dump_files(folder: Path) -> dict[int, Path]:
    """The dumps directly in a folder, by rank, damaged and empty ones too; empty if it holds none.

    Where a rank has several, the newest counts.
    """
    try:
        named = [path for path in folder.iterdir() if rank_of(path) is not None and path.is_file()]
    except OSError:
        return {}
    prefixes = {_prefix(path) for path in named if is_dump(path)}
    dumps = sorted((path for path in named if _prefix(path) in prefixes), key=lambda p: p.stat().st_mtime)
    return {rank: path for path in dumps if (rank := rank_of(path)) is not None}


def read(path: Path, rank: int) -> Dump:
    """One dump. Raises DumpError, with the reason, if it is damaged, and Refused if it would run code."""
    try:
        size, written = path.stat().st_size, path.stat().st_mtime
        if size > MAX_BYTES:
            raise DumpError(f"{size >> 20} MB, more than a dump can have")
        data = path.read_bytes()
    except OSError as error:
        raise DumpError(error.strerror or str(error)) from error
    if not data:
        raise DumpError("empty")
    content = _content(data)
    return Dump(
        rank=rank,
        version=content.version,
        groups={
            name: ranks for group in content.pg_config.values() for name, ranks in _members(group) if ranks
        },
        entries=content.entries,
        ever_enqueued=bool(content.entries)
        or any((status.get("last_enqueued_collective") or 0) > 0 for status in content.pg_status.values()),
        written=written,
    )


def read_all(files: Iterable[tuple[int, Path]]) -> Dumps:
    """Every file that can be read, and the others with the reason."""
    dumps: dict[int, Dump] = {}
    problems: dict[int, str] = {}
    refused: list[str] = []
    with _no_collection():
        for rank, path in files:
            try:
                dumps[rank] = read(path, rank)
            except Refused as error:
                refused.append(path.name)
                problems[rank] = f"{path.name}: {error}"
            except DumpError as error:
                problems[rank] = f"{path.name}: {error}"
    return Dumps(dumps, problems, tuple(refused))


@contextlib.contextmanager
def _no_collection() -> Iterator[None]:
    """Without the cyclic collector, which would walk the growing heap of entries again and again."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


class _Reader:
    """Bytes as the unpickler reads them fastest: one that can look ahead need not ask for every few bytes.

    Without `readinto`, for which it would make room for whatever length a damaged file names.
    """

    def __init__(self, data: bytes) -> None:
        buffered = io.BufferedReader(io.BytesIO(data), max(1, len(data)))
        self.read, self.readline, self.peek = buffered.read, buffered.readline, buffered.peek


class _BuiltinsOnly(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> NoReturn:
        raise Refused(f"refused: the pickle names {module}.{name}, and a dump holds plain data only")

    def persistent_load(self, pid: Any) -> NoReturn:
        raise Refused("refused: the pickle refers to objects outside of it")


def _content(data: bytes) -> _Content:
    try:
        raw = msgspec.json.decode(data) if data[:1] == b"{" else _BuiltinsOnly(_Reader(data)).load()
    except Refused:
        raise
    except Exception as error:  # a damaged pickle raises about anything
        raise DumpError(f"damaged: {type(error).__name__}: {error}") from error
    try:
        return msgspec.convert(raw, _Content, strict=False)
    except (msgspec.ValidationError, RecursionError) as error:
        raise DumpError(f"no flight-recorder dump: {error}") from error


def _members(group: _Group) -> Iterator[tuple[str, tuple[int, ...]]]:
    ranks = group.ranks
    if isinstance(ranks, str):
        try:
            ranks = msgspec.json.decode(ranks, type=list[int])
        except msgspec.MsgspecError:
            return
    if isinstance(ranks, list | tuple) and all(isinstance(rank, int) for rank in ranks):
        yield group.name, tuple(ranks)
