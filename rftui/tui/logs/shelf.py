"""The log files of a run: which there are, how they change, and what counting their lines has told."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from rftui.tui.logs.files import Blocks, LogFile
from rftui.tui.logs.index import Index
from rftui.tui.logs.lane import Lane
from rftui.tui.logs.listing import log_files
from rftui.tui.logs.played import Played
from rftui.tui.logs.tracebacks import Traceback

LIST_EVERY_S = 1.0

Spot = tuple[LogFile, int]
"""A line, by its file and where it begins."""


class Seen(NamedTuple):
    """What has changed: which files there are, how long they are, and those that are others than before."""

    listed: bool
    grown: bool
    cut: list[LogFile]


class Shelf:
    """`born`: when the run began, Unix time. `played`: how far it is, of a run that is played again."""

    def __init__(self, folder: Path, born: float, played: Played | None = None) -> None:
        self.folder = folder
        self.files: dict[Path, LogFile] = {}
        self.missing = ""
        """Why the folder cannot be read."""
        self.blocks = Blocks()
        self.played = played
        self._born = born
        self._indexes: dict[Path, Index] = {}
        self._listed = float("-inf")

    def look(self) -> Seen:
        """Notice files that came, grew, were cut or are gone."""
        listed = time.monotonic() - self._listed >= LIST_EVERY_S and self._list()
        grown, cut = False, []
        for file in list(self.files.values()):
            generation = file.generation
            grown = file.look() or grown
            if file.generation > max(generation, 1):
                cut.append(file)
        if cut:
            listed = self._list() or listed
        return Seen(listed, grown, cut)

    def moved(self, at: Spot) -> Spot:
        """Where a line is after its log was cut: in the older part, if it was kept."""
        older = self.files.get(at[0].path.with_name(f"{at[0].path.name}.1"))
        if older is None:
            return at
        older.look()
        return (older, at[1]) if older.size > at[1] else at

    def written_by(self, writer: str | None) -> list[LogFile]:
        """Files of one writer, or of all, in which something stands."""
        return [file for file in self.files.values() if file.size and writer in (None, file.writer)]

    @property
    def writers(self) -> tuple[str, ...]:
        """Everyone who has a log, also an empty one."""
        return tuple(dict.fromkeys(file.writer for file in self.files.values()))

    def find(self, path: Path) -> LogFile | None:
        """The log at that path, or the only one whose path ends like it."""
        wanted = path.absolute()
        for known, file in self.files.items():
            if known.absolute() == wanted:
                return file
        alike = [file for known, file in self.files.items() if known.parts[-len(path.parts) :] == path.parts]
        return alike[0] if len(alike) == 1 else None

    # --- counting --------------------------------------------------------------------------------------

    def index(self, file: LogFile) -> Index:
        """What is known of the lines of a file."""
        return self._indexes[file.path]

    def tracebacks(self, lanes: Sequence[Lane]) -> list[Traceback]:
        """Those of some files, as far as they were looked through."""
        return [found for lane in lanes for found in self.index(lane.file).tracebacks.values()]

    def lines(self, lanes: Sequence[Lane]) -> int:
        """Lines of some files that were counted."""
        return sum(self.index(lane.file).lines for lane in lanes)

    def behind(self, lanes: Sequence[Lane]) -> int:
        """Bytes of some files in which lines are still to be counted."""
        return sum(self.index(lane.file).behind for lane in lanes)

    def _list(self) -> bool:
        self._listed = time.monotonic()
        before, missing = list(self.files), self.missing
        try:
            found = log_files(self.folder, self._born, self.blocks)
            self.missing = ""
        except OSError as error:
            found = []
            self.missing = f"The logs cannot be read: {error.strerror or error}: {self.folder}"
        self.files = {file.path: self.files.get(file.path, file) for file in found}
        self._indexes = {path: self._indexes.get(path) or Index(file) for path, file in self.files.items()}
        if self.played is not None:
            for file in self.files.values():
                file.written = file.written or self.played.written(file.path)
        return list(self.files) != before or missing != self.missing
