"""Runs that end or raise alerts are told of once: on the screen, by the bell, to the desktop."""

import os
import select
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import shows, until
from fake_run import FakeRun, finished_run

from engine.events import EventWriter
from rftui.runs.rundir import RunDir
from rftui.tui.app import RftuiApp
from rftui.tui.notify import WATCH_S, News, RunWatcher, desktop
from rftui.tui.settings import Settings

pytestmark = pytest.mark.usefixtures("still_home")

RFTUI = "from rftui.tui.main import main; main()"
IN_A_TERMINAL = "import pty, sys; pty.spawn(sys.argv[1:])"
"""Runs a command in a terminal of its own and passes on what it writes."""


def told(watcher: RunWatcher) -> list[tuple[str, str]]:
    return [(news.title, news.severity) for news in watcher.look()]


def test_what_was_there_before_is_no_news(tmp_path: Path) -> None:
    finished_run(tmp_path, "old", steps=3)
    fake = FakeRun(tmp_path, "on")
    fake.step()
    fake.alert("KL is 0.4")
    watcher = RunWatcher(tmp_path)
    assert told(watcher) == [] and told(watcher) == []


def test_ends_and_alerts_are_told_once(tmp_path: Path) -> None:
    one, two = FakeRun(tmp_path, "one"), FakeRun(tmp_path, "two")
    for _ in range(40):
        one.step()
    watcher = RunWatcher(tmp_path)
    assert told(watcher) == []
    one.alert("KL is 0.4")
    one.alert("KL is 0.5")
    assert told(watcher) == [("one: policy.kl-high", "warning")]
    one.alert("KL is 0.6")
    one.end("finished")
    two.end("failed", "rank 1: out of memory")
    assert told(watcher) == [("one finished", "information"), ("two failed", "error")]
    assert told(watcher) == []


def test_a_run_that_starts_later_is_followed_from_its_beginning(tmp_path: Path) -> None:
    watcher = RunWatcher(tmp_path / "runs")
    assert told(watcher) == []
    fake = FakeRun(tmp_path / "runs", "new")
    fake.alert("KL is 0.4")
    assert told(watcher) == [("new: policy.kl-high", "warning")]


def test_a_lost_supervisor_is_told(tmp_path: Path) -> None:
    with subprocess.Popen(["sleep", "60"]) as supervisor:
        FakeRun(tmp_path, "run", supervisor=supervisor.pid)
        watcher = RunWatcher(tmp_path)
        told(watcher)
        supervisor.kill()
    assert told(watcher) == [("run is lost", "error")]


def test_damaged_and_vanishing_runs_are_passed_over(tmp_path: Path) -> None:
    fake = FakeRun(tmp_path, "run")
    watcher = RunWatcher(tmp_path)
    told(watcher)
    fake.run.info_path.write_text("{")
    with (fake.run.events_dir / "rank-00000.jsonl").open("ab") as file:
        file.write(b'{"kind":"alert","finding":7}\n{"kind":"alert"\n')
    assert told(watcher) == []
    fake.run.info_path.unlink()
    assert told(watcher) == []


def test_what_looks_after_the_runs_health_counts_too(tmp_path: Path) -> None:
    fake = FakeRun(tmp_path, "run")
    watcher = RunWatcher(tmp_path)
    told(watcher)
    fake.writers[0] = EventWriter(fake.run.events_dir / "health.jsonl", rank=-1, world_size=2)
    fake.alert("a rank is silent")
    assert told(watcher) == [("run: policy.kl-high", "warning")]


def test_what_the_desktop_gets_is_harmless() -> None:
    news = News("run; x", "rank 0:\x1b]0;evil\x07 out of\nmemory", "error")
    assert desktop(news, {}) == "\x1b]777;notify;run, x;rank 0: out of memory\x1b\\"
    inside = desktop(news, {"TMUX": "/tmp/tmux-0/default,1,0"})
    assert inside.startswith("\x1bPtmux;\x1b\x1b]777;notify;") and inside.endswith("\x1b\x1b\\\x1b\\")


