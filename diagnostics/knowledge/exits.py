"""What the exit codes that a launcher reports say of the processes that ended."""

import re
from collections.abc import Sequence

from diagnostics.knowledge.incidents import Incident, Log
from diagnostics.knowledge.scan import Hit
from diagnostics.knowledge.schema import Role

_CODE = re.compile(
    r"(?:return code|exit ?code|exited with(?: code| status)?|exit status|killed by signal|[Ss]ignal)"
    r"\D{0,12}?(?P<code>-?\d+)",
    re.I,
)
_SIGNAL = re.compile(r"signal", re.I)
_PID = re.compile(r"pid:? ?(\d+)", re.I)
_TOLD = re.compile(r"Sending process (\d+) closing signal")
_CRASHED = re.compile(r"^(?:Fatal Python error: |Signal: )?(?:Segmentation fault|Illegal instruction)")
_LIMIT = re.compile(r"DUE TO TIME LIMIT")

KILLED, BUS = "host-oom-killed", "shm-too-small"
CRASH, TIME_LIMIT = "native-crash", "time-limit"
_ROOTS = {-9: (KILLED, 20), -7: (BUS, 20)}
_UNKNOWN = {-11: CRASH, -8: CRASH, -4: CRASH, 124: TIME_LIMIT}


def code_of(text: str) -> int | None:
    """The exit code a line reports; of a process that a signal ended, the negative signal. 137 is −9."""
    found = _CODE.search(text)
    if found is None:
        return None
    code = int(found["code"])
    if code > 0 and _SIGNAL.search(found[0]):
        code = -code
    return 128 - code if 128 < code < 160 else code


def incidents(hits: Sequence[Hit], log: Log, told: Sequence[str]) -> list[Incident]:
    """Exit codes as incidents: −9 tells of host memory where nothing else tells more; the others follow.

    `told`: lines in which a launcher says that it ends a process itself.
    """
    ended = {pid for text in told for pid in _TOLD.findall(text)}
    found = []
    for hit in hits:
        code = code_of(hit.line.text)
        if code in (None, 0):
            continue
        pid = _PID.search(hit.line.text)
        cause, rank = _ROOTS.get(code or 0, ("", 0))
        role: Role = "root" if cause and not (pid and pid[1] in ended) else "cascade"
        numbers = {"code": str(code), **({"pid": pid[1]} if pid else {})}
        found.append(
            Incident(
                hit, role, cause if role == "root" else "", rank, None, numbers, log.order(hit), late=True
            )
        )
    return found


def unexplained(text: str) -> str:
    """`native-crash` or `time-limit` for ends that no cause of the taxonomy stands for."""
    if _CRASHED.search(text):
        return CRASH
    if _LIMIT.search(text):
        return TIME_LIMIT
    return _UNKNOWN.get(code_of(text) or 0, "")
