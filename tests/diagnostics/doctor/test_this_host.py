"""The real machine behind `Host`, and what a recorded one does not know."""

import os
import socket
import sys
import time
from importlib.metadata import distributions
from pathlib import Path

import msgspec
import pytest
from packaging.utils import canonicalize_name

from diagnostics.doctor.check import CannotCheck
from diagnostics.doctor.host import Host
from diagnostics.doctor.installed import installed
from diagnostics.doctor.recorded import Recorded, RecordedHost
from diagnostics.doctor.this_host import ThisHost
from tests.diagnostics.doctor.eight_h100 import EIGHT_H100


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return ThisHost(tmp_path / "runs")


def test_files_are_read_whole_and_absent_ones_are_none(host: Host, tmp_path: Path) -> None:
    long = "0123456789\n" * 300_000
    (tmp_path / "long").write_text(long)
    assert host.read(str(tmp_path / "long")) == long
    assert host.read(str(tmp_path / "absent")) is None
    assert host.read(str(tmp_path)) is None
    assert host.read(str(tmp_path / "long" / "below")) is None


@pytest.mark.alone
def test_reading_never_waits_for_more(host: Host, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    started = time.monotonic()
    host.read(str(pipe))
    assert time.monotonic() - started < 1


def test_what_may_not_be_read_cannot_be_checked(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(CannotCheck, match="/dev/kmsg cannot be read: Permission denied"):
        host.read("/dev/kmsg")


def test_the_room_of_a_folder_to_be_made_is_that_of_its_parent(host: Host, small_disk: Path) -> None:
    room = host.room(str(small_disk / "a" / "b"))
    assert room is not None
    assert room == host.room(str(small_disk))
    assert room.free <= room.total <= 4 * 2**20
    assert not room.read_only


def test_a_full_disk_cannot_be_written(host: Host, small_disk: Path) -> None:
    assert host.try_write(str(small_disk / "new")) is None
    with (small_disk / "filler").open("wb") as filler, pytest.raises(OSError):
        while True:
            filler.write(b"\0" * 65536)
            filler.flush()
    assert "No space left on device" in (host.try_write(str(small_disk)) or "")
    assert [path.name for path in small_disk.iterdir() if "doctor" in path.name] == []


@pytest.mark.alone
def test_a_child_that_takes_too_long_is_ended_with_its_children(host: Host, tmp_path: Path) -> None:
    left = tmp_path / "left"
    started = time.monotonic()
    ran = host.run(["sh", "-c", f"echo began; (sleep 1; touch {left}) & sleep 30"], 0.3)
    assert time.monotonic() - started < 1
    assert (ran.code, ran.out) == (None, "began\n")
    time.sleep(1.2)
    assert not left.exists()


def test_a_child_gets_the_environment_and_its_own_part(tmp_path: Path) -> None:
    host = ThisHost(tmp_path, environ={"PATH": os.environ["PATH"], "ONE": "1"})
    ran = host.run(["sh", "-c", "echo $ONE$TWO; echo wrong >&2; exit 3"], 5, {"TWO": "2"})
    assert (ran.code, ran.out, ran.err) == (3, "12\n", "wrong\n")


def test_a_program_that_is_not_there_cannot_be_asked(host: Host) -> None:
    assert host.which("no-such-program") is None
    with pytest.raises(CannotCheck, match="no-such-program cannot be started"):
        host.run(["no-such-program"], 1)


def test_a_taken_port_is_told_with_who_holds_it(host: Host) -> None:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        port = listening.getsockname()[1]
        error = host.port_error(port, "127.0.0.1")
        assert error is not None
        assert error.startswith("Address already in use")
        assert f"pid {os.getpid()}" in error
        assert host.connect("127.0.0.1", port, 2) is None
    assert host.port_error(port, "127.0.0.1") is None
    assert host.connect("127.0.0.1", port, 2) == "Connection refused"


@pytest.mark.alone
def test_installed_packages_are_those_of_importlib_and_found_fast(host: Host) -> None:
    began = time.perf_counter()
    found = host.distributions()
    assert time.perf_counter() - began < 0.5  # 15 to 25 ms on an idle machine
    expected: dict[str, str] = {}
    for distribution in distributions():
        expected.setdefault(canonicalize_name(distribution.name), distribution.version)
    assert {name: packages[0].version for name, packages in found.items()} == expected
    assert any(line.startswith("networkx") for line in found["torch"][0].requires)


def test_two_packages_of_one_name_are_both_found(tmp_path: Path) -> None:
    for place, version in (("user", "1.0"), ("venv", "2.0")):
        folder = tmp_path / place / f"Flash_Attn-{version}.dist-info"
        folder.mkdir(parents=True)
        (folder / "METADATA").write_text(
            f"Name: Flash_Attn\nVersion: {version}\nRequires-Dist: torch\n\nName: no\n"
        )
    (tmp_path / "venv" / "broken-1.dist-info").mkdir()
    found = installed([str(tmp_path / "user"), str(tmp_path / "venv"), str(tmp_path / "venv")])
    assert [(p.version, p.requires, Path(p.location).name) for p in found["flash-attn"]] == [
        ("1.0", ("torch",), "user"),
        ("2.0", ("torch",), "venv"),
    ]
    assert set(found) == {"flash-attn"}


def test_looking_at_the_machine_imports_none_of_what_is_looked_at(host: Host) -> None:
    code = (
        "import sys; from pathlib import Path; from diagnostics.doctor.registry import all_checks; "
        "from diagnostics.doctor.runner import run_checks; from diagnostics.doctor.this_host import "
        "ThisHost; "
        "run_checks([c for c in all_checks() if c.tier == 'fast'], ThisHost(Path('runs'))); "
        "print([m for m in ('torch', 'numpy', 'transformers', 'vllm', 'datasets') if m in sys.modules])"
    )
    ran = host.run([sys.executable, "-c", code], 60)
    assert (ran.code, ran.out.strip()) == (0, "[]"), ran.err


def test_hardware_is_looked_at_once(host: Host) -> None:
    assert host.hardware is host.hardware
    assert host.hardware.disk_free is not None


def test_a_recorded_host_answers_nothing_that_is_not_recorded() -> None:
    empty = RecordedHost(Recorded())
    for ask in (
        lambda: empty.hardware,
        lambda: empty.read("/proc/mounts"),
        lambda: empty.glob("/dev/nvidia*"),
        lambda: empty.room("/"),
        lambda: empty.try_write("/"),
        lambda: empty.limit("nofile"),
        lambda: empty.which("nvcc"),
        lambda: empty.run(["true"], 1),
        lambda: empty.distributions(),
        lambda: empty.interfaces(),
        lambda: empty.resolve("localhost"),
        lambda: empty.port_error(80),
        lambda: empty.connect("localhost", 80, 1),
        lambda: empty.now(),
    ):
        with pytest.raises(CannotCheck, match="not recorded"):
            ask()


def test_a_recorded_host_survives_json_and_changes_one_answer_at_a_time() -> None:
    assert msgspec.json.decode(msgspec.json.encode(EIGHT_H100), type=Recorded) == EIGHT_H100
    changed = EIGHT_H100.but(files={"/dev/kmsg": None}, packages=None, config={"parallel": {"nproc": 4}})
    host = RecordedHost(changed)
    assert host.read("/dev/kmsg") is None
    assert host.read("/proc/sys/kernel/yama/ptrace_scope") == "0\n"
    assert host.config is not None
    assert host.config.parallel.nproc == 4
    with pytest.raises(CannotCheck):
        host.distributions()
