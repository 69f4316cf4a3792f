"""What a table tells of a run besides its summary: the course of its reward, and its settings as text."""

import re
from dataclasses import dataclass
from math import inf, isfinite
from pathlib import Path

import msgspec

from engine.events import Event, Metric, Status
from rftui.runs.listing import REWARD
from rftui.runs.rundir import RunDir
from rftui.runs.series import Series

RATE, LEARNING_RATE = "throughput/tokens_per_s", "lr/actor"
_CHUNK = 1 << 20
_REWARD_KEY, _RESUMED = f'"{REWARD}":'.encode(), b'"state":"resumed"'
_SETTING = re.compile(r"  (\w+): (?:'((?:[^']|'')*)'|\"((?:[^\"\\]|\\.)*)\"|(.*?))(?:  # .*)?")


@dataclass(frozen=True, slots=True)
class Digest:
    """`rewards`: as many values of the whole run as were asked for, the last of each stretch."""

    best: float | None = None
    last: float | None = None
    rewards: tuple[float, ...] = ()
    tokens_per_s: float | None = None
    lr: float | None = None


class DigestReader:
    """Reads rank 0's events once, and later only what was added; only lines that tell a reward are decoded.

    Steps that a resumed run did again count as they were done last.
    """

    def __init__(self, run: RunDir) -> None:
        self._path = run.events_dir / "rank-00000.jsonl"
        self._identity: tuple[int, int] = (0, 0)
        self._offset = 0
        self._series = Series()
        self._latest: dict[str, float | None] = {}
        self._decoder: msgspec.json.Decoder[Metric | Status] = msgspec.json.Decoder(Metric | Status)

    def read(self, points: int) -> Digest:
        """What is known now; nothing where the file cannot be read."""
        try:
            self._advance()
        except OSError:
            return Digest()
        series = self._series
        buckets = series.window(*series.bounds(), points) if len(series) else []
        rewards = [bucket.last for bucket in buckets if isfinite(bucket.last)]
        best = max((bucket.max for bucket in buckets if isfinite(bucket.max)), default=-inf)
        return Digest(
            best=best if rewards else None,
            last=rewards[-1] if rewards else None,
            rewards=tuple(rewards),
            tokens_per_s=self._latest.get(RATE),
            lr=self._latest.get(LEARNING_RATE),
        )

    def _advance(self) -> None:
        found = self._path.stat()
        if (found.st_dev, found.st_ino) != self._identity or found.st_size < self._offset:
            self._identity, self._offset = (found.st_dev, found.st_ino), 0
            self._series, self._latest = Series(), {}
        with self._path.open("rb", buffering=0) as file:
            file.seek(self._offset)
            rest = b""
            while part := file.read(_CHUNK):
                whole, newline, rest = (rest + part).rpartition(b"\n")
                self._offset += len(whole) + len(newline)
                self._take(whole)

    def _take(self, lines: bytes) -> None:
        for line in lines.split(b"\n"):
            if _REWARD_KEY not in line and _RESUMED not in line:
                continue
            try:
                event: Event = self._decoder.decode(line)
            except ValueError:  # damaged, or of another kind
                continue
            if isinstance(event, Status):
                if event.state == "resumed" and event.rank == 0:
                    self._series.truncate(max(0, event.step) + 1)
            elif isinstance(event, Metric) and REWARD in event.values and 0 <= event.step < 2**31:
                value = event.values[REWARD]
                self._series.append(event.step, event.t, float("nan") if value is None else value)
                self._latest = event.values


def settings_of(path: Path) -> dict[str, str]:
    """`section.key` → value as text, of a `config.yaml` as runs have it; empty where it cannot be read.

    A whole configuration takes 30 ms to check; this is for lists of many runs.
    """
    found: dict[str, str] = {}
    section = ""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return found
    for line in lines:
        if line[:1].isalpha() and line.endswith(":"):
            section = line[:-1]
        elif match := _SETTING.fullmatch(line):
            name, single, double, plain = match.groups()
            quoted = single.replace("''", "'") if single is not None else double
            found[f"{section}.{name}"] = plain if quoted is None else quoted
    return found
