"""Every check of GPUs and driver: on a recorded machine in good order, and where something is wrong."""

from dataclasses import replace

import msgspec
import pytest

from diagnostics.doctor.check import Check
from diagnostics.doctor.checks import driver, gpu, gpu_health, gpu_joins, gpu_kind
from diagnostics.doctor.host import Distribution, Ran
from diagnostics.doctor.recorded import Recorded
from diagnostics.gpu_facts import GpuProcess
from diagnostics.xids import XIDS, Seen, read_xids, same_card
from tests.diagnostics.doctor.eight_h100 import EIGHT_H100, GIB, machine, with_cards, with_gpu
from tests.diagnostics.doctor.judged import answered, assert_found, judge
from tests.diagnostics.fake_nvml import (
    A100,
    H100,
    NVML_ERROR_GPU_IS_LOST,
    NVML_ERROR_LIB_RM_VERSION_MISMATCH,
    NVML_ERROR_NO_PERMISSION,
    RTX4090,
    FakeNvml,
    eight_h200,
    in_slices,
    mixed_cards,
)

CHECKS = (*gpu.CHECKS, *gpu_kind.CHECKS, *gpu_health.CHECKS, *gpu_joins.CHECKS, *driver.CHECKS)
KERNELS = "/venv/bin/python -m diagnostics.doctor.probes.kernels"
BUILT = answered(torch="2.8.0+cu128", architectures=["sm_80", "sm_90", "sm_100", "compute_120"])
GOOD = EIGHT_H100.but(runs={KERNELS: BUILT})
PCI = "/sys/bus/pci/devices/0000:17:00.0"
NO_GPU = machine(gpus=(), installed=0, driver=None, cuda=None).but(
    files={"/proc/driver/nvidia/version": None}, globs={"/sys/bus/pci/devices/*/vendor": ()}
)
BOARD = NO_GPU.but(
    globs={"/sys/bus/pci/devices/*/vendor": (f"{PCI}/vendor",)},
    files={f"{PCI}/vendor": "0x10de\n", f"{PCI}/class": "0x030200\n"},
)
HOLDER = GpuProcess(4321, "ben", "python train.py", 60 * GIB)
TAKEN = with_gpu(2, processes=(HOLDER,), memory_used=60 * GIB, memory_free=19 * GIB)
TURING = with_gpu(5, name="Tesla T4", capability=(7, 5))
LOG = "6,9,88123,-;NVRM: Xid (PCI:0000:{}:00): {}, pid=77, name=python, Ch 00000008\n"
OLD_LOG = """[Tue] NVRM: The NVIDIA GPU 0000:38:00.0
      NVRM: (PCI ID: 10de:2330) installed in this system has
      NVRM: fallen off the bus and is not responding to commands."""
