"""Starts a simulation in a process of its own: what it does to torch must not be seen by anything else."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from engine.config.load import Resolved, dump_resolved
from engine.config.sections import RunConfig
from engine.findings import Finding, FindingsError, Fix
from engine.simulate.report import Simulation

REPOSITORY = Path(__file__).resolve().parents[2]


def simulate(
    config: RunConfig,
    model_config: Mapping[str, Any],
    world_size: int,
    *,
    like: str = "cuda",
    layers: int | None = None,
    timeout_s: float = 1800,
) -> Simulation:
    """Run the training part of a run as rank 0 of `world_size`, without memory or network.

    `model_config` is a model's `config.json`; `like`: the device whose kernels are assumed, `cuda` or `cpu`;
    `layers`: simulate with so many and half as many decoder layers and continue the line (None: all of them).
    Raises FindingsError for what is wrong with the configuration, and simulation.failed.
    """
    with tempfile.TemporaryDirectory() as folder:
        settings, model = Path(folder, "config.yaml"), Path(folder, "model.json")
        settings.write_text(dump_resolved(Resolved(config, {})))
        model.write_text(json.dumps(model_config))
        command = [sys.executable, "-m", "engine.simulate", "--json", "--config", str(settings)]
        command += ["--model-config", str(model), "--world", str(world_size), "--like", like]
        if layers is not None:
            command += ["--layers", str(layers)]
        path = os.pathsep.join([str(REPOSITORY), os.environ.get("PYTHONPATH", "")])
        result = subprocess.run(
            command,
            env={**os.environ, "PYTHONPATH": path},
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout_s,
        )
    lines = result.stdout.splitlines()
    if result.returncode == 0:
        return msgspec.json.decode(lines[-1], type=Simulation)
    try:
        findings = msgspec.json.decode(lines[-1], type=list[Finding]) if lines else []
    except msgspec.DecodeError:
        findings = []
    raise FindingsError(findings or [_failed(result.stderr)], result.returncode)


def _failed(said: str) -> Finding:
    return Finding(
        id="simulation.failed",
        severity="error",
        cause="The simulation of the training part ended with an error of the libraries below it.",
        evidence=tuple(said.strip().splitlines()[-4:]),
        fixes=(Fix("Plan without it: the closed formulas need none of these libraries."),),
    )
