"""The program is killed: the runs that were started from it go on."""

import os
import shutil
import signal
import sys
import time
from pathlib import Path

import psutil
import pytest
from terminal import Tmux

from presets.loader import user_dir
from rftui.runs.info import ACTIVE
from rftui.runs.listing import list_runs
from rftui.runs.rundir import RunDir
from rftui.runs.view import RunView, present_status

RFTUI = "from rftui.tui.main import main; main()"
PRESET = """\
title: Short
model: {pretrain: "toy:sort", bf16: false}
data: {prompt_data: "toy:sort"}
batch: {rollout_batch_size: 8, n_samples_per_prompt: 4, train_batch_size: 32}
rollout: {engine_type: hf, max_len: 32, prompt_max_len: 16}
optim: {max_steps: 25}
parallel: {nproc: 1}
reward: {reward_rule: exact}
"""


def program(terminal: Tmux) -> psutil.Process:
    """`rftui` itself, below the terminal's shell."""
    below = psutil.Process(terminal.pane_pid).children(recursive=True)
    return next(p for p in below if RFTUI in p.cmdline())


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_kill_9_leaves_a_run_alone_that_was_launched_from_it(tmp_path: Path) -> None:
    if shutil.which("tmux") is None:
        pytest.skip("tmux is not installed")
    user_dir().mkdir(parents=True)
    (user_dir() / "short.yaml").write_text(PRESET)
    runs = tmp_path / "runs"
    environ = {**os.environ, "OMP_NUM_THREADS": "1"}
    terminal = Tmux((120, 40), f"{sys.executable} -c '{RFTUI}' --runs-dir {runs}", environ)
    try:
        terminal.shows("No runs in", "quickstart", timeout=60)
        terminal.press(":")
        terminal.shows("Search for commands")
        terminal.press("-l", "open preset short")
        terminal.shows("plan it", timeout=30)
        terminal.press("Enter")
        terminal.shows("short", "launch", "fits", timeout=60)
        terminal.press("L")
        deadline = time.monotonic() + 120
        while not any(run.status == "running" and run.step >= 1 for run in list_runs(runs)):
            assert time.monotonic() < deadline, terminal.screen()
            time.sleep(0.5)
        program(terminal).send_signal(signal.SIGKILL)
        terminal.shows("$ left")
        run = RunDir(list_runs(runs)[0].path)
        assert present_status(run) == "running"
    finally:
        terminal.close()  # the terminal itself is closed, too: its processes get SIGHUP
    while present_status(run) in ACTIVE:
        assert time.monotonic() < deadline + 180
        time.sleep(0.5)
    view = RunView(run).load()
    assert view.status == "finished" and view.step == 25


def test_it_ends_with_its_terminal_even_under_nohup(tmp_path: Path) -> None:
    if shutil.which("tmux") is None:
        pytest.skip("tmux is not installed")
    command = f"trap '' HUP; {sys.executable} -c '{RFTUI}' --runs-dir {tmp_path}"
    terminal = Tmux((80, 24), command, os.environ)
    try:
        terminal.shows("No runs in", timeout=60)
        left = program(terminal)
    finally:
        terminal.close()
    left.wait(timeout=30)
