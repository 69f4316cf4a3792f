"""The planned configuration in the real engine, on ranks without memory or network, in a child process."""

import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from engine.config.load import dump_resolved
from engine.findings import EXIT_BAD_INPUT, EXIT_RUN_FAILED, EXIT_UNFIT, Finding, FindingsError, Fix
from engine.footprint.job import Job
from engine.footprint.training import training_phases
from engine.footprint.typical import config_of_size
from rftui.plan.knobs import with_values
from rftui.plan.result import Plan

DISAGREE = 0.05
"""Relative difference from which simulated and planned memory are said to disagree."""


class Agreement(NamedTuple):
    """Bytes that torch's allocator holds at the worst moment of a phase, simulated and planned."""

    phase: str
    simulated: int
    planned: int

    @property
    def error(self) -> float:
        """Of the plan, relative to the simulation."""
        return self.planned / self.simulated - 1 if self.simulated else 0.0

    @property
    def agrees(self) -> bool:
        return abs(self.error) <= DISAGREE


def agreements(plan: Plan, ranks: int, simulated: dict[str, Any]) -> list[Agreement]:
    """The training phases of a simulation against the plan for as many ranks."""
    place = replace(plan.job.place, ranks=ranks, ranks_per_node=min(ranks, plan.job.place.ranks_per_node))
    planned = {p.phase: p.allocated for p in training_phases(Job(plan.job.config, plan.job.shape, place))}
    return [
        Agreement(peak["phase"], peak["bytes"], planned[peak["phase"]])
        for peak in simulated["device"]
        if peak["phase"] in planned
    ]


def simulate(plan: Plan, ranks: int, size: str | None = None) -> dict[str, Any]:
    """What `python -m engine.simulate` says of the plan; raises FindingsError if it fails.

    `size`: the plan is for a typical model of this size ("7B"), not for `pretrain`.
    """
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "config.yaml"
        anywhere = with_values(plan.resolved.config, {"parallel.nproc": None})  # `ranks` are asked for
        config.write_text(dump_resolved(replace(plan.resolved, config=anywhere)), encoding="utf-8")
        argv = [sys.executable, "-P", "-m", "engine.simulate"]
        argv += ["--config", str(config), "--world", str(ranks), "--json"]
        argv += ["--like", plan.job.place.device.kind]
        if size:
            model = Path(folder) / "model.json"
            model.write_bytes(msgspec.json.encode(config_of_size(size)))
            argv += ["--model-config", str(model)]
        done = subprocess.run(argv, capture_output=True, text=True)
    last = (done.stdout.strip().splitlines() or [""])[-1]
    if done.returncode in (EXIT_BAD_INPUT, EXIT_UNFIT) and last.startswith("["):
        raise FindingsError(msgspec.json.decode(last, type=tuple[Finding, ...]), done.returncode)
    if done.returncode != 0 or not last:
        finding = Finding(
            id="plan.simulation-failed",
            severity="error",
            cause=f"the simulation of {ranks} ranks ended with exit code {done.returncode}.",
            evidence=tuple(done.stderr.strip().splitlines()[-5:]),
            fixes=(Fix("plan without --simulate"),),
        )
        raise FindingsError([finding], EXIT_RUN_FAILED)
    return dict(msgspec.json.decode(last))
