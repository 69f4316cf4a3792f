"""`rft runs note`, `tag` and `delete` as a person runs them."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from rftui.runs import notes
from rftui.runs.info import RunInfo
from rftui.runs.rundir import RunDir, create

Rft = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def rft(tmp_path: Path) -> Rft:
    def call(*args: str, typed: str = "") -> subprocess.CompletedProcess[str]:
        argv = [sys.executable, "-c", "from rftui.cli.app import main; main()", "runs", *args]
        environ = os.environ | {"RFTUI_RUNS_DIR": str(tmp_path)}
        return subprocess.run(argv, env=environ, input=typed, capture_output=True, text=True, timeout=60)

    return call


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    run = create(tmp_path, "mine")
    run.write_info(RunInfo(name="mine", status="finished", created=time.time()))
    return run


def test_a_note_and_tags_replace_those_before(rft: Rft, run: RunDir) -> None:
    assert rft("note", "mine", "low", "KL").stdout == "mine: low KL\n"
    assert rft("tag", "mine", "paper", "gsm8k").stdout == "mine: gsm8k paper\n"
    assert notes.read(run) == notes.Notes("low KL", ("gsm8k", "paper"))
    assert rft("note", "mine", "").stdout == "mine: no note\n"
    assert rft("tag", "mine").stdout == "mine: no tags\n"
    refused = rft("tag", "mine", "a b")
    assert refused.returncode == 2
    assert "'a b' cannot be a tag" in refused.stderr


def test_delete_wants_the_name_typed(rft: Rft, run: RunDir) -> None:
    kept = rft("delete", "mine", typed="yes\n")
    assert kept.returncode == 2
    assert "1 files will be gone for good" in kept.stdout
    assert run.exists
    gone = rft("delete", "mine", typed="mine\n")
    assert gone.returncode == 0
    assert "mine is deleted" in gone.stdout
    assert not run.path.exists()
    assert "there is no run 'mine'" in rft("delete", "mine", "--yes").stderr