NO_NVLINK = FakeNvml([replace(RTX4090, numa=i // 2) for i in range(4)])
BRIDGED = FakeNvml(
    [replace(A100, switch=False, peers=(1 - i,)) if i < 2 else replace(A100, nvlinks=0) for i in range(4)]
)
A100_SWITCHED = with_cards(FakeNvml([A100] * 4))


@pytest.mark.parametrize("id", [check.id for check in CHECKS])
def test_nothing_is_wrong_with_the_good_machine(id: str) -> None:
    result = judge(CHECKS, id, GOOD)
    assert result.status == "ok", result
    assert result.said


BAD = [
    (
        "gpu.present",
        machine(gpus=()).but(environ={"CUDA_VISIBLE_DEVICES": ""}),
        "error",
        ("8 GPUs are installed", "unset CUDA_VISIBLE_DEVICES"),
    ),
    (
        "gpu.present",
        GOOD.but(config={"parallel": {"nproc": 16}}),
        "error",
        ("16 ranks need 16 GPUs, and 8", "'parallel.nproc': 8"),
    ),
    (
        "gpu.present",
        GOOD.but(packages=(Distribution("torch", "2.8.0+cpu"),)),
        "warning",
        ("torch 2.8.0+cpu cannot use them",),
    ),
    (
        "gpu.present",
        BOARD,
        "error",
        ("1 NVIDIA GPU is in this machine, but no driver is loaded", "0000:17:00.0", "modprobe nvidia"),
    ),
    (
        "gpu.present",
        BOARD.but(files={"/proc/driver/nvidia/version": "NVRM version: 570"}),
        "error",
        ("a container without them", "docker run --gpus all"),
    ),
    (
        "gpu.present",
        NO_GPU.but(config={"parallel": {"dist_backend": "nccl"}}),
        "error",
        ("'parallel.dist_backend': 'gloo'",),
    ),
    (
        "gpu.nvml",
        with_cards(eight_h200(nvmlInit=NVML_ERROR_LIB_RM_VERSION_MISMATCH)),
        "error",
        ("version mismatch", "570.86.15  Thu", "rmmod nvidia_uvm"),
    ),
    (
        "gpu.nvml",
        with_cards(eight_h200(nvmlInit=NVML_ERROR_NO_PERMISSION)),
        "error",
        ("Insufficient Permissions", "ls -l /dev/nvidia*"),
    ),
    (
        "gpu.nvml",
        with_cards(FakeNvml([H100] * 2, {("nvmlDeviceGetHandleByIndex", 1): NVML_ERROR_GPU_IS_LOST})),
        "warning",
        ("GPU 1 does not answer", "nvidia-smi --gpu-reset -i 1"),
    ),
    (
        "gpu.busy",
        TAKEN,
        "warning",
        (
            "memory of GPU 2: 19.0 GiB are free on GPU 2.",
            "user ben",
            "ps -fp 4321",
            "CUDA_VISIBLE_DEVICES=0,1,3,4,5,6,7",
        ),
    ),
    (
        "gpu.busy",
        with_gpu(2, processes=(), memory_used=60 * GIB, memory_free=19 * GIB),
        "warning",
        ("GPU 2: 61,440 MiB by processes that are not visible from here", "or wait until it has ended"),
    ),
    (
        "gpu.mixed",
        with_cards(mixed_cards()),
        "warning",
        ("not alike", "A100", "use the 2 NVIDIA GeForce RTX 4090 only", "CUDA_VISIBLE_DEVICES=0,2"),
    ),
    ("gpu.arch", TURING, "warning", ("GPU 5 (Tesla T4) has compute capability 7.5: bfloat16 needs 8.0",)),
    (
        "gpu.arch",
        TURING.but(config={"model": {"flash_attn": True}, "rollout": {"engine_quantization": "fp8"}}),
        "error",
        ("'model.bf16': False", "flash-attention 2 needs 8.0", "fp8 needs 8.9"),
    ),
    (
        "gpu.kernels",
        TURING.but(runs={KERNELS: BUILT}),
        "error",
        ("torch 2.8.0+cu128 has no code for GPU 5 (Tesla T4, compute capability 7.5)", "sm_80, sm_90"),
    ),
    (
        "gpu.kernels",
        GOOD.but(runs={KERNELS: answered(torch="2.8.0", architectures=[])}),
        "error",
        ("built without CUDA",),
    ),
    (
        "gpu.mig",
        with_cards(in_slices(), CUDA_VISIBLE_DEVICES="MIG-aa11c5d2-0000-5000-8000-000000000001"),
        "warning",
        ("3g.40gb", "39.5 GiB", "nvidia-smi -i 1 -mig 0"),
    ),
    (
        "gpu.ecc",
        with_gpu(3, ecc_errors=2),
        "error",
        ("GPU 3", "2 uncorrected memory errors", "--gpu-reset -i 3"),
    ),
    ("gpu.ecc", with_gpu(3, rows_failed=True), "error", ("no spare row left", "replaced")),
    ("gpu.ecc", with_gpu(3, rows_pending=True), "warning", ("replaces a broken row", "--gpu-reset -i 3")),
    (
        "gpu.throttle",
        with_gpu(6, throttled=("heat (hardware)",), clock=345),
        "warning",
        ("GPU 6", "heat (hardware); 345 of 1980 MHz", "TEMPERATURE"),
    ),
    (
        "gpu.throttle",
        with_gpu(6, power_limit=400.0),
        "warning",
        ("GPU 6: 400 of 700 W", "nvidia-smi -pl 700"),
    ),
    (
        "gpu.xid",
        GOOD.but(files={"/dev/kmsg": LOG.format("38", 79)}),
        "error",
        ("Xid 79 of GPU 2 once since boot: the GPU fell off the bus", "sudo reboot"),
    ),
    ("gpu.xid", GOOD.but(files={"/dev/kmsg": OLD_LOG}), "error", ("Xid 79 of GPU 2", "fallen off the bus")),
    (
        "gpu.xid",
        GOOD.but(files={"/dev/kmsg": LOG.format("28", 48) * 7}),
        "error",
        ("Xid 48 of GPU 1 7 times", "--gpu-reset -i 1"),
    ),
    (
        "gpu.xid",
        GOOD.but(files={"/dev/kmsg": LOG.format("c8", 31)}),
        "warning",
        ("the GPU at 0000:c8:00, which is not visible here", "application's own error"),
    ),
    (
        "gpu.xid",
        GOOD.but(files={"/dev/kmsg": LOG.format("28", 999)}),
        "warning",
        ("Xid 999", "not in our table"),
    ),
    (
        "gpu.topo",
        with_cards(NO_NVLINK),
        "info",
        ("6 of 6 pairs", "P2P", "GPU 0 and 2: PCIe across NUMA nodes"),
    ),
    (
        "gpu.topo",
        with_cards(NO_NVLINK).but(config={"rollout": {"engine_tp_size": 4}, "parallel": {"nproc": 4}}),
        "warning",
        ("tensor parallel over 4 GPUs", "'rollout.engine_tp_size': 2"),
    ),
    (
        "gpu.topo",
        with_cards(BRIDGED),
        "info",
        ("NVLink joins GPUs 0, 1, but not all 4", "CUDA_VISIBLE_DEVICES=0,1"),
    ),
    (
        "drv.cuda",
        machine(driver="470.57.02", cuda="11.4"),
        "error",
        ("CUDA 12.8, which needs driver 525.60.13 or later; this one is 470.57.02", "CUDA 11.4 or earlier"),
    ),
    (
        "drv.cuda",
        machine(driver="550.54.14", cuda="12.4").but(
            packages=(Distribution("torch", "2.13.0", ("cuda-toolkit[cublas]==13.0.2",)),)
        ),
        "error",
        ("CUDA 13.0, which needs driver 580.65.06",),
    ),
    (
        "drv.cuda",
        machine(driver="535.54.03", cuda="12.2"),
        "info",
        ("is of CUDA 12.2", "unsupported toolchain"),
    ),
    (
        "drv.fabric",
        with_gpu(4, fabric="not started"),
        "error",
        ("GPU 4: fabric not started", "systemctl enable --now nvidia-fabricmanager", "570.86.15"),
    ),
    (
        "drv.fabric",
        A100_SWITCHED.but(
            programs={"systemctl": "/bin/systemctl"},
            runs={"systemctl is-active nvidia-fabricmanager": Ran(3, "inactive\n")},
        ),
        "error",
        ("nvidia-fabricmanager: inactive",),
    ),
]


@pytest.mark.parametrize(("id", "recorded", "severity", "words"), BAD)
def test_what_is_wrong_is_told_with_numbers_and_what_mends_it(
    id: str, recorded: Recorded, severity: str, words: tuple[str, ...]
) -> None:
    assert_found(judge(CHECKS, id, recorded), severity, *words)


def test_every_check_has_a_bad_machine() -> None:
    assert {check.id for check in CHECKS} == {id for id, *_ in BAD}


@pytest.mark.parametrize(
    "check", [check for check in CHECKS if "gpus" in check.needs], ids=lambda check: check.id
)
def test_without_a_gpu_checks_of_gpus_do_not_apply(check: Check) -> None:
    result = judge(CHECKS, check.id, NO_GPU)
    assert (result.status, result.said) == ("not-applicable", "no GPU is visible")


def test_a_machine_without_gpu_is_no_error() -> None:
    result = judge(CHECKS, "gpu.present", NO_GPU)
    assert result.status == "info"
    assert "runs use the CPU" in result.findings[0].cause


def test_a_busy_card_is_an_error_where_the_run_needs_more_than_is_free() -> None:
    run = TAKEN.but(
        config={"model": {"pretrain": "Qwen/Qwen2.5-7B-Instruct"}, "rollout": {"engine_type": "vllm"}}
    )
    full = with_gpu(2, processes=(HOLDER,), memory_used=78 * GIB, memory_free=GIB).but(config=run.config)
    assert_found(judge(CHECKS, "gpu.busy", full), "error", "1.0 GiB are free on GPU 2, and the run needs")


def test_a_taken_card_that_the_run_does_not_use_is_left_alone() -> None:
    assert judge(CHECKS, "gpu.busy", TAKEN.but(config={"parallel": {"nproc": 2}})).status == "ok"


def test_several_ranks_cannot_run_on_slices() -> None:
    sliced = with_cards(in_slices(), CUDA_VISIBLE_DEVICES="MIG-aa11c5d2-0000-5000-8000-000000000001")
    assert_found(
        judge(CHECKS, "gpu.mig", sliced.but(config={"parallel": {"nproc": 2}})),
        "error",
        "2 ranks cannot run",
        "'parallel.nproc': 1",
    )


def test_a_kernel_log_that_may_not_be_read_is_unchecked_with_every_reason() -> None:
    closed = GOOD.but(
        refused={"read /dev/kmsg": "/dev/kmsg cannot be read: Operation not permitted"},
        runs={
            "journalctl -k -b -q --no-pager -o short-iso": Ran(
                1, "", "No journal files were opened due to insufficient permissions.\n"
            ),
            "dmesg": Ran(1, "", "dmesg: read kernel buffer failed: Operation not permitted\n"),
        },
    )
    result = judge(CHECKS, "gpu.xid", closed)
    assert result.status == "unchecked"
    for reason in (
        "/dev/kmsg cannot be read",
        "insufficient permissions",
        "read kernel buffer failed",
        "sudo dmesg",
    ):
        assert reason in result.said


def test_the_journal_stands_in_for_a_kernel_log_that_is_closed() -> None:
    line = "2026-05-18T03:00:00+0000 node kernel: NVRM: Xid (PCI:0000:28:00): 95, pid='<unknown>'\n"
    journal = {"journalctl -k -b -q --no-pager -o short-iso": Ran(0, line)}
    result = judge(CHECKS, "gpu.xid", GOOD.but(files={"/dev/kmsg": None}, runs=journal))
    assert_found(result, "error", "Xid 95 of GPU 1", "uncontained ECC error")


def test_a_fabric_that_cannot_be_asked_is_unchecked() -> None:
    result = judge(CHECKS, "drv.fabric", A100_SWITCHED)
    assert (result.status, "no systemctl" in result.said) == ("unchecked", True)


def test_forward_compatibility_is_offered_where_it_is_installed() -> None:
    compat = {"/usr/local/cuda*/compat/libcuda.so.*": ("/usr/local/cuda-12.8/compat/libcuda.so.570.86.15",)}
    old = machine(driver="470.57.02", cuda="11.4").but(globs=compat)
    assert_found(
        judge(CHECKS, "drv.cuda", old),
        "error",
        "LD_LIBRARY_PATH=/usr/local/cuda-12.8/compat:$LD_LIBRARY_PATH",
    )


def test_a_newer_cuda_by_forward_compatibility_is_fine() -> None:
    assert judge(CHECKS, "drv.cuda", machine(driver="470.57.02", cuda="12.8")).status == "ok"


def test_code_for_a_newer_card_of_the_same_kind_does_not_run() -> None:
    assert gpu_kind.has_code((8, 9), ("sm_80",))
    assert gpu_kind.has_code((12, 0), ("sm_80", "compute_90"))
    assert not gpu_kind.has_code((8, 0), ("sm_86", "sm_90"))
    assert not gpu_kind.has_code((10, 0), ("sm_90a", "compute_90a"))
    assert not gpu_kind.has_code((12, 0), ("sm_90", "sm_100"))


@pytest.mark.parametrize(
    ("code", "act"),
    [
        (13, "application"),
        (31, "application"),
        (43, "application"),
        (69, "application"),
        (45, "follow"),
        (48, "drain"),
        (62, "reset"),
        (109, "reset"),
        (119, "reset"),
        (120, "reset"),
        (140, "reset"),
        (143, "reset"),
        (63, "none"),
        (64, "reset"),
        (74, "nvlink"),
        (144, "nvlink"),
        (150, "nvlink"),
        (79, "restart"),
        (92, "watch"),
        (94, "restart-app"),
        (95, "reset"),
        (136, "reset"),
        (121, "read"),
        (137, "read"),
        (154, "read"),
        (151, "restart-vm"),
    ],
)
def test_xids_have_the_catalogues_action(code: int, act: str) -> None:
    assert XIDS[code].act == act


def test_xids_of_real_logs_are_read() -> None:
    log = """\
[Fri Aug 30 11:43:09 2024] NVRM: Xid (PCI:0000:cb:00): 13, pid='<unknown>', name=<unknown>, Graphics SM
kernel: NVRM: Xid (PCI:0000:dc:00): 45, pid=1818990, name=python3, Ch 00000001 caused by previous Xid 149
[ 1843.308145] NVRM: The NVIDIA GPU 0000:b3:00.0
               NVRM: (PCI ID: 10de:26b5) installed in this system has
               NVRM: fallen off the bus and is not responding to commands.
[ 1843.439669] NVRM: The NVIDIA GPU 0000:b4:00.0 is fine
"""
    assert [(seen.code, seen.bus) for seen in read_xids(log)] == [
        (13, "0000:cb:00"),
        (45, "0000:dc:00"),
        (79, "0000:b3:00.0"),
    ]
    assert Seen(79, "0000:b3:00.0", "").xid.severity == "error"


def test_a_logged_address_is_matched_with_that_of_nvml() -> None:
    assert same_card("0000:3b:00", "00000000:3B:00.0")
    assert not same_card("0001:3b:00", "00000000:3B:00.0")
    assert not same_card("0000:3b:00", None)


def test_records_survive_json() -> None:
    assert msgspec.json.decode(msgspec.json.encode(TAKEN), type=Recorded) == TAKEN
