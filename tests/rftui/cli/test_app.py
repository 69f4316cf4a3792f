"""`rft` as a program: help without imports, the nearest verb, findings with their exit code."""

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from engine.config.load import layer_from_flags
from engine.findings import Finding, Fix
from rftui.cli.app import VERBS
from rftui.cli.report import print_findings

HEAVY = ("torch", "transformers", "textual", "pydantic", "numpy")
PROBE = """
import sys
sys.argv = ["rft", *sys.argv[1:]]
from rftui.cli.app import main
try:
    main()
finally:
    print("LOADED", *(name for name in {heavy!r} if name in sys.modules), file=sys.stderr)
"""


def rft(*args: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "COLUMNS": "120", "NO_COLOR": "1"}
    argv = [sys.executable, "-m", "rftui", *args]
    return subprocess.run(argv, capture_output=True, text=True, timeout=180, cwd=cwd, env=env)


@pytest.mark.parametrize("args", [["--help"], ["--version"], []])
def test_help_names_every_verb_and_imports_nothing_heavy(args: list[str]) -> None:
    probe = [sys.executable, "-c", PROBE.format(heavy=HEAVY), *args]
    done = subprocess.run(probe, capture_output=True, text=True, timeout=60)
    assert done.stderr.splitlines()[-1] == "LOADED"
    if args == ["--help"]:
        assert done.returncode == 0
        assert [verb for verb in VERBS if f" {verb} " not in done.stdout] == []


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_its_own_help(verb: str) -> None:
    done = rft(verb, "--help")
    assert done.returncode == 0, done.stderr
    assert f"rft {verb}" in done.stdout


def test_unknown_verb_names_the_nearest() -> None:
    done = rft("lunch", "quickstart")
    assert done.returncode == 2
    assert "there is no verb 'lunch'; did you mean 'launch'?" in done.stderr


def test_finding_is_printed_and_gives_the_exit_code(tmp_path: Path) -> None:
    done = rft("stop", "nothing", "--runs-dir", str(tmp_path))
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.startswith("error run.unknown: there is no run 'nothing'")


def test_findings_are_json_on_request(tmp_path: Path) -> None:
    done = rft("resume", "nothing", "--json", "--runs-dir", str(tmp_path))
    assert done.returncode == 2 and done.stderr == ""
    (finding,) = json.loads(done.stdout)["findings"]
    assert finding["id"] == "run.unknown" and finding["fixes"]


def test_edits_of_a_fix_are_flags_that_a_shell_takes(capsys: pytest.CaptureFixture[str]) -> None:
    edits = {"eval.eval_temperatures": (0.0, 1.0), "model.bf16": False, "data.prompt_data": "my data.jsonl"}
    print_findings([Finding("a.b", "error", "c", fixes=(Fix("edit", set=edits),))])
    flags = "--eval-temperatures 0.0,1.0 --bf16 false --prompt-data 'my data.jsonl'"
    assert f"→ edit  ({flags})" in capsys.readouterr().err
    assert layer_from_flags(shlex.split(flags)).values == edits
