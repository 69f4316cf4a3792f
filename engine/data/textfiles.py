"""JSON, JSON Lines and CSV, read exactly: values keep their types, and what is wrong names its line.

`datasets` would turn date-like text into timestamps, `007` of a CSV into 7, and refuse mixed types.
"""

import csv
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

SUFFIXES = (".jsonl", ".json", ".csv")

_MAX_FIELD = 2**30
_POSITION = re.compile(r" \(byte (\d+)\)$")
_ROW = msgspec.json.Decoder(dict[str, Any])
_ROWS = msgspec.json.Decoder(list[dict[str, Any]])


class Malformed(NamedTuple):
    """What is wrong with one line."""

    reason: str


NumberedRow = tuple[int, dict[str, Any] | Malformed]


def rows(path: Path) -> Iterator[NumberedRow]:
    """Each row, or what is wrong with it, with its line number from 1; blank lines are none.

    A `.json` file may hold one array instead: its elements are numbered from 1. CSV values are text.
    """
    if path.suffix.lower() == ".csv":
        return _csv(path)
    return _json_array(path) if _is_array(path) else _json_lines(path)


def _json_lines(path: Path) -> Iterator[NumberedRow]:
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if line.isspace():
                continue
            try:
                yield number, _ROW.decode(line)
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                yield number, Malformed(_reason(error))


def _json_array(path: Path) -> Iterator[NumberedRow]:
    try:
        yield from enumerate(_ROWS.decode(path.read_bytes()), 1)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        yield 1, Malformed(_reason(error))


def _csv(path: Path) -> Iterator[NumberedRow]:
    csv.field_size_limit(_MAX_FIELD)
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file)
        try:
            header = next(reader, [])
            for fields in filter(None, reader):
                if len(fields) != len(header):
                    reason = f"{len(fields)} fields, but the header has {len(header)}"
                    yield reader.line_num, Malformed(reason)
                else:
                    yield reader.line_num, dict(zip(header, fields, strict=True))
        except (csv.Error, UnicodeDecodeError) as error:
            yield reader.line_num + 1, Malformed(f"not valid CSV in UTF-8: {error}")


def _is_array(path: Path) -> bool:
    if path.suffix.lower() != ".json":
        return False
    with path.open("rb") as file:
        return file.read(4096).lstrip().startswith(b"[")


def _reason(error: msgspec.DecodeError | UnicodeDecodeError) -> str:
    """The decoder's words for a user: `not valid JSON: trailing comma in object, column 12`."""
    if isinstance(error, msgspec.ValidationError):
        return str(error).replace("`", "").replace("Expected", "expected")
    if isinstance(error, UnicodeDecodeError):
        return "not valid UTF-8"
    text = str(error).removeprefix("JSON is malformed: ")
    text = _POSITION.sub(lambda m: f", column {int(m[1]) + 1}", text)
    return f"not valid JSON: {text[0].lower()}{text[1:]}"
