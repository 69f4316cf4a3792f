"""Every check of the host: on a recorded machine in good order, and where something is wrong."""

from typing import Any

import pytest

from diagnostics.doctor.checks import machine as limits
from diagnostics.doctor.checks import memory, storage
from diagnostics.doctor.host import Distribution, Room
from diagnostics.doctor.places import Mount, hub_cache, mount_of
from diagnostics.doctor.recorded import Recorded
from tests.diagnostics.doctor.eight_h100 import EIGHT_H100, GIB, machine
from tests.diagnostics.doctor.judged import assert_found, judge

CHECKS = (*memory.CHECKS, *limits.CHECKS, *storage.CHECKS)
HUB = "/home/ann/.cache/huggingface/hub"
QWEN: dict[str, dict[str, Any]] = {
    "model": {"pretrain": "Qwen/Qwen2.5-7B-Instruct"},
    "rollout": {"engine_type": "vllm"},
}
OFFLOADED = {**QWEN, "memory": {"adam_offload": True, "fsdp_cpu_offload": True}}
MOUNTED = "overlay / overlay rw 0 0\n10.0.0.3:/export /home nfs4 rw 0 0\n/dev/md0 /data xfs rw 0 0\n"
INFINIBAND = {"/sys/class/infiniband/*": ("/sys/class/infiniband/mlx5_0",)}


def disk(folder: str, error: str | None = None, **changes: Any) -> Recorded:
    """The good machine with another disk under a folder."""
    room = {"total": 500 * GIB, "free": 400 * GIB, "inodes_free": 10**7, **changes}
    return EIGHT_H100.but(rooms={folder: Room(**room)}, writes={folder: error})


def temporary(folder: str, *packages: str) -> Recorded:
    """The good machine with another TMPDIR, and more packages."""
    found = tuple(Distribution(name, "1.0") for name in ("torch", *packages))
    return EIGHT_H100.but(environ={"TMPDIR": folder}, globs={folder: (folder,)}, packages=found)


@pytest.mark.parametrize("id", [check.id for check in CHECKS])
def test_nothing_is_wrong_with_the_good_machine(id: str) -> None:
    result = judge(CHECKS, id, EIGHT_H100)
    assert result.status == "ok", result
    assert result.said


