"""What the watchdog timeouts of all ranks say together: desync, a first collective that hangs, straggler."""

import re
from collections import defaultdict
from collections.abc import Sequence

from diagnostics.knowledge.incidents import Incident, Log
from diagnostics.knowledge.scan import Hit

STRAGGLER, DESYNC, FIRST = "nccl-timeout-straggler", "nccl-timeout-desync", "nccl-first-collective-hang"
TIMEOUTS = frozenset({STRAGGLER, DESYNC, FIRST})

_TIMEOUT = re.compile(r"(?:caught collective operation timeout|before timing out|Timeout at NCCL work)")
_WORK = re.compile(
    r"SeqNum=(?P<seq>\d+), OpType=(?P<op>\w+)(?:, NumelIn=(?P<numel>\d+))?.*?Timeout\(ms\)=(?P<timeout>\d+)"
)
_COMPLETED = re.compile(r"last completed (?:NCCL )?work: (-?\d+)")
_GROUP = re.compile(r"\[PG (?:ID )?(?P<id>\d+)(?: PG GUID (?P<guid>[\w.:-]+))?")


def incidents(hits: Sequence[Hit], log: Log) -> list[Incident]:
    """One incident for all timeouts, told by the lines that show it; none where no collective timed out."""
    timeouts = [hit for hit in hits if _TIMEOUT.search(hit.line.text)]
    works = [(hit, work) for hit in timeouts if (work := _WORK.search(hit.line.text))]
    if not timeouts:
        return []
    shown = _out_of_step(works)
    completed = [int(found[1]) for hit in hits if (found := _COMPLETED.search(hit.line.text))]
    sequences = [int(work["seq"]) for _, work in works]
    if shown:
        cause = DESYNC
    elif (max(completed) <= 0) if completed else (max(sequences, default=2) <= 1):
        cause = FIRST
    else:
        cause = STRAGGLER
    shown = shown or _one_per_rank(works) or [(timeouts[0], None)]
    silent = _silent({hit.line.rank for hit in timeouts}, log)
    order = log.order(timeouts[0])
    return [
        Incident(hit, "root", cause, 60, None, _numbers(hit, work, completed) | silent, order, late=True)
        for hit, work in shown
    ]


def _one_per_rank(works: "Works") -> "list[tuple[Hit, re.Match[str] | None]]":
    first = {hit.line.process: (hit, work) for hit, work in reversed(works)}
    return sorted(first.values(), key=lambda pair: (pair[0].source, pair[0].line.number))


def _silent(reporting: set[int], log: Log) -> dict[str, str]:
    """The ranks that wrote something and report no timeout, as a number of the log named `silent`."""
    silent = sorted(log.ranks() - reporting) if -1 not in reporting else []
    return {"silent": ", ".join(map(str, silent))} if silent else {}


def _numbers(hit: Hit, work: re.Match[str] | None, completed: list[int]) -> dict[str, str]:
    numbers = {name: value for name, value in (work.groupdict() if work else {}).items() if value}
    if "timeout" in numbers:
        numbers["seconds"] = f"{int(numbers['timeout']) / 1000:g}"
    if hit.line.rank >= 0:
        numbers["rank"] = str(hit.line.rank)
    if completed:
        numbers["completed"] = str(max(completed))
    return numbers


Works = list[tuple[Hit, re.Match[str]]]


def _out_of_step(works: Works) -> list[tuple[Hit, re.Match[str] | None]]:
    """Reports of two ranks of one group that share no collective; empty where all wait for the same."""
    groups: dict[str, dict[str, Works]] = defaultdict(lambda: defaultdict(list))
    for hit, work in works:
        groups[_group(hit.line.text)][hit.line.process or str(hit.line.rank)].append((hit, work))
    for ranks in groups.values():
        reports = list(ranks.values())
        for number, first in enumerate(reports):
            for second in reports[number + 1 :]:
                if not {_key(work) for _, work in first} & {_key(work) for _, work in second}:
                    return [first[0], second[0]]
    return []


def _key(work: re.Match[str]) -> tuple[str, ...]:
    return work["seq"], work["op"], work["numel"] or ""


def _group(text: str) -> str:
    found = _GROUP.search(text)
    return (found["guid"] or found["id"]) if found else ""
