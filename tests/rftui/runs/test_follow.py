"""Following files that grow, tear, shrink, get replaced, or are written by a process that is killed."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from engine.events import AnyEvent, EventWriter, Header, Heartbeat, Metric, Sample, Status
from rftui.runs.follow import CHUNK, EventFollower, GrowingFile, LogFollower


def line(step: int) -> bytes:
    return b'{"kind":"heartbeat","t":1.5,"rank":0,"step":%d,"phase":"rollout"}\n' % step


def steps(events: list[AnyEvent]) -> list[int]:
    return [event.step for event in events if isinstance(event, Heartbeat)]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "rank-00000.jsonl"


def append(path: Path, content: bytes) -> None:
    with path.open("ab") as out:
        out.write(content)


def test_only_what_is_new(tmp_path: Path, file: Path) -> None:
    follower = EventFollower(tmp_path)
    assert follower.poll() == []
    append(file, line(1) + line(2))
    assert steps(follower.poll()) == [1, 2]
    assert follower.poll() == []
    append(file, line(3))
    append(tmp_path / "rank-00001.jsonl", line(10))
    append(tmp_path / "notes.txt", line(99))
    assert steps(follower.poll()) == [3, 10]


def test_missing_folder_appears_later(tmp_path: Path) -> None:
    follower = EventFollower(tmp_path / "events")
    assert follower.poll() == []
    (tmp_path / "events").mkdir()
    append(tmp_path / "events" / "rank-00000.jsonl", line(1))
    assert steps(follower.poll()) == [1]


@pytest.mark.parametrize("seed", range(20))
def test_any_split_of_the_bytes_gives_the_same_events(tmp_path: Path, file: Path, seed: int) -> None:
    rng = random.Random(seed)
    text = b"".join(line(i) for i in range(200))
    follower, seen, position = EventFollower(tmp_path), [], 0
    while position < len(text):
        size = rng.choice([1, 7, 60, 500])
        append(file, text[position : position + size])
        position += size
        seen += steps(follower.poll(max_bytes=rng.choice([1, 100, 10_000])))
    seen += steps(follower.poll())
    assert seen == list(range(200)) and follower.corrupt == 0


def test_bad_lines_cost_themselves_only_and_are_counted(tmp_path: Path, file: Path) -> None:
    append(file, line(1) + b'{"kind":"heartbeat","t":17\n' + line(2))  # torn, then resumed
    append(file, b'{"kind":"hologram","t":1,"depth":3}\n' + line(3))  # a kind of the future
    append(file, line(4)[:-2] + b',"mood":{"a":[1]}}\n')  # a field of the future
    append(file, b"\n\x00\x00\x00\n\xff\xfe\n[]\n5\n" + b"[" * 5000 + b"\n" + line(5))
    append(file, b'{"kind":"heartbeat","t":1,"step":"six","phase":""}\n{"kind":7}\n' + line(7))
    append(file, b'{"kind":"sample","t":1,"step":1,"prompt":"\xff","response":"","reward":1}\n')
    follower = EventFollower(tmp_path)
    assert steps(follower.poll()) == [1, 2, 3, 4, 5, 7]
    assert (follower.unknown, follower.corrupt) == (1, 9)


def test_line_longer_than_a_chunk(tmp_path: Path, file: Path) -> None:
    with_text = EventWriter(file)
    with_text.emit(Sample, step=1, prompt="p" * (3 * CHUNK), response="é\n\x00", reward=1.0)
    follower = EventFollower(tmp_path)
    events = follower.poll(max_bytes=CHUNK)
    while follower.behind:
        events += follower.poll(max_bytes=CHUNK)
    assert [type(e) for e in events] == [Header, Sample] and events[1].response == "é\n\x00"


def test_truncated_and_replaced_files_are_read_again(tmp_path: Path, file: Path) -> None:
    follower = EventFollower(tmp_path)
    append(file, line(1) + line(2) + b'{"kind":"torn')
    assert steps(follower.poll()) == [1, 2]
    os.truncate(file, 0)
    append(file, line(3))
    assert steps(follower.poll()) == [3]
    other = tmp_path / "new"
    append(other, line(4) + line(5) + line(6))
    other.replace(file)
    assert steps(follower.poll()) == [4, 5, 6]
    with file.open("r+b") as out:  # same inode, no shorter: only its first bytes tell
        out.write(b'{"kind":"heartbeat","t":9.25,"rank":0,"step":7,"phase":"rollouts"}\n' + line(8) * 4)
    assert steps(follower.poll()) == [7, 8, 8, 8, 8]
    file.unlink()
    assert follower.poll() == []
    append(file, line(9))
    assert steps(follower.poll()) == [9]


def test_a_poll_is_bounded_and_files_take_turns(tmp_path: Path) -> None:
    for rank in range(4):
        append(tmp_path / f"rank-{rank:05}.jsonl", b"".join(line(rank) for _ in range(20_000)))
    follower = EventFollower(tmp_path)
    first = steps(follower.poll(max_bytes=2 * CHUNK))
    assert 0 < len(first) <= 2 * CHUNK / len(line(0)) + 1 and set(first) >= {0, 1}
    seen = len(first)
    assert 4 * 20_000 * len(line(0)) - follower.behind == pytest.approx(2 * CHUNK, abs=4 * len(line(0)))
    while follower.behind:
        seen += len(follower.poll(max_bytes=CHUNK))
    assert seen == 4 * 20_000 and follower.poll() == []


def test_tail_gives_first_line_and_newest_part(tmp_path: Path, file: Path) -> None:
    writer = EventWriter(file, rank=0)
    for step in range(30_000):
        writer.emit(Heartbeat, step=step, phase="update")
    follower = EventFollower(tmp_path, tail_bytes=10_000)
    events = follower.poll()
    assert isinstance(events[0], Header)
    seen = steps(events)
    assert 50 < len(seen) < 200 and seen == list(range(seen[0], 30_000)) and follower.corrupt == 0
    writer.emit(Heartbeat, step=30_000, phase="update")
    assert steps(follower.poll()) == [30_000]
    small = EventFollower(tmp_path, tail_bytes=100 << 20)
    assert len(small.poll()) == 30_002


WRITER = """
import sys, time
from pathlib import Path
from engine.events import EventWriter, Metric
writer = EventWriter(Path(sys.argv[1]), rank=0)
for step in range(int(sys.argv[2])):
    writer.emit(Metric, step=step, values={"reward/mean": step / 7, "text" * 20: float("nan")})
