"""Where log text comes from: files, folders of rank logs, compressed files, standard input.

A source yields bytes in which a line ends with `\\n`; UTF-16 becomes UTF-8. What cannot be read is told.
"""

import bz2
import codecs
import lzma
import os
import re
import sys
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Protocol, cast

CHUNK = 1 << 20
"""Bytes that are read at a time."""
_HEAD = 8192
_PLAIN = frozenset({7, 8, 9, 10, 12, 13, 27, *range(32, 256)})
_BINARY_SHARE = 0.05
"""Of control characters in a file's head beyond which it is no text."""
_NO_LOGS = frozenset(
    f".{name}"
    for names in (
        "pt pth bin safetensors pkl pickle npy npz parquet arrow db sqlite png jpg so zip tar whl",
        "py pyc yaml yml toml json jsonl csv md html pid lock part",
    )
    for name in names.split()
)
_RANK_NAMES = (
    re.compile(r"rank[-_.]?0*(\d+)(?!\d)", re.I),
    re.compile(r"^(?:stdout|stderr|log|out|err|worker)[-_.]0*(\d{1,5})(?=\.|$)", re.I),
)
_TORCHRUN = re.compile(r"^attempt_\d+$")


class Unreadable(Exception):
    """A source that gives no text; the message is what a user is told."""


@dataclass
class Source:
    """One file or stream of log text. `rank`: −1 if its name does not tell; `t`: when its process failed."""

    name: str
    open: Callable[[], BinaryIO] = field(repr=False)
    rank: int = -1
    t: float | None = None

    def chunks(self) -> Iterator[bytes]:
        """The text in pieces of about `CHUNK` bytes.

        Unreadable when it is not text, and where it breaks off, after what comes before that.
        """
        try:
            with self.open() as file:
                yield from _decoded(self.name, _uncompressed(self.name, file))
        except OSError as error:
            raise Unreadable(f"{self.name} could not be read: {error.strerror or error}") from error


def of_path(path: str) -> tuple[list[Source], list[str]]:
    """All sources of a PATH, in the order of their names, and notes about files that are no logs.

    Unreadable when the path does not exist.
    """
    if path == "-":
        return [Source("<stdin>", lambda: cast(BinaryIO, sys.stdin.buffer))], []
    place = Path(path)
    if place.is_dir():
        return _of_folder(place)
    if not place.exists():
        raise Unreadable(f"{path} does not exist")
    return [of_file(place)], []


def of_file(path: Path) -> Source:
    """A single file."""
    return Source(str(path), lambda: path.open("rb"), _rank_of(path))


def _of_folder(folder: Path) -> tuple[list[Source], list[str]]:
    notes: list[str] = []
    logs = [file for file in files_in(folder, notes) if not _is_no_log(file)]
    return [of_file(file) for file in logs], notes


def files_in(folder: Path, notes: list[str]) -> Iterator[Path]:
    """All files below a folder, in order; a note for each folder that cannot be read."""

    def failed(error: OSError) -> None:
        notes.append(f"{error.filename} could not be read: {error.strerror}")

    for place, folders, names in os.walk(folder, onerror=failed):
        folders.sort()
        yield from (file for name in sorted(names) if os.path.isfile(file := Path(place, name)))  # noqa: PTH113


def _is_no_log(file: Path) -> bool:
    return any(suffix in _NO_LOGS for suffix in file.suffixes) or file.name.startswith(".")


def _rank_of(path: Path) -> int:
    for pattern in _RANK_NAMES:
        if found := pattern.search(path.name):
            return int(found[1])
    parent = path.parent  # torchrun's log folder: <run>/attempt_0/3/stderr.log
    if parent.name.isdigit() and _TORCHRUN.match(parent.parent.name):
        return int(parent.name)
    return -1


class _Decompressor(Protocol):
    """What zlib, bz2, lzma and zstandard have in common."""

    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, /) -> bytes: ...


def _uncompressed(name: str, file: BinaryIO) -> Iterator[bytes]:
    """Content in chunks, decompressed by its first bytes, whatever its name says."""
    head = file.read(_HEAD)
    for magic, new in _FORMATS.items():
        if head.startswith(magic):
            yield from _decompressed(name, head, file, new)
            return
    yield head
    while chunk := file.read(CHUNK):
        yield chunk


def _decompressed(
    name: str, data: bytes, file: BinaryIO, new: Callable[[str], _Decompressor]
) -> Iterator[bytes]:
    """All of one or more compressed streams.

    Unreadable where one is damaged or cut off, after what comes before that.
    """
    stream = new(name)
    given = False
    while data:
        try:
            chunk = stream.decompress(data)
        except _damage() as error:
            what = "is damaged, and was read up to there" if given else "could not be decompressed"
            raise Unreadable(f"{name} {what}: {error}") from error
        if chunk:
            given = True
            yield chunk
        data = file.read(_HEAD)
        if stream.eof:
            data = stream.unused_data + data
            if not data:
                return
            stream = new(name)
    what = "is cut off: its end is missing" if given else "could not be decompressed: it is cut off"
    raise Unreadable(f"{name} {what}")


def _zstd(name: str) -> _Decompressor:
    try:
        import zstandard  # type: ignore[import-not-found,unused-ignore]
    except ImportError as error:
        raise Unreadable(
            f"{name} is compressed with zstd, and the package zstandard is not installed: "
            f"pip install zstandard, or: zstd -dc {name} | rft diagnose -"
        ) from error
    return cast(_Decompressor, zstandard.ZstdDecompressor().decompressobj())


def _damage() -> tuple[type[Exception], ...]:
    """What decompressors raise on damaged data; zstandard's only where it was imported."""
    errors = (EOFError, OSError, ValueError, lzma.LZMAError, zlib.error)
    module = sys.modules.get("zstandard")
    return (*errors, module.ZstdError) if module else errors


_FORMATS: dict[bytes, Callable[[str], _Decompressor]] = {
    b"\x1f\x8b": lambda name: cast(_Decompressor, zlib.decompressobj(wbits=31)),
    b"BZh": lambda name: bz2.BZ2Decompressor(),
    b"\xfd7zXZ\x00": lambda name: lzma.LZMADecompressor(),
    b"\x28\xb5\x2f\xfd": _zstd,
}


def _decoded(name: str, chunks: Iterator[bytes]) -> Iterator[bytes]:
    first = next(chunks, b"")
    for mark, encoding in ((codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be")):
        if first.startswith(mark):
            decoder = codecs.getincrementaldecoder(encoding)("replace")
            yield decoder.decode(first[len(mark) :]).encode()
            for chunk in chunks:
                yield decoder.decode(chunk).encode()
            return
    if _is_binary(first[:_HEAD]):
        raise Unreadable(f"{name} is binary, not a log; skipped")
    yield _without_nulls(first)
    for chunk in chunks:
        yield _without_nulls(chunk)


def _without_nulls(chunk: bytes) -> bytes:
    """UTF-16 without a mark, or appended to UTF-8 by another program, is plain text without its zeros."""
    return chunk.replace(b"\0", b"") if b"\0" in chunk else chunk


def _is_binary(head: bytes) -> bool:
    text = _without_nulls(head)
    if len(text) * 3 < len(head):  # mostly zeros: more than UTF-16 has
        return True
    return sum(byte not in _PLAIN for byte in text) > _BINARY_SHARE * len(text)
