"""Runs whose ranks are a small stand-in program, started by the real torchrun."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from engine.config.load import dump_resolved, layer_from_sets, resolve
from rftui.launch.processes import kill_processes_of
from rftui.runs.info import RunInfo
from rftui.runs.rundir import RunDir, create


@pytest.fixture
def make_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., RunDir]]:
    """`make_run(mode, nproc=1)` creates a run whose ranks behave as `rank_program.MODES[mode]` says."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    made: list[RunDir] = []

    def make(mode: str, nproc: int = 1, runs_dir: Path = tmp_path) -> RunDir:
        run = create(runs_dir, f"run-{len(made)}")
        sets = layer_from_sets([f"model.pretrain={mode}"])
        run.config_path.write_text(dump_resolved(resolve([sets])))
        run.write_info(RunInfo(name=run.name, status="planned", created=time.time(), nproc=nproc))
        made.append(run)
        return run

    yield make
    for run in made:
        kill_processes_of(run.path)