"""


def test_follows_a_process_that_writes_meanwhile(tmp_path: Path, file: Path) -> None:
    count = 40_000
    follower, seen, polls = EventFollower(tmp_path), [], 0
    with subprocess.Popen([sys.executable, "-c", WRITER, file, str(count)]) as child:
        while child.poll() is None:
            new = [e for e in follower.poll(max_bytes=100_000) if isinstance(e, Metric)]
            polls += bool(new)
            seen += new
    while new := follower.poll():
        seen += [e for e in new if isinstance(e, Metric)]
    assert child.returncode == 0 and polls > 3
    assert [e.step for e in seen] == list(range(count)) and follower.corrupt == 0
    assert seen[7].values == {"reward/mean": 1.0, "text" * 20: None}


def test_kill_9_of_the_writer_then_resume(tmp_path: Path, file: Path) -> None:
    follower = EventFollower(tmp_path)
    with subprocess.Popen([sys.executable, "-c", WRITER, file, "100000000"]) as child:
        deadline = time.monotonic() + 20
        while not file.exists() or file.stat().st_size < 100_000:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        child.send_signal(signal.SIGKILL)
    seen = [e.step for e in follower.poll(1 << 30) if isinstance(e, Metric)]
    assert seen == list(range(len(seen))) and len(seen) > 100
    with file.open("r+b") as out:  # what a kill in the middle of a write leaves on some file systems
        out.truncate(file.stat().st_size - 9)
    fresh = EventFollower(tmp_path)
    assert len(fresh.poll(1 << 30)) == len(seen)  # header + all but the torn one
    writer = EventWriter(file, rank=0)
    writer.emit(Status, state="resumed", step=3)
    assert [type(e) for e in fresh.poll()] == [Header, Status]
    assert (fresh.corrupt, fresh.unknown) == (1, 0)


def test_log_lines(tmp_path: Path) -> None:
    log = tmp_path / "rank-00000.log"
    follower = LogFollower(log)
    assert follower.poll() == []
    append(log, b"one\n[rank0]: tw")
    assert follower.poll() == ["one"]
    append(log, b"o \xff\n\nlast")
    assert follower.poll() == ["[rank0]: two �", ""]
    append(log, b"\n" + b"".join(b"line %d\n" % i for i in range(100_000)))
    lines = []
    while new := follower.poll(max_bytes=50_000):
        lines += new
    assert lines == ["last", *(f"line {i}" for i in range(100_000))] and follower.behind == 0
    tail = LogFollower(log, tail_bytes=100).poll()
    assert tail[-1] == "line 99999" and len(tail) < 12


def test_a_line_without_end_does_not_fill_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rftui.runs.follow.MAX_LINE", 1 << 20)
    path = tmp_path / "x.jsonl"
    append(path, b"x" * (5 << 20) + b"\n" + line(1))
    reader, text = GrowingFile(path), b""
    while not text:
        text = reader.read()
        assert len(reader._pending) <= (1 << 20) + CHUNK
    assert text.endswith(line(1)) and len(text) <= (1 << 20) + 2 * CHUNK
