"""Asks NCCL's RAS service, which runs inside every NCCL process, who is missing or behind.

Source: NVIDIA's NCCL, src/ras/client.cc (protocol) and client_support.cc (report).
"""

import os
import re
import socket
import time
from collections.abc import Mapping

import msgspec

PORT = 28028
LIMIT_S = 12.0
"""NCCL needs up to 10 s to ask all of its processes."""
_HELLO = b"CLIENT PROTOCOL 2\n"
_QUESTION = b"VERBOSE STATUS\n"
_MAX_BYTES = 1 << 22
_SECTION = re.compile(r"^(?:#\S+ .*\b)?(INCOMPLETE|ERROR|DEAD|MISMATCH|TIMEOUT|ABORT)\b")
_PROCESS = re.compile(r"[Pp]rocess (\d+) on node (\S+)")


class Report(msgspec.Struct, frozen=True):
    """What RAS says. `blamed`: state → pids on this machine that it names. `absence`: why there is none."""

    text: str = ""
    blamed: dict[str, tuple[int, ...]] = {}
    absence: str = ""


def ask(limit_s: float = LIMIT_S, address: str | None = None) -> Report:
    """The report of the job on this machine; says so where nothing answers within `limit_s` seconds."""
    host, port = _address(address or os.environ.get("NCCL_RAS_ADDR", ""))
    deadline = time.monotonic() + limit_s
    try:
        with socket.create_connection((host, port), timeout=min(1.0, limit_s)) as connection:
            connection.sendall(_HELLO)
            greeting = _line(connection, deadline)
            if not greeting.upper().startswith(b"SERVER PROTOCOL"):
                return Report(absence=f"{host}:{port} is no RAS service: it answered {greeting[:60]!r}")
            connection.sendall(_QUESTION)
            text = _rest(connection, deadline)
    except ConnectionRefusedError:
        return Report(absence=f"no NCCL process serves RAS on {host}:{port}")
    except TimeoutError:
        return Report(absence=f"RAS on {host}:{port} did not answer within {limit_s:g} s")
    except OSError as error:
        return Report(absence=f"RAS on {host}:{port} could not be asked: {error}")
    return Report(text, blamed(text))


def blamed(text: str) -> dict[str, tuple[int, ...]]:
    """The processes that a report names under each state. A mismatch names the ranks that are behind."""
    found: dict[str, list[int]] = {}
    state = ""
    for line in text.splitlines():
        if section := _SECTION.match(line):
            state = section.group(1)
        elif state and (process := _PROCESS.search(line)):
            found.setdefault(state, []).append(int(process.group(1)))
        elif line and not line.startswith((" ", "\t")):
            state = ""
    return {state: tuple(dict.fromkeys(pids)) for state, pids in found.items()}


def ranks_of(report: Report, pids: Mapping[int, int | None]) -> dict[str, tuple[int, ...]]:
    """The blamed processes as our ranks; others are left out."""
    by_pid = {pid: rank for rank, pid in pids.items() if pid is not None}
    told = {
        state: tuple(sorted(by_pid[pid] for pid in blamed if pid in by_pid))
        for state, blamed in report.blamed.items()
    }
    return {state: ranks for state, ranks in told.items() if ranks}


def _address(given: str) -> tuple[str, int]:
    host, _, port = given.rpartition(":")
    return (host.strip("[]") or "localhost", int(port)) if port.isdigit() else ("localhost", PORT)


def _line(connection: socket.socket, deadline: float) -> bytes:
    line = b""
    while not line.endswith(b"\n"):
        line += (part := _receive(connection, deadline))
        if not part or len(line) > 200:
            break
    return line


def _rest(connection: socket.socket, deadline: float) -> str:
    parts: list[bytes] = []
    while (part := _receive(connection, deadline)) and sum(map(len, parts)) < _MAX_BYTES:
        parts.append(part)
    return b"".join(parts).decode(errors="replace")


def _receive(connection: socket.socket, deadline: float) -> bytes:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    connection.settimeout(left)
    return connection.recv(65536)
