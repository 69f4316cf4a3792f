"""Published cases: what they are read as, bad ones, and the scores that have to hold."""

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.planner_cases import CASES, complete, cross_validate, read_rows, score
from diagnostics.trainers.cases import answer, evaluate_file
from diagnostics.trainers.read_case import read_case
from engine.findings import FindingsError

ROW: dict[str, Any] = {
    "model": "Qwen2.5-7B-Instruct",
    "params_b": 7.616,
    "gpu": "A100",
    "gpu_gb": 80,
    "n_gpus": 4,
    "nodes": 1,
    "algo": "sft",
    "backend": "deepspeed",
    "zero_stage": 3,
    "offload": "none",
    "prompt_len": 8192,
    "response_len": None,
    "micro_train_batch": 1,
    "grad_ckpt": True,
    "lora": None,
    "source": "modelscope/ms-swift:examples/train/liger/sft.sh",
    "note": "evidence=measured; packed 8192, liger fused CE; peak in GiB",
}


def case(**changes: Any) -> dict[str, Any]:
    return {**ROW, **changes}


def test_a_complete_row_assumes_nothing_and_answers_in_the_notes_unit() -> None:
    gib, gb = answer(ROW), answer(case(note=ROW["note"].replace("GiB", "GB as written")))
    assert gib.fits and gib.missing == []
    assert gb.peak_gb == pytest.approx(gib.peak_gb * 2**30 / 1e9, abs=0.01)


def test_what_had_to_be_assumed_is_named() -> None:
    row = {"model": "7B class", "params_b": 7, "algo": "grpo", "backend": "fsdp+vllm", "source": "new/one"}
    missing = answer(row).missing
    assert {"framework", "gpu_gb", "n_gpus", "prompt_len", "response_len", "micro_train_batch"} <= set(
        missing
    )
    assert {"model", "grad_ckpt", "offload", "mem_util"} <= set(missing)
    assert len(missing) == len(set(missing))


@pytest.mark.parametrize(
    ("name", "params_b", "shape"),
    [
        ("Qwen2.5-7B-Instruct", 7.616, "Qwen2.5-7B"),
        ("QwQ-32B", 32.764, "Qwen2.5-32B"),
        ("Llama-3-8B", 8.03, "Llama-3.1-8B"),
    ],
)
def test_a_models_own_dimensions_are_used(name: str, params_b: float, shape: str) -> None:
    found = read_case(case(model=name, params_b=params_b))
    assert shape.lower() in found.setup.shape.name.lower() or found.setup.params == pytest.approx(
        params_b * 1e9, rel=0.01
    )
    assert "model" not in found.missing


@pytest.mark.parametrize(("name", "params_b"), [("70B class", 70), ("Foo-13B", 13), ("Foo", 3.3)])
def test_a_size_stands_for_an_unknown_model(name: str, params_b: float) -> None:
    found = read_case(case(model=name, params_b=params_b))
    assert found.setup.params == params_b * 1e9
    assert found.setup.shape.params == pytest.approx(params_b * 1e9, rel=0.05)
    assert "model" in found.missing


def test_tokens_are_the_packed_length_the_budget_or_one_cap_and_shares_of_others() -> None:
    tokens = [
        read_case(case(**changes)).setup.tokens
        for changes in (
            {},
            {"note": "packed 8192, SP8"},
            {"note": "max_token_len_per_gpu=16384"},
            {"note": "", "micro_train_batch": 5},
            {"note": "", "micro_train_batch": 2, "algo": "grpo", "response_len": 1024},
            {"note": "GSM8K", "micro_train_batch": 3, "source": "volcengine/verl:a", "algo": "grpo"},
            {"note": "", "algo": "dpo"},
        )
    ]
    verl = 8192 + 1024 + 2 * 334
    assert tokens == [8192, 1024, 16384, 8192 * 2, 2 * (8192 + 1024), verl, 2 * 8192]


@pytest.mark.parametrize(
    ("words", "moved"),
    [
        ("none", set()),
        ("optimizer cpu", {"optimizer"}),
        ("param+optimizer cpu", {"params", "optimizer"}),
        ("model+optimizer cpu in rollout", {"idle"}),
        ("cpu", {"params", "optimizer"}),
        ("no cpu offload", set()),
    ],
)
def test_offload_words(words: str, moved: set[str]) -> None:
    assert read_case(case(offload=words)).setup.offload == moved


def test_host_memory_that_the_note_names_decides_too() -> None:
    row = case(offload="param+optimizer cpu", note="evidence=reported; 96 GB node")
    assert not answer(row).fits
    assert answer(case(offload="param+optimizer cpu", note="evidence=reported; 960 GB node")).fits


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"gpu_gb": -80}, "gpu_gb"),
        ({"n_gpus": "many"}, "n_gpus"),
        ({"micro_train_batch": float("nan")}, "micro_train_batch"),
        ({"zero_stage": 4}, "zero_stage"),
        ({"mem_util": 1.5, "backend": "deepspeed+vllm"}, "mem_util"),
        ({"grad_ckpt": True, "params_b": True}, "params_b"),
    ],
)
def test_an_impossible_value_is_a_finding(changes: dict[str, Any], param: str) -> None:
    with pytest.raises(FindingsError) as caught:
        answer(case(**changes))
    assert [finding.param for finding in caught.value.findings] == [param]


def test_a_file_has_one_answer_a_line_in_order_and_bad_lines_do_not_stop_it(tmp_path: Path) -> None:
    lines = [
        json.dumps(ROW),
        "{not json",
        "[1, 2]",
        json.dumps(case(model=None, params_b=None)),
        json.dumps(case(model=["a"], note=7, backend=None, source={})),
        "[" * 100_000,
        json.dumps(case(gpu_gb=24)),
    ]
    file = tmp_path / "cases.jsonl"
    file.write_text("\n".join(lines) + "\n")
    answers = list(evaluate_file(file))
    assert ["error" in found for found in answers] == [False, True, True, True, False, True, False]
    assert list(answers[0]) == ["fits", "peak_gb", "host_gb", "missing"]
    assert (answers[0]["fits"], answers[6]["fits"]) == (True, False)
    assert answers[1]["error"]["id"] == "case.not-json"
    json.dumps(answers)


needs_cases = pytest.mark.skipif(not CASES.is_file(), reason="published cases are not beside the repository")


@needs_cases
def test_outcomes_and_peaks_of_published_cases_are_predicted() -> None:
    figures = score(read_rows())
    assert figures["recall_fits"] >= 0.90
    assert figures["recall_oom"] >= 0.80
    assert figures["median_error"] <= 0.10
    assert len(figures["misses"]) <= 4


@needs_cases
def test_the_fitted_constant_holds_on_projects_it_was_not_fitted_to() -> None:
    for result in cross_validate(read_rows()):
        assert result["held"]["median_error"] <= 0.13
        assert result["held"]["recall_fits"] >= 0.90


@needs_cases
def test_rows_that_nobody_measured_are_not_scored() -> None:
    rows = [row for row in read_rows() if "evidence=shipped" in row["note"]]
    assert rows and not any(map(complete, rows))
