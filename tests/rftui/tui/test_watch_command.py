"""`rft watch` as a program: in a real terminal (tmux), and as lines of text without one."""

import os
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_run import FakeRun

from rftui.runs.rundir import RunDir

RFT = "from rftui.cli.app import main; main()"


def rft(*args: str | Path, timeout: float = 60) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", RFT, *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout, stdin=subprocess.DEVNULL)


def test_without_a_terminal_a_finished_run_is_told_in_lines(finished: RunDir) -> None:
    done = rft("watch", finished.name, "--runs-dir", finished.path.parent)
    assert done.returncode == 0, done.stderr
    assert "step 300/300" in done.stdout
    assert f"{finished.name} finished after 300 steps" in done.stdout
    assert "\x1b" not in done.stdout


def test_plain_lines_follow_a_growing_run_to_its_failure(growing: FakeRun) -> None:
    command = [sys.executable, "-u", "-c", RFT, "watch", "growing", "--plain"]
    folder = growing.run.path.parent
    with subprocess.Popen([*command, "--runs-dir", folder], stdout=subprocess.PIPE, text=True) as watching:
        time.sleep(2)
        growing.now = time.time()
        growing.step()
        time.sleep(1)
        growing.end("failed", "rank 0: exit code 1: ValueError: boom")
        out, _ = watching.communicate(timeout=30)
    assert watching.returncode == 1
    assert "step 41/200" in out
    assert "growing failed after 41 steps" in out
    assert "ValueError: boom" in out


@pytest.mark.parametrize("flag", ["--slow", "--readonly"])
def test_what_is_for_the_screen_is_refused_where_lines_are_printed(flag: str, finished: RunDir) -> None:
    done = rft("watch", finished.name, flag, "--runs-dir", finished.path.parent)
    assert done.returncode == 2
    assert "here lines are printed" in " ".join(done.stderr.replace("│", "").split())


def test_an_unknown_run_is_bad_input(finished: RunDir) -> None:
    done = rft("watch", "qwen-gsm9k", "--runs-dir", finished.path.parent)
    assert done.returncode == 2
    assert "run.unknown" in done.stderr
    assert finished.name in done.stderr


def test_plain_mode_imports_no_textual() -> None:
    code = (
        "import sys, rftui.cli.watch; sys.exit(any(m.startswith(('textual', 'torch')) for m in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0


class Tmux:
    """A terminal of a fixed size with a program in it."""

    def __init__(self, size: tuple[int, int], command: str) -> None:
        self.socket = f"rftui-test-{uuid.uuid4().hex[:8]}"
        width, height = map(str, size)
        self._call("-f", os.devnull, "new-session", "-d", "-x", width, "-y", height, command + "; sleep 30")
        self._call("set-option", "-g", "status", "off")

    def _call(self, *args: str) -> str:
        command = ["tmux", "-u", "-L", self.socket, *args]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=20).stdout

    def screen(self) -> str:
        return self._call("capture-pane", "-p")

    def press(self, key: str) -> None:
        self._call("send-keys", key)

    def shows(self, *texts: str, timeout: float = 30.0) -> str:
        deadline = time.monotonic() + timeout
        while not all(text in (screen := self.screen()) for text in texts):
            if time.monotonic() > deadline:
                pytest.fail(f"{texts} not seen in time; the terminal shows:\n{screen}")
            time.sleep(0.1)
        return screen

    def close(self) -> None:
        self._call("kill-server")


def watching(run: RunDir, size: tuple[int, int], *flags: str) -> Tmux:
    command = f"{sys.executable} -c '{RFT}' watch {run.name} --runs-dir {run.path.parent}"
    return Tmux(size, " ".join((command, *flags)))


@pytest.fixture(params=[(80, 24), (160, 48)], ids=["80x24", "160x48"])
def terminal(request: pytest.FixtureRequest, growing: FakeRun) -> Iterator[Tmux]:
    if shutil.which("tmux") is None:
        pytest.skip("tmux is not installed")
    tmux = watching(growing.run, request.param)
    yield tmux
    tmux.close()


def test_the_program_runs_in_a_real_terminal(terminal: Tmux, growing: FakeRun) -> None:
    screen = terminal.shows("● running", "step 40/200", "reward", "rollout", "step 40 reward", "q quit")
    lines = screen.split("\n")
    assert lines[0].startswith(" rft ▸ growing")
    assert any("╭─ reward" in line and "╮╭─ KL to reference" in line for line in lines)
    growing.step()
    terminal.shows("step 41/200")
    terminal.press("K")
    terminal.shows("Stop growing?")
    for key in ("Down", "Down", "Enter"):
        terminal.press(key)
    terminal.press("q")
    left = terminal.shows("growing keeps running")
    assert "rft watch growing" in left
    assert "╭─ reward" not in left


def test_readonly_is_a_flag_too(growing: FakeRun) -> None:
    if shutil.which("tmux") is None:
        pytest.skip("tmux is not installed")
    terminal = watching(growing.run, (80, 24), "--readonly")
    try:
        terminal.shows("● running", "q quit")
        terminal.press("K")
        terminal.press("?")
        assert "Stop growing?" not in terminal.shows("esc closes")
    finally:
        terminal.close()
