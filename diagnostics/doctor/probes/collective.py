"""Lets ranks add and exchange numbers, with a deadline: arguments `RANKS [NODES NODE ADDRESS PORT]`.

Starts RANKS ranks of `collective_rank` on this machine with torchrun. With the rest it is one of NODES
machines, on each of which it must be started. Prints where each rank of this machine got to.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

START_S = 40.0
"""For interpreters and imports, before the deadline of the ranks begins."""
DEADLINE_S = 20.0
"""For what the ranks do together."""
AFTER_FAILURE_S = 3.0
"""For the other ranks to say where they are; torchrun itself would wait 30 s for one that stands still."""
CLEAN_UP_S = 10.0


def main(arguments: list[str]) -> None:
    """Run and print the outcome as one JSON object."""
    ranks, *several = arguments
    nodes, node, address, port = several or ("1", "0", "127.0.0.1", str(_free_port()))
    with tempfile.TemporaryDirectory(prefix="rft-doctor-") as name:
        folder = Path(name)
        argv = [
            *(sys.executable, "-m", "torch.distributed.run", "--nnodes", nodes, "--node-rank", node),
            *("--nproc-per-node", ranks, "--master-addr", address, "--master-port", port),
            *(("--local-addr", "127.0.0.1") if nodes == "1" else ()),
            *("-m", "diagnostics.doctor.probes.collective_rank", name, str(DEADLINE_S)),
        ]
        code, seconds = _run(argv, folder)
        outcome: dict[str, Any] = {
            "expected": int(ranks),
            "code": code,
            "seconds": seconds,
            "ranks": _reports(folder),
        }
        outcome |= {"tail": (folder / "log").read_text(errors="replace").splitlines()[-20:]}
    print("\n" + json.dumps(outcome))


def _run(argv: list[str], folder: Path) -> tuple[int | None, float]:
    """Exit code of torchrun, None past the deadline, and seconds; no rank outlives this."""
    started = time.perf_counter()
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    end = started + START_S + DEADLINE_S
    while process.poll() is None and time.perf_counter() < end:
        time.sleep(0.1)
        if any("error" in report for report in _reports(folder)):
            end = min(end, time.perf_counter() + AFTER_FAILURE_S)
    seconds, code = time.perf_counter() - started, process.poll()
    if code is None:
        for report in _reports(folder):  # torchrun gives each rank a session of its own
            with suppress(ProcessLookupError):
                os.kill(report["pid"], signal.SIGKILL)
        with suppress(subprocess.TimeoutExpired):
            process.wait(CLEAN_UP_S)
        process.kill()
        process.wait()
    return code, seconds


def _reports(folder: Path) -> list[dict[str, Any]]:
    """What the ranks of this machine wrote of themselves, by rank."""
    found: list[dict[str, Any]] = [json.loads(path.read_text()) for path in folder.glob("rank-*.json")]
    return sorted(found, key=lambda report: int(report["rank"]))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    main(sys.argv[1:])
