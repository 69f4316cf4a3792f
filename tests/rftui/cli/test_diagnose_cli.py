"""`rft diagnose`: what it prints, its JSON, its exit codes. Causes are tested with the knowledge itself."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from engine.findings import FindingsError
from rftui.cli.diagnose import app

FAILED = (
    "step:1 - loss:0.5\n"
    "Traceback (most recent call last):\n"
    '  File "train.py", line 3, in <module>\n'
    "mylib.StrangeError: not known to anyone\n"
    "torch.distributed.elastic.multiprocessing.errors.ChildFailedError:\n"
)


@pytest.fixture
def failed(tmp_path: Path) -> Path:
    path = tmp_path / "failed.log"
    path.write_text(FAILED)
    return path


@pytest.fixture
def healthy(tmp_path: Path) -> Path:
    path = tmp_path / "healthy.log"
    path.write_text("step:1 - loss:0.5\nstep:2 - loss:0.4\n")
    return path


def run(*args: str, env: dict[str, str] | None = None) -> Result:
    return CliRunner().invoke(app, args, env={"LANG": "C.UTF-8", "LC_ALL": "", **(env or {})})


def test_json_has_one_line_per_path_and_an_empty_list_for_a_healthy_one(failed: Path, healthy: Path):
    result = run("--json", str(failed), str(healthy))
    first, second = map(json.loads, result.stdout.splitlines())
    assert result.exit_code == 1
    assert first["path"] == str(failed)
    found = first["findings"][0]
    assert {"cause", "group", "evidence", "fixes", "confidence"} <= set(found)
    assert (found["cause"], found["group"]) == ("unknown", "unknown")
    assert found["evidence"] == [
        {"file": str(failed), "line": 4, "text": "mylib.StrangeError: not known to anyone"}
    ]
    assert "ranks" not in first
    assert (second["path"], second["findings"], second["lines"]) == (str(healthy), [], 2)


def test_exit_codes_tell_healthy_failed_and_unreadable(failed: Path, healthy: Path, tmp_path: Path):
    assert run(str(healthy)).exit_code == 0
    assert run(str(failed)).exit_code == 1
    result = run(str(healthy), str(tmp_path / "nothing.log"), str(failed))
    assert result.exit_code == 2
    assert "nothing.log does not exist" in result.stderr
    assert "StrangeError" in result.stdout, "the other paths are diagnosed nevertheless"


def test_a_person_reads_the_cause_the_line_and_what_to_do(failed: Path, healthy: Path):
    text = run(str(failed)).stdout
    assert "an exception that is not known" in text
    assert f"{failed}:4  mylib.StrangeError: not known to anyone" in text
    assert "1. Read the traceback above that line" in text
    assert "no failure found" in run(str(healthy)).stdout


def test_the_language_is_asked_for_or_that_of_the_environment(failed: Path):
    assert "未收录的异常" in run(str(failed), "--lang", "zh").stdout
    assert "未收录的异常" in run(str(failed), env={"LANG": "zh_CN.UTF-8"}).stdout
    assert "未收录的异常" not in run(str(failed), "--lang", "en", env={"LANG": "zh_CN.UTF-8"}).stdout


def test_standard_input_is_read(tmp_path: Path):
    done = subprocess.run(
        [sys.executable, "-m", "rftui", "diagnose", "-", "--json"], input=FAILED.encode(), capture_output=True
    )
    assert done.returncode == 1
    assert json.loads(done.stdout)["findings"][0]["evidence"][0]["file"] == "<stdin>"


def test_a_run_is_found_by_its_name(tmp_path: Path):
    logs = tmp_path / "runs" / "mine" / "logs"
    logs.mkdir(parents=True)
    (logs.parent / "run.json").write_text('{"status": "failed"}')
    (logs / "rank-00002.log").write_text(FAILED)
    result = run("mine", "--runs-dir", str(tmp_path / "runs"), "--json")
    assert json.loads(result.stdout)["findings"][0]["evidence"][0]["rank"] == 2


def test_all_known_causes_are_listed():
    listed = json.loads(run("--list-causes", "--json").stdout)
    assert {"cause": "cuda-oom-train", "group": "memory"}.items() <= next(
        row for row in listed if row["cause"] == "cuda-oom-train"
    ).items()
    assert "cuda-oom-train" in run("--list-causes").stdout


@pytest.mark.parametrize(
    ("args", "id"),
    [
        ([], "diagnose.no-path"),
        (["x", "--hang", "y"], "diagnose.two-things"),
        (["-", "-"], "diagnose.stdin-twice"),
        (["x", "--list-causes"], "diagnose.two-things"),
        (["--hang", "y", "--verbose"], "diagnose.no-effect"),
    ],
)
def test_what_makes_no_sense_is_a_finding(args: list[str], id: str):
    with pytest.raises(FindingsError, match=id):
        CliRunner().invoke(app, args, catch_exceptions=False)
