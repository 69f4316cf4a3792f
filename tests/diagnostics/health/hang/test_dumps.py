"""Reading flight-recorder dumps: every version, form and damage, and nothing is executed."""

import json
import os
import pickle
import time
from pathlib import Path

import pytest

from diagnostics.health.hang.dumps import DumpError, Refused, dump_files, is_dump, rank_of, read, read_all
from tests.diagnostics.health.hang.recorders import content, entry, write


class Evil:
    """A pickle of this makes a file when it is loaded without care."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return (os.mkdir, (str(self.path),))


@pytest.mark.parametrize("protocol", [0, 2, 5])
def test_a_pickle_that_would_run_code_is_refused_and_said_so(tmp_path: Path, protocol: int) -> None:
    target, file = tmp_path / "made", tmp_path / "rank_0"
    file.write_bytes(pickle.dumps({"version": "2.10", "entries": [Evil(target)]}, protocol))
    with pytest.raises(Refused, match=r"refused: the pickle names \w+\.mkdir"):
        read(file, 0)
    assert not target.exists()
    assert read_all([(0, file)]).refused == ("rank_0",)


@pytest.mark.parametrize("version", ["2.1", "2.4", "2.9", "2.10", "2.11"])
def test_versions_are_read(tmp_path: Path, version: str) -> None:
    dump = content([entry(1, done=True), entry(2, new_field={"a": 1})], {"0": [0, 1]}, version)
    dump["nccl_version" if version < "2.9" else "comm_lib_version"] = "2.27.3"
    dump["nccl_comm_state"] = {"x": {"y": "z"}}
    found = read(write(tmp_path, {3: dump}) / "rank_3", 3)
    assert (found.version, found.groups, len(found.entries)) == (version, {"0": (0, 1)}, 2)
    assert [e.done for e in found.entries] == [True, False]
    assert found.entries[1].call_site() == "/home/me/train.py:12 step"


def test_json_form_and_gloo_without_groups(tmp_path: Path) -> None:
    gloo = entry(7, "gloo:all_gather", state="scheduled", retired=True)
    gloo |= {"time_discovered_completed_ns": 0, "frames": None}
    (tmp_path / "rank_0.json").write_text(json.dumps(content([gloo])))
    found = read(tmp_path / "rank_0.json", 0)
    assert found.groups == {} and found.entries[0].done and found.entries[0].op == "all_gather"
    assert found.entries[0].call_site() == ""


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (pickle.dumps(content([entry(1)]), 2)[:-40], "damaged"),
        (b'{"version": "2.10", "entries": [', "damaged"),
        (pickle.dumps([1, 2, 3], 2), "no flight-recorder dump"),
        (pickle.dumps({"entries": [{"record_id": "x"}]}, 2), "no flight-recorder dump"),
        (b"\x80\x02}(\xff\xfe", "damaged"),
        (b"\x80\x02" + b"]" * 100000 + b".", "no flight-recorder dump"),
    ],
)
def test_damage_is_told(tmp_path: Path, data: bytes, reason: str) -> None:
    file = tmp_path / "rank_0"
    file.write_bytes(data)
    with pytest.raises(DumpError, match=reason):
        read(file, 0)


@pytest.mark.parametrize(
    ("name", "rank"),
    [
        ("_dump_3", 3),
        ("rank_3", 3),
        ("nccl_trace_rank_3", 3),
        ("comm_lib_trace_rank_13", 13),
        ("rank_00007.json", 7),
        ("rank_3.pipe", None),
        ("rank_3.part", None),
        ("rank-00003.log", None),
        ("fault_injection.log", None),
    ],
)
def test_rank_is_in_the_name(name: str, rank: int | None) -> None:
    assert rank_of(Path(name)) == rank


def test_a_folder_is_dumps_only_if_one_file_is(tmp_path: Path) -> None:
    (tmp_path / "epoch_1").write_text("loss 3\n")
    os.mkfifo(tmp_path / "nccl_trace_rank_0.pipe")
    assert dump_files(tmp_path) == {}
    write(tmp_path, {0: content([entry(1)])}, "nccl_trace_rank_")
    (tmp_path / "nccl_trace_rank_1").write_bytes(b"")
    (tmp_path / "nccl_trace_rank_2").write_bytes(b"\x80\x02}(")
    assert sorted(dump_files(tmp_path)) == [0, 1, 2]  # epoch_1 is no dump
    assert is_dump(tmp_path / "nccl_trace_rank_0") and not is_dump(tmp_path / "epoch_1")
    found = read_all(dump_files(tmp_path).items())
    assert list(found.dumps) == [0]
    assert found.problems[1] == "nccl_trace_rank_1: empty" and "damaged" in found.problems[2]


def test_64_ranks_of_2000_entries_are_read_and_judged_in_a_second(tmp_path: Path) -> None:
    from diagnostics.health.hang.dump_analysis import analyse_dumps

    entries = [entry(seq, done=True) for seq in range(1, 2000)]
    ahead = pickle.dumps(content([*entries, entry(2000)], {"0": list(range(64))}), 2)
    for rank in range(64):
        (tmp_path / f"rank_{rank}").write_bytes(ahead)
    write(tmp_path, {17: content(entries, {"0": list(range(64))})})
    began = time.process_time()
    verdict = analyse_dumps([tmp_path])
    took = time.process_time() - began
    print(f"{took:.2f} s")
    assert (verdict.kind, verdict.ranks) == ("straggler", (17,)) and took < 1.5
