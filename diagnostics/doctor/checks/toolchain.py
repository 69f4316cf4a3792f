"""Check of the compilers with which DeepSpeed builds its operations when they are first used."""

import re

from diagnostics.doctor.check import Answer, CannotCheck, Check, Ok
from diagnostics.doctor.checks.run_facts import torch_version
from diagnostics.doctor.host import Host
from engine.findings import Finding, Fix

RUNTIMES = ("nvidia-cuda-runtime", "nvidia-cuda-runtime-cu12", "nvidia-cuda-runtime-cu11")
"""What a torch from PyPI brings, in the version of CUDA that it was built with."""


def _toolchain(host: Host) -> Answer:
    version = torch_version(host)
    if version is None:
        raise CannotCheck("torch is not installed")
    if version.endswith("+cpu"):
        return _host_compiler(host)
    built_with = _cuda_of_torch(host, version)
    nvcc = _nvcc(host)
    if nvcc is None:
        wanted = f"CUDA {built_with}" if built_with else "the CUDA that torch was built with"
        return Finding(
            id="py.toolchain",
            severity="warning",
            cause="there is no nvcc: DeepSpeed cannot build its operations (FusedAdam, CPUAdam). rftui "
            "uses torch's own Adam and does not need them; other trainers with DeepSpeed do, and want "
            f"{wanted}.",
            fixes=(
                Fix(
                    f"install the toolkit of {wanted}, and say where it is", command="export CUDA_HOME=FOLDER"
                ),
                Fix("or have the operations left out", command="export DS_BUILD_OPS=0 DS_SKIP_CUDA_CHECK=1"),
            ),
        )
    said = host.run([nvcc, "--version"], 2.0).out
    found = re.search(r"release (\d+)\.(\d+)", said)
    if found is None:
        raise CannotCheck(f"{nvcc} --version says no version")
    release = f"{found[1]}.{found[2]}"
    if built_with and found[1] != built_with.partition(".")[0]:
        return Finding(
            id="py.toolchain",
            severity="warning",
            cause=f"{nvcc} is of CUDA {release}, but torch {version} was built with CUDA {built_with}: "
            "operations that are compiled at their first use refuse to build.",
            fixes=(
                Fix(
                    f"install the toolkit of CUDA {built_with}, and say where",
                    command="export CUDA_HOME=FOLDER",
                ),
                Fix("or a torch for the toolkit that is here", command=_torch_for(found[1], found[2])),
            ),
        )
    return Ok(f"nvcc {release}")


def _host_compiler(host: Host) -> Answer:
    names = [host.environ["CXX"]] if host.environ.get("CXX") else ["c++", "g++"]
    if any(host.which(name) for name in names):
        return Ok(f"a C++ compiler; torch {torch_version(host)} needs no nvcc")
    return Finding(
        id="py.toolchain",
        severity="warning",
        cause=f"there is no C++ compiler ({', '.join(names)}): DeepSpeed cannot build its operations for "
        "the CPU.",
        fixes=(Fix("install one", command="apt-get install -y g++"),),
    )


def _nvcc(host: Host) -> str | None:
    """As torch looks for it: CUDA_HOME, the path, the usual place."""
    for variable in ("CUDA_HOME", "CUDA_PATH"):
        if folder := host.environ.get(variable):
            return host.which(f"{folder}/bin/nvcc")
    return host.which("nvcc") or host.which("/usr/local/cuda/bin/nvcc")


def _cuda_of_torch(host: Host, version: str) -> str | None:
    """Version of CUDA by torch's build (`2.9.1+cu128`), or by what it came with."""
    if tag := re.search(r"\+cu(\d\d)(\d)", version):
        return f"{tag[1]}.{tag[2]}"
    runtime = next((found[0] for name in RUNTIMES if (found := host.distributions().get(name))), None)
    return ".".join(runtime.version.split(".")[:2]) if runtime else None


def _torch_for(major: str, minor: str) -> str:
    index = f"https://download.pytorch.org/whl/cu{major}{minor}"
    return f"pip install --force-reinstall torch --index-url {index}"


TOOLCHAIN = Check(
    "py.toolchain", "compilers for operations that are built on first use", "fast", _toolchain, ("deepspeed",)
)
