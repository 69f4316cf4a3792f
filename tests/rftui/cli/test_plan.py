"""`rft plan` as a program."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from diagnostics.hardware import detect
from engine.footprint.terms import PHASES
from rftui.launch.prepare import prepare_new
from rftui.launch.start import create
from rftui.runs import planned
from tests.rftui.cli.test_app import rft

SEVEN = ("--pretrain", "Qwen/Qwen2.5-7B-Instruct")
A100 = ("--gpus", "8xA100-80")


def told(*args: str, code: int = 0) -> dict[str, Any]:
    """What `rft plan … --json` says in its last line."""
    done = rft("plan", *args, "--json")
    assert done.returncode == code, done.stderr
    return dict(json.loads(done.stdout.splitlines()[-1]))


def test_json_tells_everything_of_a_plan() -> None:
    plan = told("gsm8k", *SEVEN, *A100, "--dataset-size", "7473", "--price", "2", "--response-len", "300")
    assert plan["fits"] is True and 0 < plan["peak_gb"] < plan["free_gb"] < 86
    assert tuple(plan["phases"]) == PHASES and plan["peak_gb"] == max(plan["phases"].values())
    for phase, size in plan["phases"].items():
        assert sum(term["gb"] for term in plan["terms"][phase]) == pytest.approx(size, abs=0.02)
        assert all(term["formula"] and term["source"] for term in plan["terms"][phase])
    assert set(plan["reasons"]) == set(plan["chosen"]) and plan["chosen"]["fsdp"] is True
    assert plan["runner_up"]["values"] and plan["runner_up"]["cost"]
    assert plan["lengths"]["response"] == 300 and plan["times"]["samples_per_min"] > 0
    assert plan["run"]["iterations"] == 3 * (7473 // 64) and plan["run"]["usd"] > 0
    assert plan["batch"].startswith("a rollout samples 64 prompts × 8 responses")
    assert plan["host_gb"] > 0 and plan["disk_gb"] > 0 and plan["findings"] == []
    assert any("responses of 300 tokens" in line for line in plan["assumptions"])


def test_text_is_plain_where_it_is_piped_and_fits_eighty_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    done = rft("plan", "gsm8k", *SEVEN, *A100)
    assert done.returncode == 0 and "\x1b" not in done.stdout + done.stderr
    assert max(map(len, done.stdout.splitlines())) <= 120  # COLUMNS of the helper
    for word in (
        *PHASES,
        "fits: needs",
        "engine_tp_size",
        "Batches",
        "Time, roughly",
        "Runner-up",
        "Assumed",
    ):
        assert word in done.stdout


def test_given_values_and_what_ifs_stay() -> None:
    plan = told("gsm8k", *SEVEN, *A100, "--engine-tp-size", "4", "--set", "memory.adam_offload=true")
    assert plan["chosen"]["engine_tp_size"] == 4 and plan["chosen"]["adam_offload"] is True
    assert set(plan["given"]) == {"engine_tp_size", "adam_offload"}
    assert plan["reasons"]["adam_offload"] == "given by --set"


def test_no_preset_means_defaults_and_params_a_typical_model() -> None:
    assert told("--params", "7B", *A100)["model"]["params"] == pytest.approx(7e9, rel=0.15)
    plan = told(*SEVEN, *A100)
    assert plan["fits"] and plan["model"]["name"] == SEVEN[1]


def test_as_is_changes_nothing_and_says_whether_it_fits() -> None:
    assert told("gsm8k", *SEVEN, *A100, "--as-is")["chosen"] == {}
    plan = told("gsm8k", *SEVEN, "--gpus", "1xA100-80", "--as-is", code=3)
    assert plan["fits"] is False and plan["chosen"] == {}
    assert [finding["id"] for finding in plan["findings"]] == ["plan.does-not-fit"]


def test_what_does_not_fit_is_exit_code_3_with_fixes() -> None:
    done = rft("plan", "gsm8k", "--params", "70B", "--gpus", "1xA100-80")
    assert done.returncode == 3 and "does not fit" in done.stdout
    assert "error plan.does-not-fit: 70B does not fit" in done.stderr and "→" in done.stderr


def test_everything_wrong_is_told_at_once() -> None:
    done = rft(
        "plan", "gsm8k", "--pretrain", "Qwen/Qwen9-7B", "--gpus", "8xA1000", "--tempratur", "1", "--json"
    )
    assert done.returncode == 2
    ids = {finding["id"] for finding in json.loads(done.stdout)["findings"]}
    assert ids == {"model.unknown", "hardware.unknown-gpu", "config.unknown-key"}


@pytest.mark.parametrize(
    ("args", "id"),
    [
        ((), "plan.no-model"),
        ((*SEVEN, *A100, "--fsdp", "--zero-stage", "3"), "parallel.zero-with-fsdp"),
        ((*SEVEN, *A100, "--engine-tp-size", "3"), "parallel.tp-indivisible"),
        ((*SEVEN, *A100, "--nproc", "16"), "env.too-few-gpus"),
        ((*SEVEN, "--gpus", "6xA100-80"), "batch.tbs-indivisible"),
        ((*SEVEN, "--nodes", "2"), "plan.nodes-not-described"),
        ((*SEVEN, "--gpus", "lots"), "hardware.unknown-gpu"),
        (("--params", "seven", *A100), "model.size-invalid"),
        ((*SEVEN, *A100, "--response-len", "5000"), "plan.response-too-long"),
        ((*SEVEN, *A100, "--max-len", "10", "--prompt-max-len", "20"), "rollout.no-room-for-response"),
    ],
)
def test_bad_input_is_a_finding(args: tuple[str, ...], id: str) -> None:
    done = rft("plan", "gsm8k", *args, "--json")
    assert done.returncode == 2 and "Traceback" not in done.stderr
    found = json.loads(done.stdout)["findings"]
    assert id in {finding["id"] for finding in found} and all(finding["fixes"] for finding in found)


def test_a_written_plan_is_a_preset_that_is_taken_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    plan = told("gsm8k", *SEVEN, *A100, "--write", str(file))
    assert "fsdp: true  # shards all states over 8 ranks" in file.read_text()
    again = told(str(file), *A100)
    assert again["chosen"] == plan["chosen"]
    assert set(again["given"]) == set(plan["chosen"]) - {"engine_type"}
    assert plan["chosen"]["engine_type"] == "vllm" and "engine_type" not in file.read_text()  # only assumed
    done = rft("plan", "gsm8k", *SEVEN, *A100, "--write", str(tmp_path / "no" / "mine.yaml"))
    assert done.returncode == 3 and "plan.not-written" in done.stderr


def test_comparison_shows_both_side_by_side(tmp_path: Path) -> None:
    file = tmp_path / "long.yaml"
    file.write_text("rollout: {max_len: 8192, prompt_max_len: 512}\n")
    done = rft("plan", "--compare", "gsm8k", str(file), *SEVEN, *A100)
    assert done.returncode == 0, done.stderr
    rows = [re.split(r"\s{2,}", line.strip()) for line in done.stdout.splitlines()]
    assert ["max_len", "1536", "8192"] in rows
    assert {row[0] for row in rows} >= {"update, GB", "time of iteration", "tokens/s", "fits"}
    both = told("--compare", "gsm8k", "gsm8k", *SEVEN, *A100, "--price", "2")["compare"]
    assert [plan["name"] for plan in both] == ["gsm8k"] * 2 and all(plan["fits"] for plan in both)


def test_comparison_ends_with_3_if_one_does_not_fit(tmp_path: Path) -> None:
    large = tmp_path / "large.yaml"
    large.write_text("model: {pretrain: Qwen/Qwen2.5-72B-Instruct}\n")
    small = tmp_path / "small.yaml"
    small.write_text("model: {pretrain: Qwen/Qwen2.5-0.5B-Instruct}\n")
    priced = ("--gpus", "1xA100-80", "--dataset-size", "1000", "--price", "2")
    first, second = told("--compare", str(small), str(large), *priced, code=3)["compare"]
    assert first["fits"] and not second["fits"] and first["run"]["usd"] > 0
    done = rft("plan", "--compare", str(small), str(large), *priced)
    assert done.returncode == 3 and re.search(r"^ *USD +\d", done.stdout, re.MULTILINE)


def test_a_run_is_compared_as_it_is(tmp_path: Path) -> None:
    prepared = prepare_new("quickstart", [], runs_dir=tmp_path, name="one", hardware=detect())
    create(prepared, tmp_path, "one")
    names = ("--compare", "quickstart", "one", "--runs-dir", str(tmp_path))
    preset, run = told(*names, "--gpus", "1xA100-80")["compare"]
    assert preset["runner_up"] and run["runner_up"] is None
    assert set(run["chosen"]) == set(run["given"])


def test_a_name_that_cannot_be_compared_is_no_preset_and_no_run(tmp_path: Path) -> None:
    (tmp_path / "gsm9k-1").mkdir()
    (tmp_path / "gsm9k-1" / "run.json").write_text("{}")
    done = rft("plan", "--compare", "gsm8k", "gsm9k", *SEVEN, *A100, "--runs-dir", str(tmp_path))
    assert done.returncode == 2 and f"no preset, no file and no run in {tmp_path}" in done.stderr
    assert "did you mean gsm8k?" in done.stderr and "use gsm9k-1" in done.stderr
    assert len(json.loads(rft("plan", "--compare", "a", "b", "--json").stdout)["findings"]) == 2


def test_cases_get_one_answer_a_line(shared: Path) -> None:
    cases = shared / "data" / "planner" / "cases.jsonl"
    done = rft("plan", "--case", str(cases), "--json")
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0 and len(answers) == len(cases.read_text().splitlines())
    assert all(answer.keys() >= {"fits", "peak_gb", "host_gb", "missing"} for answer in answers)
    table = rft("plan", "--case", str(cases))
    assert len(table.stdout.splitlines()) == len(answers) + 1
    done = rft("plan", "--case", "nowhere.jsonl")
    assert done.returncode == 2 and "case.file-unreadable" in done.stderr


def test_a_case_without_answer_is_exit_code_2_after_all_lines(tmp_path: Path) -> None:
    file = tmp_path / "cases.jsonl"
    file.write_text('no case\n{"model": "Qwen2.5-7B", "n_gpus": 0, "gpu": "A100", "gpu_mem_gb": 80}\n')
    done = rft("plan", "--case", str(file), "--json")
    wrong, answered = map(json.loads, done.stdout.splitlines())
    assert done.returncode == 2 and wrong["error"]["id"] == "case.not-json"
    assert answered["peak_gb"] > 0 and "n_gpus" in answered["missing"]
    assert rft("plan", "--case", str(file)).returncode == 2


@pytest.mark.parametrize("subject", [("gsm8k", "--params", "1B"), ("quickstart",)])
def test_typical_models_and_toys_are_simulated_as_planned(subject: tuple[str, ...]) -> None:
    plan = told(*subject, "--gpus", "2xA100-80", "--fsdp", "--simulate", "2")
    assert plan["agreement"] and {line["phase"] for line in plan["agreement"]} <= set(PHASES)
    for line in plan["agreement"]:
        assert line["simulated"] == pytest.approx(line["planned"], rel=0.05)


@pytest.mark.parametrize(
    "option",
    [
        ("--host-memory", "inf"),
        ("--response-len", "nan"),
        ("--price", "inf"),
        ("--simulate", "0"),
        ("--simulate", "1025"),
    ],
)
def test_numbers_out_of_range_are_usage_errors(option: tuple[str, str]) -> None:
    done = rft("plan", "gsm8k", *SEVEN, *A100, *option)
    assert done.returncode == 2 and done.stdout == ""
    assert f"Invalid value for '{option[0]}'" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("args", "causes"),
    [
        (
            ("gsm8k", "--case", "x.jsonl", "--write", "y.yaml", "--max-len", "10"),
            ["gsm8k, --write, --max-len have no effect with --case."],
        ),
        (
            ("gsm8k", "--compare", "a", "b", "--simulate", "2", "--params", "7B", "--pretrain", "c"),
            ["gsm8k, --simulate have no effect with --compare.", "--pretrain has no effect with --params."],
        ),
        (
            ("--params", "7B", "--set", "model.pretrain=c"),
            ["--set model.pretrain=c has no effect with --params."],
        ),
    ],
)
def test_what_would_be_ignored_is_refused(args: tuple[str, ...], causes: list[str]) -> None:
    done = rft("plan", *args, "--json")
    assert done.returncode == 2
    assert [finding["cause"] for finding in json.loads(done.stdout)["findings"]] == causes


def test_a_plan_that_does_not_fit_is_not_written_and_no_advice(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    large = ("gsm8k", "--params", "70B", "--gpus", "1xA100-80", "--write", str(file))
    plan = told(*large, code=3)
    assert not file.exists() and plan["advice"] is False
    assert {finding["id"] for finding in plan["findings"]} >= {"plan.does-not-fit", "plan.not-written"}
    done = rft("plan", *large)
    assert done.returncode == 3 and f"nothing was written to {file}" in done.stderr


def test_launch_fills_what_is_open_and_as_is_does_not(tmp_path: Path) -> None:
    open_there = ("launch", "quickstart", "--dry-run", "--json", "--runs-dir", str(tmp_path))
    dry = json.loads(rft(*open_there).stdout)
    chosen = {key for key, source in dry["sources"].items() if source == "planner"}
    assert "memory.gradient_checkpointing" in chosen and "batch.max_tokens_per_micro_batch" not in chosen
    assert dry["plan"]["fits"] and dry["plan"]["reasons"]["gradient_checkpointing"]
    exact = json.loads(rft(*open_there, "--as-is").stdout)
    assert "planner" not in exact["sources"].values() and set(exact["plan"]["chosen"]) == set(
        exact["plan"]["given"]
    )


def test_a_new_run_keeps_its_plan(tmp_path: Path) -> None:
    prepared = prepare_new("quickstart", [], runs_dir=tmp_path, name="one", hardware=detect())
    kept = planned.read(create(prepared, tmp_path, "one"))
    assert kept is not None and prepared.plan is not None
    assert kept.footprint == prepared.plan.footprint and kept.model == "toy:sort"
    assert set(kept.chosen) == set(kept.reasons) & set(kept.chosen) and kept.chosen
    assert "planner" in (tmp_path / "one" / "config.yaml").read_text()


def test_a_model_of_unknown_shape_is_launched_unplanned(tmp_path: Path) -> None:
    model = tmp_path / "model"
    model.mkdir()
    (model / "config.json").write_text('{"model_type": "nobody-knows"}')
    done = rft(
        *("launch", "quickstart", "--dry-run", "--json", "--pretrain", str(model)),
        *("--runs-dir", str(tmp_path / "runs")),
    )
    assert done.returncode == 0, done.stderr + done.stdout
    dry = json.loads(done.stdout)
    assert dry["plan"] is None and "planner" not in dry["sources"].values()
    (finding,) = dry["findings"]
    assert finding["id"] == "plan.no-shape" and finding["severity"] == "warning"
    assert "(gradient_checkpointing = false)" in finding["cause"]
    assert "micro_train_batch_size" not in finding["cause"]
