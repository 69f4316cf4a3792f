"""Every kind of input, bad ones too, gives the same text or a clear note."""

import bz2
import gzip
import lzma
import random
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from diagnostics.knowledge import sources
from diagnostics.knowledge.diagnose import diagnose
from diagnostics.knowledge.load import Knowledge, read_file, together
from diagnostics.knowledge.sources import Unreadable, files_in, of_file, of_path

OOM = "[rank3]: torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 5.55 GiB. GPU 3 is full.\n"
LOG = "step 1\n" * 50 + OOM


@pytest.fixture(scope="module")
def known() -> Knowledge:
    return together([read_file(Path(__file__).parent / "starter.yaml")])


def text_of(path: Path) -> bytes:
    return b"".join(of_file(path).chunks())


def twice(data: bytes) -> bytes:
    """Two gzip streams, one after the other, as log rotation writes."""
    return gzip.compress(data[:99]) + gzip.compress(data[99:])


@pytest.mark.parametrize("compress", [gzip.compress, bz2.compress, lzma.compress, twice])
def test_compressed_logs_are_known_by_their_content(tmp_path: Path, compress: Callable[[bytes], bytes]):
    path = tmp_path / "train.log"
    path.write_bytes(compress(LOG.encode()))
    assert text_of(path) == LOG.encode()


