"""The life of a real run by its verbs: launch, export, resume, stop."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.rftui.cli.test_app import rft

pytestmark = [pytest.mark.dist, pytest.mark.slow]
SMALL = ("--max-eval-samples", "20", "--eval-interval", "2", "--set", "checkpoint.save_steps=2")


@pytest.fixture(scope="module")
def runs_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one run, `first`, launched with `--wait --json` for four steps."""
    folder = tmp_path_factory.mktemp("runs")
    done = rft(*launch(folder, "first"), "--max-steps", "4", "--wait", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    (folder / "last-line").write_text(done.stdout.splitlines()[-1])
    return folder


def launch(runs_dir: Path, name: str) -> tuple[str, ...]:
    return ("launch", "quickstart", "--name", name, "--runs-dir", str(runs_dir), *SMALL)


def test_waiting_ends_with_one_line_of_json(runs_dir: Path) -> None:
    told = json.loads((runs_dir / "last-line").read_text())
    assert (told["name"], told["status"], told["steps"]) == ("first", "finished", 4)
    assert 0 <= told["eval"]["accuracy"] <= 1 and told["seconds"] > 0


def test_export_writes_a_model_and_refuses_what_it_cannot_do(runs_dir: Path, tmp_path: Path) -> None:
    options = ("--runs-dir", str(runs_dir))
    done = rft("export", "first", "--step", "4", "--to", str(tmp_path / "model"), *options)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "model" / "config.json").is_file()
    done = rft("export", "first", "--step", "3", "--to", str(tmp_path / "other"), *options)
    assert done.returncode == 2 and "it has those of 2, 4" in done.stderr
    done = rft("export", "first", "--to", str(tmp_path / "model"), *options)
    assert done.returncode == 2 and "export.target-used" in done.stderr


def test_resume_goes_on_from_the_last_step(runs_dir: Path) -> None:
    done = rft("resume", "first", "--runs-dir", str(runs_dir), "--max-steps", "6", "--wait", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert (told["status"], told["steps"]) == ("finished", 6)
    assert "resumed from step 4" in done.stderr and "step 3" not in done.stderr


def test_stop_lets_the_step_end_and_can_be_repeated(runs_dir: Path) -> None:
    done = rft(*launch(runs_dir, "stopped"))
    assert done.returncode == 0 and f"rft stop stopped --runs-dir {runs_dir}" in done.stdout
    again = rft("resume", "stopped", "--runs-dir", str(runs_dir))
    assert again.returncode == 2 and "run.alive" in again.stderr
    _wait_for_step(runs_dir / "stopped")
    done = rft("stop", "stopped", "--runs-dir", str(runs_dir))
    assert done.returncode == 0 and "stopped: stopped" in done.stdout
    assert list((runs_dir / "stopped" / "checkpoints").iterdir())
    done = rft("stop", "stopped", "--runs-dir", str(runs_dir))
    assert done.returncode == 0 and "has ended already: stopped" in done.stdout


def test_interrupt_in_the_foreground_stops_the_run(runs_dir: Path) -> None:
    argv = [sys.executable, "-m", "rftui", *launch(runs_dir, "front"), "--foreground", "--json"]
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    _wait_for_step(runs_dir / "front")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert json.loads(out.splitlines()[-1])["status"] == "stopped"


def test_failure_of_a_rank_is_the_exit_code_and_the_cause(runs_dir: Path, tmp_path: Path) -> None:
    reward = tmp_path / "reward.py"
    reward.write_text("def score(responses, labels):\n    raise ValueError('no idea')\n")
    done = rft(
        *launch(runs_dir, "bad"),
        "--set",
        "reward.reward_rule=null",
        "--reward-fn",
        f"{reward}:score",
        "--wait",
    )
    assert done.returncode in (1, 2)
    assert "bad failed" in done.stdout and "no idea" in done.stdout + done.stderr


def _wait_for_step(run: Path) -> None:
    deadline = time.monotonic() + 120
    events = run / "events" / "rank-00000.jsonl"
    while not (events.exists() and b'"kind":"metric"' in events.read_bytes()):
        assert time.monotonic() < deadline, (run / "run.json").read_text()
        time.sleep(0.2)
