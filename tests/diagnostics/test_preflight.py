"""What is checked before a run is created."""

import socket
from pathlib import Path

import pytest

from diagnostics import preflight
from diagnostics.gpu_reading import read_gpus
from diagnostics.hardware import Hardware
from diagnostics.nvml import Nvml
from engine.findings import Finding, FindingsError
from tests.diagnostics.fake_nvml import eight_h200

H200_MACHINE = Hardware("h", 192, 2**41, 2**41, gpus=read_gpus(Nvml(eight_h200())).gpus)


def test_runs_dir_below_a_file_is_unwritable_and_a_new_one_is_fine(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    assert _ids(preflight.check_runs_dir(file / "runs")) == ["run.dir-unwritable"]
    assert preflight.check_runs_dir(tmp_path / "a" / "b") == []
    assert not (tmp_path / "a").exists()


def test_little_space_is_told_with_the_amount(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "MIN_FREE_BYTES", 2**60)
    (finding,) = preflight.check_runs_dir(tmp_path)
    assert finding.id == "env.disk-full" and "MiB free" in finding.cause


def test_port_in_use_offers_one_that_is_free() -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        (finding,) = preflight.check_port(port)
        near = finding.fixes[1].set["parallel.master_port"]
        assert finding.id == "env.port-in-use" and preflight.check_port(near) == []
    assert preflight.check_port(None) == []


def test_model_paths(tmp_path: Path) -> None:
    model = tmp_path / "model"
    model.mkdir()
    (finding,) = preflight.check_model(str(model))
    assert finding.id == "model.path-invalid" and "it holds nothing" in finding.evidence
    (model / "config.json").write_text("{}")
    assert preflight.check_model(str(model)) == []
    assert _ids(preflight.check_model(str(model / "config.json"))) == ["model.path-invalid"]
    (finding,) = preflight.check_model(str(tmp_path / "modell"))
    assert finding.id == "model.path-missing" and str(model) in finding.fixes[0].text
    assert preflight.check_model("Qwen/Qwen2.5-0.5B") == []
    assert preflight.check_model("toy:sort") == []
    with pytest.raises(FindingsError, match="toy:sort"):
        preflight.check_model("toy:sorted")


def test_reward_functions(tmp_path: Path) -> None:
    file = tmp_path / "rewards.py"
    file.write_text("import not_run\nfrom math import sqrt as root\ndef score(r, l): ...\n")
    assert preflight.check_reward_fn(f"{file}:score") == []
    assert preflight.check_reward_fn(f"{file}:root") == []
    assert preflight.check_reward_fn("package.module:score") == []
    (finding,) = preflight.check_reward_fn(f"{file}:scores")
    assert finding.id == "reward.fn-missing" and finding.fixes[0].text == f"use {file}:score"
    assert _ids(preflight.check_reward_fn(str(file))) == ["reward.fn-invalid"]
    assert _ids(preflight.check_reward_fn(f"{tmp_path}/none.py:score")) == ["reward.fn-missing"]
    file.write_text("def score(:\n")
    (finding,) = preflight.check_reward_fn(f"{file}:score")
    assert finding.id == "reward.fn-invalid" and "line 1" in finding.cause


def test_ranks_and_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "torch_uses_gpus", lambda: True)
    assert preflight.check_ranks(8, H200_MACHINE, None) == []
    assert preflight.check_ranks(16, H200_MACHINE, "gloo") == []
    (finding,) = preflight.check_ranks(16, H200_MACHINE, None)
    assert finding.id == "env.too-few-gpus" and finding.fixes[0].set == {"parallel.nproc": 8}
    monkeypatch.setattr(preflight, "torch_uses_gpus", lambda: False)
    (finding,) = preflight.check_ranks(1, H200_MACHINE, None)
    assert (finding.id, finding.severity) == ("env.torch-cpu-build", "warning")


def _ids(findings: list[Finding]) -> list[str]:
    return [finding.id for finding in findings]
