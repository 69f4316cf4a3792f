"""In a real terminal: what is not sent again is there nevertheless."""

import os
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_run import finished_run
from terminal import Tmux

RFTUI = "from rftui.tui.main import main; main()"


def at_rest(terminal: Tmux) -> str:
    """The screen when nothing has moved for a second."""
    before, now = "", terminal.screen()
    while before != now:
        time.sleep(1.0)
        before, now = now, terminal.screen()
    return now


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Tmux]:
    """The program on a run that has ended."""
    if shutil.which("tmux") is None:
        pytest.skip("tmux is not installed")
    runs = tmp_path / "runs"
    finished_run(runs, "done", steps=60)
    environ = {**os.environ, "OMP_NUM_THREADS": "1"}
    shown = Tmux((120, 40), f"{sys.executable} -c '{RFTUI}' done --runs-dir {runs}", environ)
    try:
        shown.shows("step 60/60", "╭─ reward", "r0 ", "entropy", timeout=60)
        yield shown
    finally:
        shown.close()


@pytest.mark.timeout(120)
def test_the_screen_is_as_before_after_dialogs_other_areas_and_sizes(terminal: Tmux) -> None:
    before = at_rest(terminal)
    for key, there in (("?", "esc closes"), (":", "Search for commands")):
        terminal.press(key)
        terminal.shows(there)
        terminal.press("Escape")
        terminal.shows(*before.split("\n"))
    terminal.press("1")
    terminal.shows("▸ home", "presets")
    terminal.press("3")
    terminal.shows(*before.split("\n"))
    terminal.resize(90, 28)
    terminal.shows("phase ", "step 60/60")
    terminal.resize(120, 40)
    terminal.shows(*before.split("\n"))


@pytest.mark.timeout(120)
def test_what_others_wrote_over_the_screen_goes_when_asked_and_when_somebody_comes_back(
    terminal: Tmux,
) -> None:
    before = at_rest(terminal)
    focus_in = ("-H", "1b", "5b", "49")
    for keys in (("C-l",), focus_in, ("?", "C-l", "Escape")):
        terminal.write_over("\x1b[2J\x1b[5;5Ha message of the system")
        assert "a message of the system" in at_rest(terminal)
        terminal.press(*keys)
        terminal.shows(*before.split("\n"))
