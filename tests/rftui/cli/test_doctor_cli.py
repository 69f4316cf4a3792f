"""`rft doctor`: what it prints and how it exits, on this machine and on recorded ones; what it mends."""

import json
import os
import pty
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from diagnostics.doctor.recorded import Recorded, RecordedHost
from diagnostics.doctor.registry import all_checks
from engine.findings import FindingsError
from rftui.cli import doctor
from tests.diagnostics.doctor.eight_h100 import EIGHT_H100, machine, with_gpu

MACHINE = ["gpu", "drv", "host"]


def rft(*args: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "rftui", "doctor", *args],
        capture_output=True,
        text=True,
        errors="surrogateescape",
        timeout=60,
        stdin=subprocess.DEVNULL,
        env={**os.environ, "COLUMNS": "80", **environ},
    )


def on(recorded: Recorded, *args: str, monkeypatch: pytest.MonkeyPatch) -> Result:
    """The verb on a recorded machine."""
    monkeypatch.setattr(doctor, "ThisHost", lambda *_: RecordedHost(recorded))
    monkeypatch.setenv("COLUMNS", "80")
    return CliRunner().invoke(doctor.app, args, catch_exceptions=False)


def test_a_machine_in_good_order_takes_few_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = on(EIGHT_H100, *MACHINE, monkeypatch=monkeypatch)
    assert shown.exit_code == 0
    assert shown.stdout.splitlines() == [
        "✓ GPUs: 10 checks, all fine",
        "✓ driver: 2 checks, all fine",
        "✓ host: 9 checks, all fine",
        "",
        "all 21 checks are fine",
    ]


def test_what_is_wrong_is_told_with_its_command_within_80_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = on(with_gpu(3, ecc_errors=2), *MACHINE, monkeypatch=monkeypatch)
    assert shown.exit_code == 3
    lines = shown.stdout.splitlines()
    assert lines[0] == "✗ GPUs: 1 error in 10 checks"
    assert lines[1].startswith("  error gpu.ecc: GPU 3 (NVIDIA H100 80GB HBM3) has had 2 uncorrected")
    assert "        sudo nvidia-smi --gpu-reset -i 3" in lines
    assert "✓ driver: 2 checks, all fine" in lines
    assert max(map(len, lines)) <= 80
    assert lines[-1].startswith("1 error in 21 checks")


def test_a_path_that_is_no_text_is_shown_and_encoded() -> None:
    shown = rft("host.tmp", "--json", TMPDIR="/gone/\udcff")
    assert json.loads(shown.stdout)["counts"]["warning"] == 1
    assert rft("host.tmp", TMPDIR="/gone/\udcff").returncode == 0


def test_a_file_that_is_not_there_is_a_usage_error() -> None:
    shown = rft("cfg", "--config", "quickstart")
    assert shown.returncode == 2
    assert "file 'quickstart' does not exist" in " ".join(shown.stderr.split())


def test_what_could_not_be_checked_is_no_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    closed = EIGHT_H100.but(
        refused={"room /data/runs": "Stale file handle"},
        files={"/dev/kmsg": None},
        programs={"dmesg": None, "journalctl": None},
    )
    shown = on(closed, *MACHINE, monkeypatch=monkeypatch)
    assert shown.exit_code == 3
    assert "? GPUs: 1 not checked in 10 checks" in shown.stdout
    words = " ".join(shown.stdout.split())
    assert (
        "not checked gpu.xid: the kernel log has no GPU errors (Xid): the kernel log may not be read here"
        in words
    )
    assert (
        "not checked host.disk: folders that are written have room, which is essential: Stale file handle"
        in words
    )
    assert on(closed, "gpu", monkeypatch=monkeypatch).exit_code == 0