async def test_a_toast_says_it_wherever_one_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rftui.tui.app.WATCH_S", 0.2)
    looks: list[object] = []
    look = RunWatcher.look
    monkeypatch.setattr(RunWatcher, "look", lambda self: (news := look(self), looks.append(news))[0])
    fake = FakeRun(tmp_path, "run")
    app = RftuiApp(tmp_path)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await shows(pilot, "1 running in")
        await until(pilot, lambda: bool(looks))
        fake.end("failed", "rank 0: [b]boom[/]")
        await shows(pilot, "run failed", "rank 0: [b]boom[/]")


def _seen_in_a_terminal(folder: Path, wanted: tuple[bytes, ...]) -> bytes:
    """What the program writes while one run after the other ends, until all that is wanted was written.

    What has ended before the program's first look is no news, and nothing outside tells when that look was.
    """
    going = [FakeRun(folder / "runs", f"run-{number}") for number in range(24)]
    environ = {**os.environ, "XDG_CONFIG_HOME": str(folder), "TERM": "xterm-256color"}
    environ.pop("TMUX", None)
    # pty.fork() in this process, which has threads, may hang.
    command = [sys.executable, "-c", IN_A_TERMINAL, sys.executable, "-c", RFTUI]
    with subprocess.Popen(
        [*command, "--runs-dir", str(folder / "runs")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environ,
    ) as program:
        assert program.stdout is not None
        seen, next_end, shown = b"", 0.0, False
        try:
            while not (shown and all(text in seen for text in wanted)):
                if select.select([program.stdout], [], [], 0.2)[0]:
                    seen += os.read(program.stdout.fileno(), 1 << 16)
                    assert program.poll() is None, f"it has ended: {seen[-1000:]!r}"
                if not shown and b"home" in seen:
                    seen, shown = b"", True
                if shown and time.monotonic() > next_end:
                    assert going, f"{wanted} not seen"
                    going.pop().end("finished")
                    next_end = time.monotonic() + WATCH_S + 1
        finally:
            program.kill()
    return seen


@pytest.mark.timeout(180)
def test_a_real_terminal_rings_and_tells_the_desktop(tmp_path: Path) -> None:
    _seen_in_a_terminal(tmp_path, (b"\x1b]777;notify;run-", b" finished;", b"\x07"))


@pytest.mark.timeout(180)
def test_settings_keep_it_silent(tmp_path: Path) -> None:
    assert Settings().bell and Settings().desktop
    (tmp_path / "rftui").mkdir()
    (tmp_path / "rftui" / "settings.toml").write_text("bell = false\ndesktop = false\n")
    seen = _seen_in_a_terminal(tmp_path, (b"run-", b" finished", b"0 steps"))
    assert b"]777;" not in seen and b"\x07" not in seen


def test_the_watcher_reads_little_of_many_runs(tmp_path: Path) -> None:
    for number in range(100):
        finished_run(tmp_path, f"run-{number}", steps=1)
    watcher = RunWatcher(tmp_path)
    watcher.look()
    started = time.process_time()
    for _ in range(10):
        watcher.look()
    assert (time.process_time() - started) / 10 < 0.02  # of 4 seconds: half a percent of a core


def test_runs_of_the_folder_only(tmp_path: Path) -> None:
    assert RunWatcher(tmp_path / "nothing").look() == []
    assert not RunDir(tmp_path / "nothing").exists


def test_what_an_earlier_attempt_raised_is_no_news_when_the_run_goes_on(tmp_path: Path) -> None:
    fake = FakeRun(tmp_path, "run")
    fake.alert("KL is 0.4")
    fake.end("failed", "rank 0: out of memory")
    watcher = RunWatcher(tmp_path)
    assert told(watcher) == []
    fake.info.status, fake.info.ended, fake.info.exit = "running", None, None
    fake.info.supervisor_pid = os.getpid()
    fake.run.write_info(fake.info)
    assert told(watcher) == []
    fake.alert("KL is 0.5")
    assert told(watcher) == [("run: policy.kl-high", "warning")]
