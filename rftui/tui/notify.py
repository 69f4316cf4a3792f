"""Runs of a folder that end or raise alerts while somebody looks elsewhere: toast, bell, desktop."""

import re
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import msgspec

from engine.events import Alert
from engine.findings import FindingsError
from rftui.runs.follow import GrowingFile
from rftui.runs.info import ACTIVE, RunInfo, effective_status
from rftui.runs.rundir import RunDir, names
from rftui.tui.text import clean_line, duration

WATCH_S = 4.0
WRITERS = ("health.jsonl", "rank-00000.jsonl", "supervisor.jsonl")
"""Who raises alerts."""
_TAIL_BYTES = 1
_NO_TEXT = re.compile(r"[^\x20-\x7e\xa0-\uffff]")
_MOST = 240


@dataclass(frozen=True)
class News:
    """Something that a person wants to know of."""

    title: str
    text: str
    severity: Literal["information", "warning", "error"]
    run: str = ""
    """The run's name."""


@dataclass
class _Known:
    """What was last seen of a run."""

    version: tuple[int, ...] = ()
    info: RunInfo | None = None
    status: str = ""
    alerts: list[GrowingFile] = field(default_factory=list)
    told: set[str] = field(default_factory=set)


class RunWatcher:
    """Looks at the runs of a folder, cheaply: `run.json` where it changed, new alerts of runs that are on.

    What is there at the first look is no news.
    """

    def __init__(self, runs_dir: Path) -> None:
        self.runs_dir = runs_dir
        self._runs: dict[str, _Known] | None = None

    def look(self) -> list[News]:
        """What is new since the last look."""
        first, before = self._runs is None, self._runs or {}
        now: dict[str, _Known] = {}
        news: list[News] = []
        for name in names(self.runs_dir):
            run = RunDir(self.runs_dir / name)
            known = now[name] = before.get(name) or _Known()
            news += self._look(run, known, first)
        self._runs = now
        return [] if first else news

    def _look(self, run: RunDir, known: _Known, first: bool) -> Iterator[News]:
        was = known.status
        with suppress(FindingsError, OSError):
            _refresh(run, known)
        if known.info is None:
            return
        if known.status in ACTIVE and was and was not in ACTIVE:
            deque(_alerts(run, known, first), maxlen=0)  # it goes on: of an earlier attempt
            known.told.clear()
        if known.status in ACTIVE or was in ACTIVE:
            yield from _alerts(run, known, first)
        if was in ACTIVE and known.status not in ACTIVE:
            yield replace(_ended(known.info, known.status), run=run.name)


def _refresh(run: RunDir, known: _Known) -> None:
    found = run.info_path.stat()
    version = (found.st_mtime_ns, found.st_ino, found.st_size)
    if version != known.version:
        known.info, known.version = run.read_info(), version
    if known.info is not None:
        known.status = effective_status(known.info)


def _alerts(run: RunDir, known: _Known, first: bool) -> Iterator[News]:
    """Alerts that were raised since the last look, each once."""
    if not known.alerts:
        tail = _TAIL_BYTES if first else None
        known.alerts = [GrowingFile(run.events_dir / name, tail) for name in WRITERS]
    for file in known.alerts:
        while lines := file.read():
            for line in lines.split(b"\n") if b'"alert"' in lines else ():
                alert = _raised(line) if b'"alert"' in line else None
                if alert is None or alert.finding.id in known.told:
                    continue
                known.told.add(alert.finding.id)
                severity = alert.finding.severity
                yield News(
                    f"{run.name}: {alert.finding.id}",
                    alert.finding.cause,
                    "information" if severity == "info" else severity,
                    run.name,
                )


def _raised(line: bytes) -> Alert | None:
    try:
        alert = msgspec.json.decode(line, type=Alert)
    except ValueError:  # another kind, or a damaged line
        return None
    return alert if alert.state == "raised" else None


def _ended(info: RunInfo, status: str) -> News:
    took = f" after {duration(info.ended - info.started)}" if info.ended and info.started else ""
    steps = f"{info.steps} steps{took}"
    if status == "lost":
        return News(f"{info.name} is lost", "its supervisor is gone", "error")
    if status == "failed":
        return News(f"{info.name} failed", info.exit.cause if info.exit else steps, "error")
    return News(f"{info.name} {status}", steps, "information")


def desktop(news: News, environ: Mapping[str, str]) -> str:
    """The sequence with which a terminal tells the desktop (OSC 777); through tmux where it lets it pass."""
    title = _plain(news.title).replace(";", ",")
    sequence = f"\x1b]777;notify;{title};{_plain(news.text)}\x1b\\"
    if environ.get("TMUX"):
        sequence = "\x1bPtmux;" + sequence.replace("\x1b", "\x1b\x1b") + "\x1b\\"
    return sequence


def _plain(text: str) -> str:
    return _NO_TEXT.sub(" ", clean_line(text.replace("\n", " ")))[:_MOST]
