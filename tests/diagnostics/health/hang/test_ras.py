"""NCCL's RAS service, played by a server that speaks its protocol."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from diagnostics.health.hang import ras

REPORT = """Job summary
===========

Communicators... (0.00s)
========================

Group     Comms     Nodes     Ranks     Ranks     Ranks    Status  Errors
    #  in group  per comm  per node  per comm  in group
    0         1         1         4         4         4   RUNNING  MISMATCH,INCOMPLETE

Errors
======

INCOMPLETE
  Missing communicator data from 1 job process
  Process 3487984 on node 172.16.64.213 managing GPU 5

Warnings
========

#0-0 (27a079b828ff1a75) MISMATCH
  Communicator ranks have different AllReduce operation counts
  3 ranks have launched up to operation 64
  Rank 3 has launched up to operation 60 -- GPU 3 managed by process 1650386 on node node1
"""


@contextmanager
def service(answers: bool) -> Iterator[int]:
    """A port that answers as NCCL does, or never."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            with connection, connection.makefile("rw") as lines:
                if not answers:
                    time.sleep(1.5)
                    return
                assert lines.readline() == "CLIENT PROTOCOL 2\n"
                lines.write("SERVER PROTOCOL 2\n")
                lines.flush()
                assert lines.readline() == "VERBOSE STATUS\n"
                lines.write(REPORT)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield server.getsockname()[1]
        thread.join(3)


def test_the_report_names_processes_which_are_ranks_of_ours() -> None:
    with service(answers=True) as port:
        report = ras.ask(5, f"127.0.0.1:{port}")
    assert report.blamed == {"INCOMPLETE": (3487984,), "MISMATCH": (1650386,)}
    assert ras.ranks_of(report, {0: 11, 3: 1650386, 4: None}) == {"MISMATCH": (3,)}


@pytest.mark.alone
def test_no_service_and_a_silent_one_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        free = server.getsockname()[1]
    monkeypatch.setenv("NCCL_RAS_ADDR", f"127.0.0.1:{free}")
    assert "no NCCL process serves RAS" in ras.ask(5).absence
    began = time.monotonic()
    with service(answers=False) as port:
        assert "did not answer within 0.5 s" in ras.ask(0.5, f"127.0.0.1:{port}").absence
        assert time.monotonic() - began < 1.2
