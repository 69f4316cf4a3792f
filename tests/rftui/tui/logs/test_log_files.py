"""Lines by their offsets, their times and levels, in files that grow, are cut, and are garbage."""

import calendar
import itertools
import os
from pathlib import Path

import pytest

from rftui.tui.logs.files import BLOCK, Blocks, LogFile
from rftui.tui.logs.index import Index
from rftui.tui.logs.listing import log_files
from rftui.tui.logs.stamps import level_of, time_of


def log(path: Path, content: bytes, writer: str = "r0") -> LogFile:
    path.write_bytes(content)
    file = LogFile(path, writer, Blocks())
    file.look()
    return file


def starts(file: LogFile) -> list[int]:
    found, at = [], 0
    while at < file.size:
        found.append(at)
        at = file.next_start(at)
    return found


def test_lines_are_the_same_in_both_directions(tmp_path: Path) -> None:
    lines = [b"x" * (n * 7919 % 300) + b"\n" for n in range(2000)]
    file = log(tmp_path / "a.log", b"".join(lines) + b"torn")
    forward = starts(file)
    assert len(forward) == 2001
    assert [file.line(at) for at in forward] == [*(line[:-1] for line in lines), b"torn"]
    backward, at = [], file.previous_start(file.size)
    while at is not None:
        backward.append(at)
        at = file.previous_start(at) if at else None
    assert backward[::-1] == forward


def test_a_newline_at_the_edge_of_a_block_begins_a_line_in_the_next(tmp_path: Path) -> None:
    file = log(tmp_path / "a.log", b"x" * (BLOCK - 1) + b"\nsecond\n")
    assert starts(file) == [0, BLOCK]
    assert file.line(BLOCK) == b"second"


def test_a_line_without_end_is_cut_into_pieces(tmp_path: Path) -> None:
    file = log(tmp_path / "a.log", b"short\n" + b"\xff\x00" * (2 * BLOCK) + b"\nafter\n")
    found = starts(file)
    assert found[:2] == [0, 6]
    assert file.line(found[-1]) == b"after"
    assert max(b - a for a, b in itertools.pairwise(found)) <= 2 * BLOCK
    assert file.line_start(3 * BLOCK + 5) in found


