"""Reads a folder of runs for the table, in a thread: summaries first, then what takes longer, in portions."""

import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from engine.findings import FindingsError
from rftui.runs import diagnosis, notes
from rftui.runs.digest import Digest, DigestReader, settings_of
from rftui.runs.info import ACTIVE
from rftui.runs.listing import RunSummary, summarize
from rftui.runs.rundir import RunDir, names
from rftui.tui.runs_table.row import Detail, Row

PORTION_S = 0.15
"""Seconds between two portions."""
POINTS = 12
"""Cells of a reward curve."""
_GONE = "it vanished while it was read"

Version = tuple[int, ...]


class RunsReader:
    """Looks again and again at the same folder; a run whose files are as they were is not read again."""

    def __init__(self, runs_dir: Path) -> None:
        self.runs_dir = runs_dir
        self.lock = threading.Lock()
        """To be held by the one thread that looks."""
        self._rows: dict[str, Row] = {}
        self._versions: dict[str, Version] = {}
        """Of the files that a row was read from."""
        self._detailed: dict[str, Version] = {}
        """The same of its details."""
        self._digests: dict[str, DigestReader] = {}

    def look(self) -> Iterator[tuple[list[Row], bool]]:
        """All rows known so far, unsorted, and whether all runs are among them; every now and then.

        What was not read when this is left half-way is read the next time.
        """
        found = names(self.runs_dir)
        for gone in self._rows.keys() - set(found):
            del self._rows[gone], self._versions[gone]
            self._detailed.pop(gone, None)
            self._digests.pop(gone, None)
        shown = time.monotonic()
        for name in found:
            run = RunDir(self.runs_dir / name)
            version = _version(run)
            before = self._rows.get(name)
            if before is None or before.going or version != self._versions.get(name):
                self._rows[name] = Row(_summary(run), notes.read(run), before.detail if before else None)
                self._versions[name] = version
            if time.monotonic() - shown > PORTION_S:
                yield list(self._rows.values()), False
                shown = time.monotonic()
        yield list(self._rows.values()), True
        unread = [
            row for row in self._rows.values() if self._detailed.get(row.name) != self._versions[row.name]
        ]
        for row in sorted(unread, key=lambda row: row.summary.created, reverse=True):
            self._rows[row.name] = Row(row.summary, row.notes, self._detail(row))
            self._detailed[row.name] = self._versions[row.name]
            if time.monotonic() - shown > PORTION_S:
                yield list(self._rows.values()), True
                shown = time.monotonic()
        if unread:
            yield list(self._rows.values()), True

    def _detail(self, row: Row) -> Detail:
        run = RunDir(row.summary.path)
        reader = self._digests.setdefault(run.name, DigestReader(run))
        digest = reader.read(POINTS) if row.status != "unreadable" else Digest()
        settings = settings_of(run.config_path)
        try:
            info = run.read_info()
        except (FindingsError, OSError):
            return Detail(digest, settings)
        cause = info.exit.cause if info.exit and info.status not in (*ACTIVE, "finished") else ""
        said = diagnosis.read(run) if row.status == "failed" else None
        diagnosed = said.findings[0].title if said and said.findings else ""
        return Detail(digest, settings, info.started, info.ended, info.attempt, cause, diagnosed)


def _summary(run: RunDir) -> RunSummary:
    """A folder that vanishes while it is read is told as such."""
    try:
        return summarize(run, time.time())
    except OSError:
        return RunSummary(run.name, run.path, "unreadable", 0.0, 0.0, problem=_GONE)


def _version(run: RunDir) -> Version:
    """What changes when a file that the table reads does."""
    version: list[int] = []
    for path in (
        run.info_path,
        run.events_dir / "rank-00000.jsonl",
        run.path / notes.FILE,
        run.config_path,
        run.path / diagnosis.FILE,
    ):
        with suppress(OSError):
            found = path.stat()
            version += (found.st_mtime_ns, found.st_size)
            continue
        version.append(-1)
    return tuple(version)