BAD = [
    (
        "host.ram",
        machine(memory_available=20 * GIB),
        "warning",
        ("20.0 GiB of 1024.0 GiB RAM are left", "ps aux"),
    ),
    (
        "host.ram",
        machine(memory_available=100 * GIB, memory_total=128 * GIB, memory_limit=128 * GIB).but(
            config=OFFLOADED
        ),
        "error",
        (
            "8 ranks need about",
            "100.0 GiB of 128.0 GiB",
            "'memory.adam_offload': False",
            "'parallel.nproc': 4",
        ),
    ),
    ("host.oomhist", machine(oom_kills=3), "warning", ("3 processes of this container", "--memory=")),
    (
        "host.shm",
        machine(shm_total=64 * 2**20, shm_free=64 * 2**20),
        "error",
        ("64 MiB of 64 MiB free", "8.0 GiB are wanted for 8 ranks", "--shm-size=16g", "--ipc=host"),
    ),
    ("host.shm", machine(shm_total=2 * GIB, shm_free=2 * GIB), "warning", ("bus error", "emptyDir")),
    ("host.shm", machine(shm_free=100 * 2**20), "error", ("what others left there", "ls -lS /dev/shm")),
    ("host.shm", machine(shm_total=None, shm_free=None), "error", ("there is no /dev/shm",)),
    (
        "host.limits",
        EIGHT_H100.but(limits={"nofile": (1024, 1048576)}),
        "warning",
        ("1,024 files", "ulimit -n 65536"),
    ),
    (
        "host.limits",
        EIGHT_H100.but(limits={"nofile": (1024, 4096)}),
        "warning",
        ("limits.d", "docker run --ulimit nofile=65536"),
    ),
    (
        "host.limits",
        EIGHT_H100.but(limits={"memlock": (65536, 65536)}, globs=INFINIBAND),
        "warning",
        ("64 KiB", "InfiniBand", "--ulimit memlock=-1"),
    ),
    (
        "host.limits",
        EIGHT_H100.but(limits={"nproc": (1024, -1)}),
        "warning",
        ("1,024 processes", "ulimit -u 4096"),
    ),
    ("host.cpu", machine(cores=6), "warning", ("8 ranks with 0 loading processes each want 8 cores, and 6",)),
    (
        "host.ptrace",
        EIGHT_H100.but(files={"/proc/sys/kernel/yama/ptrace_scope": "1\n"}),
        "info",
        ("ptrace_scope 1", "--cap-add=SYS_PTRACE"),
    ),
    (
        "host.disk",
        disk("/data/runs", free=GIB // 10),
        "error",
        ("/data/runs (runs) has 0.1 GiB free and needs 0.2 GiB", "du -xsh", "RFTUI_RUNS_DIR"),
    ),
    (
        "host.disk",
        disk("/data/runs", free=300 * GIB).but(config=QWEN),
        "error",
        ("300.0 GiB free and needs", "'checkpoint.max_ckpt_num': 1"),
    ),
    ("host.disk", disk("/data/runs", read_only=True), "error", ("the file system is read-only",)),
    (
        "host.disk",
        disk("/data/runs", "Disk quota exceeded (/data/runs)"),
        "error",
        ("Disk quota exceeded", "quota -s"),
    ),
    (
        "host.disk",
        disk(HUB, "Permission denied (/home/ann)"),
        "warning",
        ("(models) cannot be written", "HF_HOME"),
    ),
    ("host.disk", disk("/tmp", free=GIB // 2), "warning", ("needs 1.0 GiB", "TMPDIR")),
    ("host.disk", disk("/tmp", free=5 * GIB), "warning", ("nearly full: 5.0 GiB of 500.0 GiB left",)),
    ("host.disk", disk("/tmp", inodes_free=12), "warning", ("12 more files", "du --inodes")),
    (
        "host.netfs",
        EIGHT_H100.but(files={"/proc/self/mounts": MOUNTED}),
        "warning",
        (
            f"{HUB} (models) is on nfs4 (10.0.0.3:/export)",
            "/home/ann/.triton/cache",
            "export TRITON_CACHE_DIR=",
        ),
    ),
    (
        "host.tmp",
        temporary("/scratch/" + "u" * 90),
        "error",
        ("TMPDIR is 99 bytes long", "24 more than the 107", "export TMPDIR=/tmp"),
    ),
    ("host.tmp", temporary("/scratch/" + "u" * 55, "ray"), "error", ("a socket of ray in it",)),
    (
        "host.tmp",
        EIGHT_H100.but(environ={"TMPDIR": "/gone"}, globs={"/gone": ()}),
        "warning",
        ("/gone, which does not exist", "mkdir -p /gone"),
    ),
]


@pytest.mark.parametrize(("id", "recorded", "severity", "words"), BAD)
def test_what_is_wrong_is_told_with_numbers_and_what_mends_it(
    id: str, recorded: Recorded, severity: str, words: tuple[str, ...]
) -> None:
    assert_found(judge(CHECKS, id, recorded), severity, *words)


def test_every_check_has_a_bad_machine() -> None:
    assert {check.id for check in CHECKS} == {id for id, *_ in BAD}


def test_a_run_that_has_enough_ram_is_told_how_much_it_needs() -> None:
    result = judge(CHECKS, "host.ram", EIGHT_H100.but(config=QWEN))
    assert result.status == "ok"
    assert "the run needs about" in result.said


def test_kills_that_are_not_counted_are_unchecked() -> None:
    result = judge(CHECKS, "host.oomhist", machine(oom_kills=None))
    assert (result.status, "no memory control group" in result.said) == ("unchecked", True)


def test_loading_processes_are_counted_and_fewer_proposed() -> None:
    wanting = machine(cores=24).but(config={"data": {"num_workers": 4}, "parallel": {"nproc": 8}})
    assert_found(
        judge(CHECKS, "host.cpu", wanting), "warning", "want 40 cores, and 24", "'data.num_workers': 2"
    )


def test_who_may_trace_can_look_into_processes() -> None:
    allowed = {
        "/proc/sys/kernel/yama/ptrace_scope": "1\n",
        "/proc/self/status": "CapEff:\t000001ffffffffff\n",
    }
    assert judge(CHECKS, "host.ptrace", EIGHT_H100.but(files=allowed)).status == "ok"


def test_locked_memory_does_not_matter_without_infiniband() -> None:
    assert judge(CHECKS, "host.limits", EIGHT_H100.but(limits={"memlock": (65536, 65536)})).status == "ok"


def test_checkpoints_elsewhere_are_looked_at_there() -> None:
    elsewhere = {**QWEN, "checkpoint": {"save_path": "/ckpt"}}
    recorded = disk("/ckpt", free=20 * GIB).but(
        config=elsewhere, rooms={"/data/runs": Room(10 * GIB, 5 * GIB)}
    )
    assert_found(
        judge(CHECKS, "host.disk", recorded), "error", "/ckpt (checkpoints) has 20.0 GiB free", "--save-path"
    )


def test_a_disk_that_cannot_be_looked_at_is_unchecked_and_essential() -> None:
    stale = EIGHT_H100.but(refused={"room /data/runs": "/data/runs cannot be looked at: Stale file handle"})
    result = judge(CHECKS, "host.disk", stale)
    assert (result.status, result.essential, result.said) == (
        "unchecked",
        True,
        stale.refused["room /data/runs"],
    )


def test_making_the_temporary_folder_is_safe_and_nothing_else_here_is() -> None:
    safe = {
        (id, fix.command)
        for id, recorded, *_ in BAD
        for finding in judge(CHECKS, id, recorded).findings
        for fix in finding.fixes
        if fix.safe
    }
    assert safe == {("host.tmp", "mkdir -p /gone")}


def test_the_last_mount_of_the_longest_folder_holds_a_path() -> None:
    known = [
        Mount("a", "/", "ext4"),
        Mount("b", "/data", "nfs"),
        Mount("c", "/data", "xfs"),
        Mount("d", "/dat", "fuse.x"),
    ]
    assert mount_of("/data/runs", known) == known[2]
    assert mount_of("/database", known) == known[0]
    assert known[3].network and not known[2].network


def test_the_hubs_cache_is_where_its_variables_say() -> None:
    assert hub_cache({"HOME": "/h", "HF_HUB_CACHE": "/a", "HF_HOME": "/b"}) == "/a"
    assert hub_cache({"HOME": "/h", "HF_HOME": "~/b"}) == "/h/b/hub"
    assert hub_cache({"HOME": "/h", "XDG_CACHE_HOME": "/x"}) == "/x/huggingface/hub"