def test_growth_truncation_replacement_and_removal_are_noticed(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    file = log(path, b"one\n")
    assert not file.look()
    with path.open("ab") as out:
        out.write(b"two\nthr")
    assert file.look()
    assert [file.line(at) for at in starts(file)] == [b"one", b"two", b"thr"]
    generation = file.generation
    os.truncate(path, 0)
    with path.open("ab") as out:
        out.write(b"a longer text than there was before\n")
    assert file.look()
    assert file.generation > generation
    assert file.line(0) == b"a longer text than there was before"
    path.unlink()
    assert file.look()
    assert file.size == 0
    assert file.read(0, 10) == b""
    assert not file.look()


@pytest.mark.parametrize(
    ("line", "when"),
    [
        (b"2026-03-14 10:31:02,500 INFO x", (2026, 3, 14, 10, 31, 2.5)),
        (b"[2026-03-14 10:31:02,500] [WARNING] [real_accelerator.py:213] x", (2026, 3, 14, 10, 31, 2.5)),
        (b"[rank3]:[E314 10:31:02.25 ProcessGroupNCCL.cpp:607] x", (2026, 3, 14, 10, 31, 2.25)),
        (b"(WorkerDict pid=12, ip=10.0.0.1) INFO 03-14 10:31:02 [worker.py:1] x", (2026, 3, 14, 10, 31, 2)),
        (b"Mar 14 10:31:02 node kernel: x", (2026, 3, 14, 10, 31, 2)),
        (b"10:31:02 r0 step 411", (2026, 3, 14, 10, 31, 2)),
        (b"23:59:00 yesterday", (2026, 3, 13, 23, 59, 0)),
    ],
)
def test_times(line: bytes, when: tuple[float, ...]) -> None:
    written = calendar.timegm((2026, 3, 14, 12, 0, 0))
    year, month, day, hour, minute, second = when
    expected = calendar.timegm((int(year), int(month), int(day), int(hour), int(minute), 0)) + second
    assert time_of(line, written) == pytest.approx(expected)


@pytest.mark.parametrize(
    "line", [b"step 12/300 [00:12:01<00:34:00, 1.2it/s]", b"01:02:03<04:05", b"", b"no time"]
)
def test_no_time(line: bytes) -> None:
    assert time_of(line, 1e9) is None


@pytest.mark.parametrize(
    ("line", "level"),
    [
        (b"torch.OutOfMemoryError: CUDA out of memory", "error"),
        (b"2026-03-14 10:31:02 ERROR x", "error"),
        (b"[rank0]:[E314 10:31:02.25 ProcessGroupNCCL.cpp:607] x", "error"),
        (b"[W socket.cpp:464] x", "warning"),
        (b"UserWarning: x is deprecated", "warning"),
        (b"10:31 INFO retried after Error: x", "info"),
        (b"step 1 reward 0.5 errors 0", "info"),
    ],
)
def test_levels(line: bytes, level: str) -> None:
    assert level_of(line) == level


def test_lines_without_times_inherit_or_are_placed_by_the_growth_of_the_file(tmp_path: Path) -> None:
    stamped = log(tmp_path / "a.log", b"2026-03-14 10:00:00 first\nno time\n  indented\n")
    first, second, third = starts(stamped)
    assert stamped.time_at(first) == stamped.time_at(second) == stamped.time_at(third)
    silent = log(tmp_path / "b.log", b"line\n" * 1000)
    silent.born = silent.time_at(silent.size) - 100
    times = [silent.time_at(at) for at in starts(silent)]
    assert times == sorted(times)
    assert times[-1] - times[0] == pytest.approx(100, abs=1)
    assert not silent.tells_time()
    assert stamped.tells_time()


def test_numbers_of_lines_both_ways(tmp_path: Path) -> None:
    file = log(tmp_path / "a.log", b"".join(b"%d %s\n" % (n, b"y" * (n % 90)) for n in range(1, 20001)))
    index = Index(file)
    assert index.offset(15000) is None
    while index.behind:
        index.advance()
    assert index.lines == 20000
    for number in (1, 2, 777, 15000, 20000):
        start = index.offset(number)
        assert start is not None
        assert file.line(start).split()[0] == b"%d" % number
        assert index.number(start) == number
    last = index.offset(99999)
    assert last is not None
    assert file.line(last).startswith(b"20000 ")


def test_listing_knows_ranks_parts_and_attempts(tmp_path: Path) -> None:
    for name in ("rank-00010.log", "rank-00002.log", "rank-00002.log.1", "rank-00002.log.2", "launcher.log"):
        (tmp_path / name).write_text("x\n")
    (tmp_path / "attempt_1" / "3").mkdir(parents=True)
    (tmp_path / "attempt_1" / "3" / "stderr.log").write_text("x\n")
    (tmp_path / "rank-00002.log.part").write_text("x\n")
    found = [(file.writer, file.path.name) for file in log_files(tmp_path, 0.0, Blocks())]
    assert found == [
        ("r2", "rank-00002.log.2"),
        ("r2", "rank-00002.log.1"),
        ("r2", "rank-00002.log"),
        ("r10", "rank-00010.log"),
        ("a1 r3 err", "stderr.log"),
        ("launcher", "launcher.log"),
    ]
    with pytest.raises(FileNotFoundError):
        log_files(tmp_path / "gone", 0.0, Blocks())


def test_a_raised_digit_in_a_name_is_no_rank(tmp_path: Path) -> None:
    from rftui.tui.logs.files import Blocks
    from rftui.tui.logs.listing import log_files
    from rftui.tui.reader import rank_of
    from rftui.tui.widgets.log_tail import TORCHRUN

    (tmp_path / "²").mkdir()
    (tmp_path / "²" / "stdout.log").write_text("x\n")
    assert [file.writer for file in log_files(tmp_path, 0.0, Blocks())] == ["stdout"]
    assert rank_of("rank-².log") == TORCHRUN
