"""A line of a log, parted into who wrote it, when, at which level, and what it says.

Prefixes of torchrun (`[rank3]:`, `[default3]:`, `[3]:`), mpirun (`[1,3]<stderr>:`), Ray and vLLM
(`(WorkerDict pid=12, ip=10.0.0.1)`), SGLang (`[2025-03-12 09:14:20 TP0]`), glog
(`[E314 15:01:45.17 file.cpp:607]`), Python's, NCCL's, syslog's.
"""

import calendar
import re
from typing import NamedTuple

_ANSI = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[()][A-Z0-9]|\x1b.")
_LEVEL = r"(?:DEBUG|INFO|WARNING|WARN|ERROR|CRITICAL|FATAL)"
_CLOCK = r"(?P<h>\d\d):(?P<m>\d\d):(?P<s>\d\d)(?:[.,](?P<f>\d+))?"
_SOURCE = r"[\w./<>-]+\.(?:py|cpp|cc|cu|h|hpp|go|rs):\d+"
_PREFIXES = tuple(
    re.compile(pattern)
    for pattern in (
        r"\[(?:rank|default|Rank )?(?P<rank>\d+)\]: ?",
        r"(?P<rank>\d{1,4}): (?=\S|  )",
        r"\[\d+,(?P<rank>\d+)\]<std(?:out|err)>: ?",
        r"(?P<who>(?:\d{1,3}\.){3}\d{1,3}|(?:node|worker|host|gpu)[\w.-]*): ",
        r"(?:stdout|stderr) [FP] ",
        r"\[(?P<who>pod/[^\]\s]+)\] ?",
        r"(?P<who>[a-zA-Z][\w.]*[-_][\w.-]*\d) +\| ?",
        r"\((?P<who>[^()]*\bpid=\d+[^()]*|raylet[^()]*|autoscaler[^()]*|gcs_server[^()]*)\) ?",
        rf"\[?(?P<Y>\d{{4}})[-/](?P<M>\d\d)[-/](?P<D>\d\d)[ T]{_CLOCK}(?:Z|[+-]\d\d:?\d\d)?"
        r"(?P<parts>(?: (?:[A-Z]{2,3}\d+|pid=\d+))*)\]?[:,]?(?: - |[ \t]|$)",
        rf"\[?(?P<level>{_LEVEL})[ :]+(?P<M>\d\d)-(?P<D>\d\d) {_CLOCK} ?",
        rf"\[?(?P<level>[EWIFV])(?P<M>\d\d?)(?P<D>\d\d) {_CLOCK}(?: +\d+)? {_SOURCE}\] ?",
        rf"\[(?P<level>[EWIF]) {_SOURCE}\] ?",
        rf"\[(?P<level>{_LEVEL})\|[^\]]*\] ?",
        rf"(?P<level>{_LEVEL}):[\w.]+:(?! )",
        rf"[\w.]+ - (?P<level>{_LEVEL}) - ",
        rf"\| (?P<level>{_LEVEL}) *\| [^|]* - ",
        rf"\[?(?P<level>{_LEVEL})\]?[:, ]*(?:- )?(?=\S)",
        rf"\[?{_SOURCE}(?::\w+)?(?:\] ?| -- )",
        r"(?P<who>[\w.-]+:\d+:\d+) \[(?P<device>\d+)\] (?=NCCL )",
        r"(?P<mon>Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) +(?P<D>\d{1,2}) "
        rf"{_CLOCK} (?:[\w.-]+ )?(?:[\w./-]+\[\d+\]: ?)?(?=\S)",
        r">> ?",
    )
)
_BAR = re.compile(r"[^\[]{0,160}\d/\d+ \[[\d:?]+<[\d:?]+,[^\]]*\] *(?=\S)")
"""A progress bar, to which the next line of another writer was glued."""
_MONTHS = {name: number for number, name in enumerate(calendar.month_abbr) if name}
_RANK = re.compile(r"\brank[ =](\d+)", re.I)
_WATCHDOG_RANK = re.compile(r"\[(?:PG[^\]]*?)?Rank (\d+)\]")
_PARALLEL = re.compile(r"\bTP(\d+)")
_HEAD = 400
"""Characters of a line in which its rank may be told."""
_INDENT = re.compile(r"\s*")


class Line(NamedTuple):
    """`process` names the writer (`""`: unknown); `t`: seconds since 1970, or since New Year without a year.

    `text` is what follows the prefixes, its indentation kept; `full` the whole line without colour codes.
    """

    number: int
    process: str
    rank: int
    t: float | None
    level: str
    """First letter: D, I, W, E, F or C; `""` where none is told."""
    text: str
    full: str


def clean(raw: bytes) -> str:
    """Text of a line without colour codes; of a progress bar that overwrote itself, the parts by `\\n`."""
    text = _decode(raw)
    if "\x1b" in text:
        text = _ANSI.sub("", text)
    return text


def _decode(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def parse(full: str, number: int = 0, rank: int = -1) -> Line:
    """Part a clean line; `rank` is that of its file, if its name tells."""
    process, level, t = "", "", None
    bar = _BAR.match(full)
    position = bar.end() if bar else 0
    own_rank = -1
    for _ in range(8):
        found = _prefix(full, position)
        if found is None:
            break
        position = found.end()
        given = found.groupdict()
        if given.get("rank"):
            own_rank = int(given["rank"])
        if who := given.get("who"):
            process = who
            if told := _RANK.search(who):
                own_rank = int(told[1])
        if parts := given.get("parts"):
            process = process or parts.strip()
        level = (given.get("level") or level)[:1]
        if t is None and given.get("h"):
            t = _seconds(given)
    text = full[position:]
    if own_rank < 0 and (told := _WATCHDOG_RANK.search(text, 0, _HEAD)):
        own_rank = int(told[1])
    if own_rank < 0:
        own_rank = rank
    if not process and own_rank >= 0:
        process = f"rank {own_rank}"
    return Line(number, process, own_rank, t, level, text.rstrip(), full)


def _prefix(full: str, position: int) -> re.Match[str] | None:
    if position >= len(full) or full[position] in " \t":
        return None
    for pattern in _PREFIXES:
        if (found := pattern.match(full, position)) and found.end() > position:
            return found
    return None


def _seconds(given: dict[str, str | None]) -> float | None:
    year = int(given.get("Y") or 1970)
    month = _MONTHS[given["mon"]] if given.get("mon") else int(given.get("M") or 0)  # type: ignore[index]
    day = int(given.get("D") or 0)
    if not (1 <= month <= 12 and 1 <= day <= 31):
        return None
    fraction = float(f"0.{given['f']}") if given.get("f") else 0.0
    clock = (int(given["h"] or 0), int(given["m"] or 0), int(given["s"] or 0))
    return calendar.timegm((year, month, day, *clock)) + fraction


def indent(text: str) -> int:
    """Count of leading blanks."""
    found = _INDENT.match(text)
    return found.end() if found else 0
