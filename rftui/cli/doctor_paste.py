"""`rft doctor --report`: what a bug report needs, as Markdown to paste, without secrets."""

import platform
import shlex
import sys
from collections.abc import Iterator, Sequence

from diagnostics.doctor import places
from diagnostics.doctor.check import Result
from diagnostics.doctor.cuda import torch_cuda
from diagnostics.doctor.host import Host
from diagnostics.gpu_facts import GpuFacts
from diagnostics.redact import HIDDEN, is_secret, redacted, redacted_variable
from engine.config.registry import parameters, value_of
from engine.config.sections import RunConfig
from engine.config.values import show
from engine.findings import render
from engine.footprint.devices import GIB
from rftui.cli.doctor_report import MARKS, counts

PACKAGES = (
    *("rftui", "torch", "triton", "transformers", "tokenizers", "datasets", "huggingface-hub", "safetensors"),
    *(
        "vllm",
        "sglang",
        "flash-attn",
        "flashinfer-python",
        "xformers",
        "deepspeed",
        "accelerate",
        "peft",
        "trl",
    ),
    *(
        "nvidia-nccl-cu12",
        "nvidia-nccl-cu13",
        "nvidia-ml-py",
        "ray",
        "numpy",
        "wandb",
        "tensorboard",
        "mlflow",
    ),
)
PREFIXES = (
    *(
        "CUDA",
        "NVIDIA_",
        "NCCL_",
        "TORCH",
        "PYTORCH_",
        "GLOO_",
        "HF_",
        "HUGGINGFACE_",
        "TRANSFORMERS_",
        "TOKENIZERS_",
    ),
    *(
        "VLLM_",
        "SGLANG_",
        "RAY_",
        "DS_",
        "DEEPSPEED_",
        "ACCELERATE_",
        "FSDP_",
        "TRITON_",
        "OMP_",
        "MKL_",
        "WANDB_",
    ),
    *("MLFLOW_", "RFTUI_", "SLURM_", "UCX_", "FI_", "MASTER_", "XDG_CACHE"),
)
NAMES = {
    *("LD_LIBRARY_PATH", "LD_PRELOAD", "PYTHONPATH", "TMPDIR", "RANK", "LOCAL_RANK", "WORLD_SIZE", "NNODES"),
    *("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"),
}


def pasted(results: Sequence[Result], host: Host, command: Sequence[str] | None = None) -> str:
    """The report. `command`: what was run, by default the arguments of this program as `rft` got them."""
    argv = ["rft", *sys.argv[1:]] if command is None else command
    home = places.home(host.environ)
    parts = [
        _block("System", _system()),
        _block("Hardware", _hardware(host)),
        _block("Versions", _versions(host)),
        _block("Command", [shlex.join(argv)]),
        *(
            [_block("Configuration, what is not at its default", _settings(host.config))]
            if host.config
            else []
        ),
        _block("Environment variables", _variables(host, home)),
        _block("rft doctor", _checks(results)),
    ]
    asked = """
To be filled in:
- [ ] the command that failed, with all its arguments
- [ ] the log with the whole traceback (for a run of `rft`: its folder `logs/`)
- [ ] the smallest script or configuration that shows it
- [ ] what you have tried already
"""
    return redacted("\n".join(parts), home) + asked


def _block(title: str, lines: Sequence[str] | Iterator[str]) -> str:
    return "\n".join([f"### {title}", "```", *lines, "```"])


def _system() -> Iterator[str]:
    try:
        name = platform.freedesktop_os_release().get("PRETTY_NAME", "")
    except OSError:
        name = ""
    yield f"{name or platform.system()}, {platform.release()}, {platform.machine()}"
    yield f"Python {platform.python_version()} ({sys.executable})"


def _hardware(host: Host) -> Iterator[str]:
    hardware = host.hardware
    yield from (_gpu(gpu) for gpu in hardware.gpus)
    if not hardware.gpus:
        yield f"no GPU visible, {hardware.installed} installed"
    yield f"driver {hardware.driver or 'none'}, CUDA of the driver {hardware.cuda or 'none'}"
    memory = f"{hardware.memory_available / GIB:.1f} of {hardware.memory_total / GIB:.1f} GiB RAM available"
    yield f"{hardware.cores} usable cores, {memory}"
    if hardware.shm_total is not None and hardware.shm_free is not None:
        yield f"/dev/shm {hardware.shm_free / GIB:.1f} of {hardware.shm_total / GIB:.1f} GiB free"
    if hardware.disk_total is not None and hardware.disk_free is not None:
        yield f"disk of the runs {hardware.disk_free / GIB:.1f} of {hardware.disk_total / GIB:.1f} GiB free"


def _gpu(gpu: GpuFacts) -> str:
    capability = ".".join(map(str, gpu.capability)) if gpu.capability else "?"
    return f"GPU {gpu.index}: {gpu.name}, {gpu.memory_total / GIB:.1f} GiB, compute capability {capability}"


def _versions(host: Host) -> Iterator[str]:
    found = host.distributions()
    for name in PACKAGES:
        for package in found.get(name, ()):
            yield f"{name} {package.version}"
    yield f"CUDA of torch: {torch_cuda(host) or 'none'}"


def _settings(config: RunConfig) -> Iterator[str]:
    for key, parameter in parameters().items():
        value = value_of(config, key)
        if value != parameter.default:
            yield f"{key} = {HIDDEN if is_secret(key) else show(value)}"


def _variables(host: Host, home: str) -> Iterator[str]:
    chosen = {name for name in host.environ if name.startswith(PREFIXES) or name in NAMES}
    for name in sorted(chosen):
        yield f"{name}={redacted_variable(name, host.environ[name], home)}"


def _checks(results: Sequence[Result]) -> Iterator[str]:
    yield ", ".join(f"{number} {status}" for status, number in counts(results).items() if number)
    for result in results:
        for finding in result.findings:
            yield render(finding)
        if result.status == "unchecked":
            yield f"{MARKS['unchecked'][0]} {result.id}: could not be checked: {result.said}"
