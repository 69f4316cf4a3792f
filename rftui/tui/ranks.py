"""Where every rank is and who waits for whom, from heartbeats and collectives: the table and its sentence."""

from collections import Counter
from dataclasses import dataclass
from statistics import median
from typing import Literal

from engine.events import Heartbeat
from rftui.runs.state import RankState
from rftui.runs.view import RunView
from rftui.tui.text import clean_line, duration, percent

SILENT_S = 30.0
"""A rank gives a sign every 5 seconds, whatever its main thread does."""
WAITS_S = 2.0
"""Collectives shorter than this are work."""
HANGS_S = 60.0
"""From here on, all ranks waiting at once is called a hang."""
STANDS_OUT = 0.15
"""By this share of the time the slowest rank must wait less than the median to be named."""

RankWord = Literal["silent", "late", "waits", "works", "ended"]
_WORST_FIRST: tuple[RankWord, ...] = ("silent", "late", "waits", "works", "ended")


@dataclass(frozen=True, slots=True)
class RankRow:
    """One rank. Seconds; `lag`: collectives behind the one that others wait in, None where that is unknown.

    `collective` is the number of the last one that it entered; `waits_on` names it while it is in flight.
    """

    rank: int
    place: str
    word: RankWord
    phase: str
    step: int
    collective: int
    age: float
    in_phase: float
    lag: int | None = None
    waits_on: str = ""
    wait_share: float | None = None
    message: str = ""

    @property
    def badness(self) -> tuple[int, int, float, int]:
        """Sorts the worst first."""
        return (
            _WORST_FIRST.index(self.word),
            -(self.lag or 0),
            -self.age if self.word == "silent" else 0,
            self.rank,
        )


@dataclass(frozen=True, slots=True)
class Ranks:
    """All ranks, the worst first, and what is to be said of them; `severity` as of findings."""

    rows: tuple[RankRow, ...] = ()
    said: str = ""
    severity: Literal["error", "warning", "info"] = "info"


def ranks_of(view: RunView, now: float, live: bool) -> Ranks:
    """The present health of the ranks; of a run that has ended, where each one was."""
    front, places = _front(view, now) if live else None, _places(view)
    rows = tuple(
        sorted(
            (_row(rank, places.get(rank.rank, ""), now, live, front) for rank in view.ranks.values()),
            key=lambda row: row.badness,
        )
    )
    if not rows:
        return Ranks()
    if not live:
        return Ranks(rows, _summary(rows, "ended"))
    return _judged(view, rows, front, now)


@dataclass(frozen=True, slots=True)
class _Front:
    """The collective that some ranks wait in: since when, and for how long already."""

    group: str
    op: str
    seq: int
    since: float


def _front(view: RunView, now: float) -> _Front | None:
    """The furthest collective in flight for `WAITS_S` or longer."""
    waiting = [
        _Front(beat.group, beat.op, beat.seq, beat.t - beat.waiting)
        for rank in view.ranks.values()
        if (beat := rank.heartbeat) and beat.waiting is not None and now - beat.t < SILENT_S
    ]
    held_up = [front for front in waiting if now - front.since >= WAITS_S]
    return max(held_up, key=lambda front: (front.seq, -front.since), default=None)


def _row(rank: RankState, place: str, now: float, live: bool, front: _Front | None) -> RankRow:
    beat, age = rank.heartbeat, max(0.0, now - rank.last_seen)
    lag = _lag(beat, front)
    waiting = beat is not None and beat.waiting is not None and now - beat.t + beat.waiting >= WAITS_S
    word: RankWord = "works"
    if not live or rank.status in ("finished", "stopped", "failed"):
        word = "ended"
    elif age > SILENT_S:
        word = "silent"
    elif lag:
        word = "late"
    elif waiting:
        word = "waits"
    waited, spent = sum(rank.waited.values()), sum(rank.spent.get(step, 0.0) for step in rank.waited)
    return RankRow(
        rank=rank.rank,
        place=place,
        word=word,
        phase=clean_line(rank.phase),
        step=max(0, rank.step),
        collective=max(beat.seq if beat else 0, rank.last_collective.seq if rank.last_collective else 0),
        age=age,
        in_phase=max(0.0, now - rank.phase_since) if rank.phase_since else 0.0,
        lag=lag,
        waits_on=clean_line(f"{beat.op} {beat.seq}") if beat and waiting and word == "waits" else "",
        wait_share=min(1.0, waited / spent) if spent else None,
        message=clean_line(rank.message),
    )


def _lag(beat: Heartbeat | None, front: _Front | None) -> int | None:
    """Collectives behind the front: known if the rank was heard of after the others began to wait there."""
    if beat is None or front is None or beat.group != front.group or beat.t < front.since:
        return None
    return max(0, front.seq - beat.seq)


def _places(view: RunView) -> dict[int, str]:
    """rank → `node3:5`: the host, and the rank's number among those of it."""
    found, of_host = {}, Counter[str]()
    for number, rank in sorted(view.ranks.items()):
        if rank.header is not None:
            host = clean_line(rank.header.host)
            found[number] = f"{host.partition('.')[0]}:{of_host[host]}"
            of_host[host] += 1
    return found


def _judged(view: RunView, rows: tuple[RankRow, ...], front: _Front | None, now: float) -> Ranks:
    """Straggler or hang, in a sentence."""
    analysed = [alert.finding for id, alert in view.alerts.items() if id.startswith("hang.")]
    if analysed:
        return Ranks(rows, f"hang: {clean_line(analysed[-1].cause)}", "error")
    late = [row for row in rows if row.word == "late"]
    waiting = [row for row in rows if row.word == "waits"]
    silent = [row for row in rows if row.word == "silent"]
    if late and front:
        worst = late[0]
        verb = "1 rank waits" if len(waiting) == 1 else f"{len(waiting)} ranks wait"
        where = f" in {worst.phase}" if worst.phase else ""
        behind = _count(worst.lag or 0, "collective")
        said = f"straggler: rank {worst.rank}, {behind} behind{where}; {verb} {duration(now - front.since)}"
        return Ranks(rows, said, "warning")
    if silent:
        numbers = ", ".join(str(row.rank) for row in silent[:8])
        return Ranks(rows, f"silent: rank {numbers} for {duration(silent[0].age)}", "error")
    if front and len(waiting) == len(rows) and now - front.since >= HANGS_S:
        said = f"hang: all ranks wait {duration(now - front.since)} in {clean_line(front.op)} {front.seq}"
        return Ranks(rows, said, "error")
    straggling = view.alerts.get("rank.straggler")
    if straggling:
        return Ranks(rows, f"straggler: {clean_line(straggling.finding.cause)}", "warning")
    return Ranks(rows, _summary(rows, "alive"))


def _summary(rows: tuple[RankRow, ...], what: str) -> str:
    """`8 ranks alive · update · wait 12% of the time, rank 6 least (2%): it is the slowest`."""
    parts = [f"{_count(len(rows), 'rank')} {what}"]
    phases = Counter(row.phase for row in rows if row.phase)
    if phases and what == "alive":
        parts.append(" ".join(name if n == len(rows) else f"{name} {n}" for name, n in phases.most_common()))
    shares = {row.rank: row.wait_share for row in rows if row.wait_share is not None}
    if shares and len(rows) > 1:
        usual, least = median(shares.values()), min(shares, key=lambda rank: shares[rank])
        slowest = (
            f", slowest rank {least} {percent(shares[least])}" if usual - shares[least] > STANDS_OUT else ""
        )
        parts.append(f"waits {percent(usual)} of the time{slowest}")
    return " · ".join(parts)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