def test_one_check_says_what_it_saw(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = on(EIGHT_H100, "gpu.present", monkeypatch=monkeypatch)
    assert shown.stdout == "✓ GPUs: 1 check, all fine\n    8 × NVIDIA H100 80GB HBM3\n"


def test_warnings_count_with_strict_only(monkeypatch: pytest.MonkeyPatch) -> None:
    warned = machine(oom_kills=2)
    assert on(warned, "host", monkeypatch=monkeypatch).exit_code == 0
    assert on(warned, "host", "--strict", monkeypatch=monkeypatch).exit_code == 1


def test_json_has_results_counts_and_the_exit_code(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = on(with_gpu(3, ecc_errors=2), *MACHINE, "--json", monkeypatch=monkeypatch)
    answer = json.loads(shown.stdout.splitlines()[-1])
    assert set(answer) == {"results", "counts", "exit"}
    assert answer["exit"] == shown.exit_code == 3
    assert answer["counts"]["error"] == 1
    assert sum(answer["counts"].values()) == len(answer["results"])
    (wrong,) = [result for result in answer["results"] if result["status"] == "error"]
    assert wrong["id"] == "gpu.ecc"
    assert wrong["findings"][0]["fixes"][0]["command"] == "sudo nvidia-smi --gpu-reset -i 3"


def test_the_list_has_every_check_and_runs_none(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = on(Recorded(), "--list", monkeypatch=monkeypatch)
    assert [line.split()[0] for line in shown.stdout.splitlines()] == [check.id for check in all_checks()]
    listed = json.loads(on(Recorded(), "--list", "--json", "gpu", monkeypatch=monkeypatch).stdout)["checks"]
    assert {"gpu.kernels", "gpu.ipc", "gpu.xid"} <= {row["id"] for row in listed}
    assert all(row["id"].startswith("gpu.") and row["title"] for row in listed)


@pytest.mark.parametrize(
    ("args", "id", "words"),
    [
        (["gpu.xidd"], "doctor.unknown-check", "did you mean gpu.xid?"),
        (["comm"], "doctor.other-tier", "rft doctor comm --active"),
        (["--yes"], "doctor.no-effect", "--yes has no effect without --fix"),
        (["--list", "--deep"], "doctor.no-effect", "--deep and --list cannot be given together"),
        (["--report", "--json"], "doctor.no-effect", "--report and --json"),
        (["--preset", "gsm8k", "--config", __file__], "doctor.no-effect", "--preset and --config"),
        (["--fix"], "doctor.nobody-to-ask", "--fix --yes"),
        (["--preset", "gsm9k"], "preset.unknown", "gsm8k"),
        (["--set", "batch.train_batch_sise=3"], "config.unknown-key", "train_batch_size"),
    ],
)
def test_mistakes_are_told_in_one_finding(args: list[str], id: str, words: str) -> None:
    with pytest.raises(FindingsError) as caught:
        CliRunner().invoke(doctor.app, args, catch_exceptions=False)
    assert caught.value.exit_code == 2
    assert [finding.id for finding in caught.value.findings] == [id]
    assert words in str(caught.value)


def test_this_machine_is_checked_quickly() -> None:
    shown = rft("--json", TMPDIR="/tmp")
    assert shown.returncode in (0, 3), shown.stderr
    answer = json.loads(shown.stdout)
    results = {result["id"]: result for result in answer["results"]}
    assert len(results) >= 40
    crashed = [
        r for r in results.values() if r["status"] == "unchecked" and "the check itself failed" in r["said"]
    ]
    assert crashed == []
    assert max(result["seconds"] for result in results.values()) < 2


def test_a_preset_adds_the_checks_of_its_configuration() -> None:
    answer = json.loads(rft("cfg", "--json", "--preset", "quickstart").stdout)
    assert answer["counts"]["ok"] >= 5
    wrong = rft("cfg", "--preset", "quickstart", "--set", "batch.n_samples_per_prompt=1")
    assert wrong.returncode == 2, wrong.stdout


def test_the_report_holds_the_checklist_and_no_secret() -> None:
    shown = rft(
        "--report",
        "--set",
        "model.pretrain=toy:sort",
        HF_TOKEN="hf_AbCdEfGhIjKlMnOp",
        WANDB_API_KEY="0123456789abcdef0123456789abcdef01234567",
        NCCL_DEBUG="INFO",
        VLLM_HOST="http://ann:hunter2@proxy:3128",
        HF_HOME=f"{Path.home()}/models",
        UNRELATED_THING="private",
    )
    text = shown.stdout
    for part in (
        "### System",
        "### Hardware",
        "### Versions",
        "torch 2.",
        "### Command",
        "rft doctor --report",
        "pretrain = ",
        "NCCL_DEBUG=INFO",
        "HF_HOME=~/models",
        "- [ ] the log with the whole traceback",
        "smallest script",
        "tried already",
    ):
        assert part in text, part
    assert "HF_TOKEN=<hidden>" in text
    for secret in ("hf_AbC", "0123456789abcdef", "hunter2", "UNRELATED"):
        assert secret not in text
    assert text.count("```") % 2 == 0


def test_fix_makes_the_missing_folder_and_says_what_is_left() -> None:
    with tempfile.TemporaryDirectory() as short:  # long paths, as `tmp_path` may be, are an error
        gone = Path(short, "gone")
        shown = rft("host.tmp", "--fix", "--yes", TMPDIR=str(gone))
        assert gone.is_dir()
    assert f"done: mkdir -p {gone}" in shown.stderr
    assert shown.returncode == 0
    assert "✓ host: 1 check, all fine" in shown.stdout


def test_fix_writes_settings_into_the_given_file_only(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("model: {pretrain: 'toy:sort'}\nparallel:\n  dist_backend: nccl  # from the cluster\n")
    shown = rft("gpu.present", "--fix", "--yes", "--config", str(file), CUDA_VISIBLE_DEVICES="")
    assert f"done: write parallel.dist_backend: gloo into {file}" in shown.stderr
    assert file.read_text().endswith("  dist_backend: gloo  # from the cluster\n")
    set_here = rft(
        "gpu.present", "--fix", "--yes", "--set", "parallel.dist_backend=nccl", CUDA_VISIBLE_DEVICES=""
    )
    assert "done" not in set_here.stderr
    assert "for you to do:\n  parallel.nccl-without-gpu: use gloo" in set_here.stderr
    assert set_here.returncode == 3


@pytest.mark.parametrize(("answer", "made"), [("y", True), ("n", False), ("", False)])
def test_fix_asks_before_it_does_anything(tmp_path: Path, answer: str, made: bool) -> None:
    ours, theirs = pty.openpty()
    gone = tmp_path / "gone"
    with subprocess.Popen(
        [sys.executable, "-m", "rftui", "doctor", "host.tmp", "--fix"],
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, "TMPDIR": str(gone)},
        text=True,
    ) as child:
        os.write(ours, f"{answer}\n".encode())
        out, _ = child.communicate(timeout=60)
    os.close(ours)
    os.close(theirs)
    assert f"mkdir -p {gone}" in out
    assert "do it?" in out
    assert gone.is_dir() is made
    assert ("left as it is" in out) is not made


def test_variables_of_the_shell_are_left_to_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    hidden = machine(gpus=()).but(environ={"CUDA_VISIBLE_DEVICES": ""})
    shown = on(hidden, "gpu.present", "--fix", "--yes", monkeypatch=monkeypatch)
    assert (
        "gpu.present: unset CUDA_VISIBLE_DEVICES (a program cannot change the shell it is started from)"
        in shown.stderr
    )


def test_the_documentation_lists_every_check() -> None:
    text = Path(__file__).parents[3].joinpath("docs", "doctor.md").read_text()
    rows: dict[str, Any] = {}
    for line in text.splitlines():
        if line.startswith("| `") and "." in line.split("`")[1]:
            id, tier, title = (cell.strip() for cell in line.strip("|").split("|")[:3])
            rows[id.strip("`")] = (tier, title)
    assert rows == {check.id: (check.tier, check.title) for check in all_checks()}
