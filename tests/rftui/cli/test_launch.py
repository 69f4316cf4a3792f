"""`rft launch` up to the moment a run would be created."""

import json
import socket
from pathlib import Path

from tests.rftui.cli.test_app import rft


def test_dry_run_shows_origin_arithmetic_and_command_and_creates_nothing(tmp_path: Path) -> None:
    done = rft(
        *("launch", "quickstart", "--dry-run", "--nproc", "2", "--name", "mine", "--temperature", "0.7"),
        *("--set", "run.seed=7", "--runs-dir", str(tmp_path / "runs")),
    )
    assert done.returncode == 0, done.stderr
    rows = [line.split() for line in done.stdout.splitlines()]
    assert ["rollout.temperature", "0.7", "flag"] in rows
    assert ["run.seed", "7", "--set"] in rows
    assert ["data.prompt_data", "toy:sort", "preset", "quickstart"] in rows
    assert "2 ranks" in done.stdout
    run_dir = tmp_path / "runs" / "mine"
    assert f"-m engine.train --config {run_dir}/config.yaml --run_dir {run_dir}" in done.stdout
    assert f"RFTUI_RUN_DIR={run_dir} PYTHONSAFEPATH=1" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_dry_run_shows_brackets_as_they_are(tmp_path: Path) -> None:
    template = "[INST] {input} [/INST]"
    done = rft("launch", "quickstart", "--dry-run", "--input-template", template, "--runs-dir", str(tmp_path))
    assert done.returncode == 0 and template in done.stdout


def test_dry_run_as_json_is_one_object(tmp_path: Path) -> None:
    done = rft("launch", "quickstart", "--dry-run", "--json", "--runs-dir", str(tmp_path))
    told = json.loads(done.stdout)
    assert told["sources"]["model.pretrain"] == "preset quickstart"
    assert told["config"]["model"]["pretrain"] == "toy:sort"
    assert "--nproc-per-node" in told["command"] and told["env"]["PYTHONSAFEPATH"] == "1"


def test_everything_wrong_is_told_at_once_and_nothing_is_created(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        done = rft(
            *(
                "launch",
                "quickstart",
                "--json",
                "--name",
                "a b",
                "--runs-dir",
                str(tmp_path / "file" / "runs"),
            ),
            *(
                "--tempratur",
                "1",
                "--top-p",
                "7",
                "--prompt-data",
                "nowhere.jsonl",
                "--pretrain",
                "./nowhere",
            ),
            *("--reward-fn", "nowhere.py:f", "--master-port", str(holder.getsockname()[1])),
            cwd=tmp_path,
        )
    assert done.returncode == 2
    ids = {finding["id"] for finding in json.loads(done.stdout)["findings"]}
    assert ids >= {
        *("run.name-invalid", "run.dir-unwritable", "config.unknown-key", "config.out-of-range"),
        *("data.not-found", "model.path-missing", "reward.fn-missing", "env.port-in-use"),
    }
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_machine_at_fault_alone_is_exit_code_3(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = rft("launch", "quickstart", "--runs-dir", str(tmp_path / "file" / "runs"))
    assert done.returncode == 3
    assert "run.dir-unwritable" in done.stderr


def test_used_name_and_indivisible_batch(tmp_path: Path) -> None:
    (tmp_path / "used").mkdir()
    done = rft(
        *("launch", "quickstart", "--name", "used", "--runs-dir", str(tmp_path), "--nproc", "3"),
    )
    assert done.returncode == 2
    assert "run.name-used" in done.stderr and "batch.tbs-indivisible" in done.stderr
    assert list((tmp_path / "used").iterdir()) == []


def test_malformed_data_names_its_line(tmp_path: Path) -> None:
    data = tmp_path / "data.jsonl"
    data.write_text('{"input": "1", "label": "1"}\n{"input": \n')
    done = rft("launch", "quickstart", "--prompt-data", str(data), "--runs-dir", str(tmp_path / "runs"))
    assert done.returncode == 2 and "line 2" in done.stderr
    assert not (tmp_path / "runs").exists()


def test_unknown_preset_names_the_nearest(tmp_path: Path) -> None:
    done = rft("launch", "quickstat", "--runs-dir", str(tmp_path))
    assert done.returncode == 2 and "did you mean quickstart?" in done.stderr