def test_a_compressed_log_that_is_cut_off_counts_as_far_as_it_goes(tmp_path: Path, known: Knowledge):
    noise = random.Random(0).randbytes(200_000).hex()
    data = gzip.compress((LOG + noise).encode())
    path = tmp_path / "train.log.gz"
    path.write_bytes(data[: len(data) // 2])
    found = diagnose(str(path), known=known)
    assert found.findings[0].cause == "cuda-oom-train"
    assert found.notes == (f"{path} is cut off: its end is missing",)
    path.write_bytes(data[:-8] + bytes(8))
    assert "is damaged, and was read up to there" in diagnose(str(path), known=known).notes[0]
    path.write_bytes(data[:30])
    with pytest.raises(Unreadable, match="could not be decompressed"):
        diagnose(str(path), known=known)


def test_zstd_is_read_where_its_package_is_installed(tmp_path: Path):
    zstandard = pytest.importorskip("zstandard")
    path = tmp_path / "train.log.zst"
    path.write_bytes(zstandard.compress(LOG.encode()))
    assert text_of(path) == LOG.encode()


def test_without_the_package_for_zstd_a_note_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "zstandard", None)
    path = tmp_path / "train.log.zst"
    path.write_bytes(b"\x28\xb5\x2f\xfd" + bytes(20))
    with pytest.raises(Unreadable, match=r"pip install zstandard, or: zstd -dc .*train\.log\.zst \| rft"):
        text_of(path)


@pytest.mark.parametrize(
    "content",
    [
        LOG.encode("utf-16"),
        LOG.encode("utf-16-le"),
        b"caf\xe9 latin-1\n" + LOG.encode(),
        "中文日志\n".encode() + b"\xe9\n" + OOM.encode("utf-16-le"),
        LOG.replace("\n", "\r\n").encode(),
        b"\x1b[36m(W pid=1)\x1b[0m x\n\x1b[31m" + OOM.replace("CUDA", "CU\x1b[0mDA").encode(),
        b"  1%|#  | 1/99 [00:01<00:09]\r  2%|#  | 2/99\r" + OOM.encode(),
        OOM.rstrip("\n").encode(),
    ],
    ids=["utf-16", "utf-16 without mark", "latin-1", "mixed", "crlf", "ansi", "progress bar", "no newline"],
)
def test_encodings_and_control_characters(tmp_path: Path, known: Knowledge, content: bytes):
    path = tmp_path / "train.log"
    path.write_bytes(content)
    found = diagnose(str(path), known=known)
    assert found.findings[0].cause == "cuda-oom-train"
    assert found.findings[0].numbers["wanted"] == "5.55 GiB"
    assert found.findings[0].evidence[0].text.startswith("torch.OutOfMemoryError: CUDA out of memory.")
    assert found.findings[0].evidence[0].rank == 3


def test_a_single_line_of_ten_megabytes(tmp_path: Path, known: Knowledge):
    path = tmp_path / "train.log"
    path.write_bytes(b"first\n" + b"x y " * 2_500_000 + OOM.encode() + b"last\n")
    found = diagnose(str(path), known=known)
    evidence = found.findings[0].evidence[0]
    assert (found.findings[0].cause, evidence.line) == ("cuda-oom-train", 2)
    assert len(evidence.text) < 500
    assert "CUDA out of memory" in evidence.text
    assert found.lines == 3


def test_a_binary_file_is_skipped_and_said(tmp_path: Path, known: Knowledge):
    (tmp_path / "core.1234").write_bytes(bytes(range(256)) * 40)
    with pytest.raises(Unreadable, match=r"core\.1234 is binary"):
        diagnose(str(tmp_path / "core.1234"), known=known)
    (tmp_path / "train.log").write_text(LOG)
    found = diagnose(str(tmp_path), known=known)
    assert found.findings[0].cause == "cuda-oom-train"
    assert found.notes == (f"{tmp_path / 'core.1234'} is binary, not a log; skipped",)


def test_an_unreadable_file_among_readable_ones_is_a_note(tmp_path: Path, known: Knowledge):
    (tmp_path / "a.log.gz").write_bytes(b"\x1f\x8b" + b"not gzip")
    (tmp_path / "b.log").write_text(LOG)
    found = diagnose(str(tmp_path), known=known)
    assert found.findings[0].cause == "cuda-oom-train"
    assert len(found.notes) == 1
    assert "a.log.gz could not be decompressed" in found.notes[0]


def test_empty_logs_and_folders(tmp_path: Path, known: Knowledge):
    (tmp_path / "empty.log").touch()
    found = diagnose(str(tmp_path / "empty.log"), known=known)
    assert found.findings == ()
    assert "is empty" in found.notes[0]
    (tmp_path / "void").mkdir()
    with pytest.raises(Unreadable, match="holds no log"):
        diagnose(str(tmp_path / "void"), known=known)
    with pytest.raises(Unreadable, match=r"nothing\.log does not exist"):
        diagnose(str(tmp_path / "nothing.log"), known=known)


def test_ranks_come_from_names_of_files_and_of_folders(tmp_path: Path):
    names = {
        "job/attempt_0/3/stderr.log": 3,
        "job/attempt_0/11/stdout.log": 11,
        "logs/rank-00007.log": 7,
        "logs/rank_2.err": 2,
        "session_latest/logs/worker-abc-01000000-4410.out": -1,
        "train.log": -1,
        "run.2025": -1,
    }
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x\n")
    (tmp_path / "weights.safetensors").write_bytes(b"\0\1")
    found, notes = of_path(str(tmp_path))
    assert {str(Path(s.name).relative_to(tmp_path)): s.rank for s in found} == names
    assert notes == []


def test_a_folder_that_cannot_be_read_is_a_note(tmp_path: Path):
    notes: list[str] = []
    assert list(files_in(tmp_path / "gone", notes)) == []
    assert notes == [f"{tmp_path / 'gone'} could not be read: No such file or directory"]


def test_links_that_lead_nowhere_are_passed_by(tmp_path: Path, known: Knowledge):
    (tmp_path / "dangling.log").symlink_to(tmp_path / "gone")
    (tmp_path / "around").symlink_to(tmp_path)
    (tmp_path / "train.log").write_text(LOG)
    assert diagnose(str(tmp_path), known=known).findings[0].cause == "cuda-oom-train"


def test_chunks_may_end_anywhere(tmp_path: Path, known: Knowledge, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "train.log"
    frames = '(A pid=1)   File "x.py", line 1, in generate_sequences\n'
    path.write_text(LOG.replace(OOM, frames + "other\n" * 9 + "(A pid=1) " + OOM) + "after\n" * 30)
    for size in (7, 64, 1000):
        monkeypatch.setattr(sources, "CHUNK", size)
        monkeypatch.setattr(sources, "_HEAD", size)
        found = diagnose(str(path), known=known)
        assert found.findings[0].cause == "cuda-oom-rollout", size
        assert found.findings[0].evidence[0].line == 61
        assert found.lines == 91
