"""What the kernel says while a run is on: errors of GPUs (Xid), and processes ended for lack of memory.

Reads `/dev/kmsg`, which many systems keep to the administrator: then there is nothing to read, and NVML's
counters and the control group's are all that is known.
"""

import os
import re
import time
from pathlib import Path

from diagnostics.xids import ACTIONS, Seen, read_xids
from engine.findings import Finding, Fix

KMSG = Path("/dev/kmsg")
_RECORD = 8192
_KEEP = 8
_KILLED = re.compile(r"Out of memory: Killed process (\d+) \((.+?)\)|oom-kill:.*task=(.+?),pid=(\d+)")


class KernelLog:
    """The kernel's messages since a moment (Unix seconds)."""

    def __init__(self, since: float, path: Path = KMSG) -> None:
        self._found: dict[str, Finding] = {}
        self._since_boot = (since - (time.time() - time.monotonic())) * 1e6
        try:
            self._file = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        except OSError:
            self._file = -1

    @property
    def readable(self) -> bool:
        """Whether this user may read it."""
        return self._file >= 0

    def findings(self) -> list[Finding]:
        """Everything found so far; what the kernel has said stays true."""
        while records := self._next():
            for record in records.splitlines():
                self._take(record)
        return list(self._found.values())[:_KEEP]

    def _next(self) -> str:
        """One record, several from a pipe; empty where there is no more now."""
        while self._file >= 0:
            try:
                return os.read(self._file, _RECORD).decode(errors="replace")
            except BlockingIOError:
                return ""
            except (
                BrokenPipeError
            ):  # old messages were overwritten; the next read goes on with the oldest kept
                continue
            except OSError:
                self._file = -1
        return ""

    def _take(self, record: str) -> None:
        """`priority,sequence,microseconds,flags;text`."""
        head, _, text = record.partition(";")
        fields = head.split(",")
        if len(fields) < 3 or not fields[2].isdecimal() or int(fields[2]) < self._since_boot:
            return
        for seen in read_xids(text):
            self._found.setdefault(f"{seen.bus} {seen.code}", _xid(seen))
        if killed := _KILLED.search(text):
            self._found.setdefault("killed", _killed(killed[1] or killed[4], killed[2] or killed[3], text))


def _xid(seen: Seen) -> Finding:
    words, command = ACTIONS[seen.xid.act]
    return Finding(
        id=f"gpu.xid-{seen.code}",
        severity=seen.xid.severity,
        cause=f"the GPU at {seen.bus} reported Xid {seen.code}: {seen.xid.meaning}.",
        evidence=(seen.text.strip(),),
        fixes=(Fix(words, command=command.format(i=seen.bus)),),
    )


def _killed(pid: str, command: str, text: str) -> Finding:
    return Finding(
        id="memory.kernel-killed",
        severity="warning",  # it may have been another container's
        cause=f"the kernel of this machine ended process {pid} ({command}) for lack of memory.",
        evidence=(text.strip(),),
        fixes=(
            Fix(
                "use fewer ranks, or keep optimizer states on the device", set={"memory.adam_offload": False}
            ),
            Fix("give the container more memory"),
        ),
    )
