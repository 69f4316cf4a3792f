"""A driver library compiled here, for programs that ask NVML through the real bindings."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

STUB = Path(__file__).with_name("stub_nvml.c")
H100 = "NVIDIA H100 80GB HBM3"
needs_compiler = pytest.mark.skipif(
    not (shutil.which("cc") and sys.platform == "linux"), reason="needs a C compiler"
)


def with_driver(
    folder: Path, gpus: int = 2, lost: int | None = None, when: Path | None = None
) -> dict[str, str]:
    """The environment of a program that finds so many H100; one is lost, from when the file exists on."""
    library = folder / "libnvidia-ml.so.1"
    subprocess.run(["cc", "-shared", "-fPIC", "-w", "-o", library, STUB], check=True)
    environ = {**os.environ, "LD_LIBRARY_PATH": str(folder), "STUB_NVML_GPUS": str(gpus)}
    environ |= {"STUB_NVML_LOST": str(lost)} if lost is not None else {}
    return environ | ({"STUB_NVML_LOST_WHEN": str(when)} if when else {})


def answer(script: str, environ: dict[str, str], *arguments: str) -> str:
    """What a Python script prints there."""
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env=environ,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
