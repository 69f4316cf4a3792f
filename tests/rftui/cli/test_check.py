"""`rft check` as a program."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.diagnostics.rules.checked_scripts import SCRIPTS
from tests.rftui.cli.test_app import rft

GSM8K = str(SCRIPTS / "lightrft_gsm8k.sh")


def told(*args: str, code: int = 0) -> list[dict[str, Any]]:
    """The reports of `rft check … --json`."""
    done = rft("check", *args, "--json")
    assert done.returncode == code, done.stderr
    return list(json.loads(done.stdout.splitlines()[-1])["files"])


def test_a_script_is_shown_with_batches_memory_and_findings() -> None:
    done = rft("check", GSM8K, "--gpus", "8xA100-80")
    assert done.returncode == 0 and done.stderr == ""
    lines = done.stdout.splitlines()
    assert lines[0].endswith("lightrft_gsm8k.sh  LightRFT examples/gsm8k_geo3k/train_colocate.py")
    assert lines[1] == "Batches" and "Memory" in lines
    assert any(line.startswith("warning check.env.NCCL_TIMEOUT: ") for line in lines)
    severities = [line.split()[0] for line in lines if line.split()[:1] in (["error"], ["warning"], ["info"])]
    assert severities == sorted(severities, key=("error", "warning", "info").index)
    assert lines[-1] == "4 warnings, 3 notes"
    assert "0123456789abcdef" not in done.stdout


def test_errors_make_the_exit_code_2_and_several_files_are_reported_in_order() -> None:
    reports = told(GSM8K, str(SCRIPTS / "openrlhf_wrong.sh"), str(SCRIPTS / "several.sh"), code=2)
    assert [report["framework"] for report in reports] == ["LightRFT", "OpenRLHF", "LightRFT", "verl"]
    assert all(report["arithmetic"] and report["findings"] for report in reports)


def test_a_bad_file_among_good_ones(tmp_path: Path) -> None:
    binary = tmp_path / "b.sh"
    binary.write_bytes(b"\0\1")
    reports = told(str(binary), GSM8K, code=2)
    assert (
        reports[0]["findings"][0]["id"] == "check.file-unreadable" and reports[1]["framework"] == "LightRFT"
    )


def test_our_own_yaml_has_the_planners_answer(tmp_path: Path) -> None:
    (report,) = told("presets/quickstart.yaml", "--gpus", "1xA100-80")
    assert report["framework"] == "rftui" and report["memory"][0].startswith("fits: ")
    assert report["arithmetic"][0].startswith("a rollout samples 32 prompts × 8 responses")
    large = tmp_path / "large.yaml"
    large.write_text(
        "model:\n  pretrain: Qwen/Qwen2.5-72B-Instruct\ndata:\n  prompt_data: x.jsonl\nreward:\n"
        "  reward_rule: math\n"
    )
    (report,) = told(str(large), "--gpus", "1xRTX4090", code=2)
    assert "does not fit" in " ".join(report["memory"])


def test_our_own_yaml_with_faults(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("model:\n  pretrian: x\nbatch:\n  train_batch_size: many\n")
    (report,) = told(str(path), code=2)
    found = {finding["id"]: finding for finding in report["findings"]}
    assert "config.unknown-key" in found and any("train_batch_size" in f["cause"] for f in found.values())


def test_a_preset_that_says_what_it_needs_is_no_error() -> None:
    (report,) = told("presets/gsm8k.yaml")
    assert [finding["severity"] for finding in report["findings"]] == ["info"]


def test_standard_input() -> None:
    done = _piped(Path(GSM8K).read_bytes())
    assert done.returncode == 0 and done.stdout.startswith(b"stdin  LightRFT ")
    broken = _piped(b"model:\n  a: [1\n")
    assert broken.returncode == 2 and b"cannot read" not in broken.stdout and b"stdin line" in broken.stdout


def _piped(data: bytes) -> subprocess.CompletedProcess[bytes]:
    program = Path(sys.executable).with_name("rft")
    return subprocess.run([program, "check", "-"], input=data, capture_output=True, timeout=60)


def test_the_framework_can_be_named(tmp_path: Path) -> None:
    path = tmp_path / "run.sh"
    path.write_text("torchrun --nproc_per_node 2 mine.py --bf16\n")
    (report,) = told(str(path), code=2)
    assert report["findings"][0]["id"] == "check.unknown-framework"
    (report,) = told(str(path), "--framework", "LightRFT", code=2)
    assert report["framework"] == "LightRFT"
    done = rft("check", str(path), "--framework", "what")
    assert done.returncode == 2 and "use one of rftui, lightrft" in done.stderr


@pytest.mark.parametrize("gpus", ["many", "8xNOSUCH"])
def test_gpus_that_do_not_exist(gpus: str) -> None:
    done = rft("check", GSM8K, "--gpus", gpus)
    assert done.returncode == 2 and "Traceback" not in done.stderr and done.stderr.startswith("error ")


def test_convert_writes_a_preset_that_can_be_checked(tmp_path: Path) -> None:
    out = tmp_path / "out.yaml"
    done = rft("check", str(SCRIPTS / "verl_grpo.sh"), "--convert", str(out))
    assert done.returncode == 2, done.stderr  # the script has errors of its own
    assert "pretrain: Qwen/Qwen2.5-7B-Instruct" in out.read_text()
    (report,) = json.loads(rft("check", str(out), "--json").stdout)["files"]
    assert report["framework"] == "rftui"
    assert not [finding for finding in report["findings"] if finding["id"].startswith("config.unknown")]


def test_convert_writes_over_no_file(tmp_path: Path) -> None:
    script = tmp_path / "run.sh"
    script.write_text((SCRIPTS / "verl_grpo.sh").read_text())
    done = rft("check", str(script), "--convert", str(script))
    assert done.returncode == 2 and "check.not-written" in done.stderr and "File exists" in done.stderr
    assert script.read_text() == (SCRIPTS / "verl_grpo.sh").read_text()


def test_convert_wants_one_job(tmp_path: Path) -> None:
    done = rft("check", str(SCRIPTS / "several.sh"), "--convert", str(tmp_path / "out.yaml"))
    assert done.returncode == 2 and "there are 2 jobs" in done.stderr and not list(tmp_path.iterdir())
