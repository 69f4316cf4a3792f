"""`notes.json`: what a person wrote about a run, a line of text and tags."""

import re
from collections.abc import Iterable

import msgspec

from engine.findings import EXIT_UNFIT, Finding, FindingsError, Fix
from rftui.runs.info import write_atomic
from rftui.runs.rundir import RunDir

FILE = "notes.json"
_TAG = re.compile(r"[\w.+-]{1,40}")


class Notes(msgspec.Struct, frozen=True, omit_defaults=True):
    """Content of `notes.json`; tags are sorted and stand there once."""

    text: str = ""
    tags: tuple[str, ...] = ()


def read(run: RunDir) -> Notes:
    """What was written, nothing where there is no file; a file that cannot be read is told as its text."""
    try:
        return msgspec.json.decode((run.path / FILE).read_bytes(), type=Notes)
    except (FileNotFoundError, NotADirectoryError):
        return Notes()
    except (OSError, ValueError) as error:  # msgspec's errors are ValueErrors
        return Notes(text=f"({FILE} cannot be read: {error})")


def write_text(run: RunDir, text: str) -> Notes:
    """Replace the text, in one line."""
    return _write(run, msgspec.structs.replace(_kept(run), text=" ".join(text.split())))


def write_tags(run: RunDir, tags: Iterable[str]) -> Notes:
    """Replace the tags; FindingsError (`run.tag-invalid`) where one is no word."""
    found = tuple(sorted({tag.removeprefix("#") for tag in tags}))
    wrong = [tag for tag in found if not _TAG.fullmatch(tag)]
    if wrong:
        cause = f"{wrong[0]!r} cannot be a tag: letters, digits, '_', '.', '+' and '-', at most 40."
        raise FindingsError([Finding("run.tag-invalid", "error", cause, fixes=(Fix("use another word"),))])
    return _write(run, msgspec.structs.replace(_kept(run), tags=found))


def _kept(run: RunDir) -> Notes:
    """What is there now; a file that cannot be read is not written over."""
    path = run.path / FILE
    if not path.exists():
        return Notes()
    try:
        return msgspec.json.decode(path.read_bytes(), type=Notes)
    except (OSError, ValueError) as error:
        cause = f"{path} cannot be read: {error}. Nothing was written over it."
        fixes = (Fix("correct the file, or remove it", command=f"rm {path}"),)
        raise FindingsError([Finding("run.notes-unreadable", "error", cause, fixes=fixes)]) from error


def _write(run: RunDir, notes: Notes) -> Notes:
    path = run.path / FILE
    try:
        write_atomic(path, msgspec.json.format(msgspec.json.encode(notes), indent=2) + b"\n")
    except OSError as error:
        cause = f"{path} cannot be written: {error.strerror or error}."
        fixes = (Fix("free space there, or change permissions of that folder"),)
        finding = Finding("run.dir-unwritable", "error", cause, fixes=fixes)
        raise FindingsError([finding], EXIT_UNFIT) from error
    return notes
