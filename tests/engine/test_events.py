"""The event schema and its writer, on real files, full disks and killed processes."""

import os
import resource
import subprocess
import sys
import threading
import time
from pathlib import Path

import msgspec
import pytest

from engine.events import Alert, AnyEvent, Event, EventWriter, Header, Heartbeat, Metric, Phase, Status
from engine.findings import Finding, Fix

DECODER = msgspec.json.Decoder(AnyEvent)


def read(path: Path) -> list[AnyEvent]:
    return DECODER.decode_lines(path.read_bytes())


def test_first_line_is_a_header_and_lines_come_back_as_written(tmp_path: Path) -> None:
    path = tmp_path / "events" / "rank-00002.jsonl"
    writer = EventWriter(path, rank=2, world_size=4, host="h", device="cpu")
    finding = Finding(id="a.b", severity="error", cause="c\nd \u2028", fixes=(Fix("x", set={"a.b": [1]}),))
    before = time.time()
    writer.emit(Alert, state="raised", finding=finding)
    writer.emit(Metric, step=3, values={"reward/mean": 0.1, "kl/ref": float("inf")})
    header, alert, metric = read(path)
    assert isinstance(header, Header) and (header.rank, header.pid, header.version) == (2, os.getpid(), 1)
    assert isinstance(alert, Alert) and alert.finding == finding and alert.rank == 2
    assert isinstance(metric, Metric) and metric.values == {"reward/mean": 0.1, "kl/ref": None}
    assert before <= alert.t <= metric.t <= time.time()
    assert path.read_bytes().count(b"\n") == 3


def test_every_kind_is_tagged_once_and_takes_fields_of_the_future() -> None:
    kinds = [kind.__struct_config__.tag for kind in AnyEvent.__args__]
    assert sorted(kinds) == sorted({k.__struct_config__.tag for k in Event.__subclasses__()})
    assert len(set(kinds)) == len(kinds) == 12
    line = b'{"kind":"status","t":1,"state":"x","step":4,"new":{"deep":[1]}}'
    assert DECODER.decode(line) == Status(t=1.0, state="x", step=4)


def test_every_line_reaches_the_system_before_write_returns(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    code = (
        "import os, signal, sys; from pathlib import Path; from engine.events import EventWriter, Heartbeat\n"
        "out = EventWriter(Path(sys.argv[1]))\n"
        "for i in range(500): out.emit(Heartbeat, step=i, phase='x')\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    assert subprocess.run([sys.executable, "-c", code, path]).returncode == -9
    assert [e.step for e in read(path)[1:] if isinstance(e, Heartbeat)] == list(range(500))


def test_reopened_file_starts_on_a_fresh_line(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    EventWriter(path).emit(Heartbeat, step=1, phase="x")
    whole = path.read_bytes()
    path.write_bytes(whole[:-5])
    EventWriter(path).emit(Heartbeat, step=2, phase="x")
    lines = path.read_bytes().splitlines()
    assert len(lines) == 4 and lines[1] == whole[:-5].splitlines()[1]
    assert [type(DECODER.decode(line)) for line in lines[2:]] == [Header, Heartbeat]
    EventWriter(path)
    assert path.read_bytes().count(b"\n\n") == 0


def test_threads_do_not_tear_each_others_lines(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    writer = EventWriter(path)

    def work(name: str) -> None:
        for step in range(2000):
            writer.emit(Phase, step=step, name=name * 50, state="begin")

    threads = [threading.Thread(target=work, args=(name,)) for name in "abc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(read(path)) == 6001 and writer.dropped == 0


def test_full_disk_drops_events_counts_them_and_goes_on(tmp_path: Path) -> None:
    """A file size limit fails writes as a full disk does: first a short write, then an error."""
    path = tmp_path / "a.jsonl"
    code = (
        "import resource, signal, sys; from pathlib import Path\n"
        "from engine.events import EventWriter, Heartbeat\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "out = EventWriter(Path(sys.argv[1]))\n"
        "hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))\n"
        "for i in range(50): out.emit(Heartbeat, step=i, phase='x')\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))\n"
        "out.emit(Heartbeat, step=99, phase='x'); print(out.dropped)"
    )
    done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, check=True)
    lines = path.read_bytes().splitlines()
    good = [DECODER.decode(line) for line in (*lines[:-2], lines[-1])]
    steps = [event.step for event in good if isinstance(event, Heartbeat)]
    assert steps == [*range(50 - int(done.stdout)), 99]
    with pytest.raises(msgspec.DecodeError):
        DECODER.decode(lines[-2])


def test_writing_costs_little(tmp_path: Path) -> None:
    writer = EventWriter(tmp_path / "a.jsonl")
    values = {f"group/metric_{i}": i / 7 for i in range(25)}
    cpu = resource.getrusage(resource.RUSAGE_SELF)
    for step in range(5000):
        writer.emit(Metric, step=step, values=values)
    after = resource.getrusage(resource.RUSAGE_SELF)
    spent = after.ru_utime - cpu.ru_utime + after.ru_stime - cpu.ru_stime
    assert spent / 5000 < 80e-6  # 12 such events are 1 % of a 100 ms step; measured 10 µs


def test_imports_nothing_heavy() -> None:
    heavy = "{'torch', 'transformers', 'pydantic', 'numpy'} & sys.modules.keys()"
    code = f"import engine.events, sys; print({heavy})"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "set()\n"
