"""The kernel's messages of a run: GPU errors, processes ended for lack of memory; only since it began."""

import os
import time
from pathlib import Path

import pytest

from diagnostics.health.kernel_log import KernelLog

XID = "NVRM: Xid (PCI:0000:3b:00): 79, pid=1234, name=python, GPU has fallen off the bus."
KILLED = "Out of memory: Killed process 4242 (python) total-vm:1234kB, anon-rss:99kB"


@pytest.fixture
def kernel(tmp_path: Path) -> Path:
    path = tmp_path / "kmsg"
    os.mkfifo(path)
    return path


def record(text: str, age_s: float = 0.0) -> bytes:
    return f"4,100,{int((time.monotonic() - age_s) * 1e6)},-;{text}\n SUBSYSTEM=pci\n".encode()


def test_what_the_kernel_said_since_the_run_began_is_found(kernel: Path) -> None:
    log = KernelLog(time.time() - 5, kernel)
    with kernel.open("wb") as file:
        file.write(record("usb 1-1: new device") + record(XID) + record(XID) + record(KILLED))
        file.flush()
        found = log.findings()
    assert [finding.id for finding in found] == ["gpu.xid-79", "memory.kernel-killed"]
    assert found[0].severity == "error" and found[0].fixes[0].command == "sudo reboot"
    assert found[1].cause == "the kernel of this machine ended process 4242 (python) for lack of memory."
    assert log.findings() == found


def test_what_it_said_before_is_no_concern(kernel: Path) -> None:
    log = KernelLog(time.time() - 5, kernel)
    with kernel.open("wb") as file:
        file.write(record(XID, age_s=60))
        file.flush()
        assert log.findings() == []


def test_a_log_that_may_not_be_read_tells_nothing(tmp_path: Path) -> None:
    log = KernelLog(time.time(), tmp_path / "none")
    assert (log.readable, log.findings()) == (False, [])
