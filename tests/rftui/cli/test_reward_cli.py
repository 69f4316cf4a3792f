"""`rft reward test` on recorded responses, as a user runs it."""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

RECORDS: list[dict[str, Any]] = [
    {"response": "So \\boxed{72}", "answer": "72", "is_correct": True, "id": "a"},
    {"response": "#### 71", "answer": "... #### 72", "is_correct": 0},
    {"response": "It is 1,000 dollars.", "answer": 1000, "is_correct": False},
    {"response": "", "answer": "72", "is_correct": 1},
]


def write(path: Path, records: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(r) + "\n" for r in records), encoding="utf-8")
    return path


def rft(*arguments: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "rftui", "reward", "test", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=cwd)


def as_json(*arguments: str | Path, cwd: Path | None = None) -> dict[str, Any]:
    out = rft(*arguments, "--json", cwd=cwd)
    assert out.returncode == 0, out.stderr
    assert out.stdout.count("\n") == 1
    report: dict[str, Any] = json.loads(out.stdout)
    return report


def ids_of(out: subprocess.CompletedProcess[str]) -> list[str]:
    assert out.returncode == 2, out.stdout + out.stderr
    assert "Traceback" not in out.stderr
    return [finding["id"] for finding in json.loads(out.stdout)["findings"]]


def test_json_has_exactly_these_keys_and_line_numbers(tmp_path: Path) -> None:
    file = write(tmp_path / "x.jsonl", RECORDS)
    file.write_text("\n" + file.read_text())
    assert as_json("--rule", "gsm8k", "--data", file) == {
        "n": 4,
        "mean": 0.5,
        "agreement": 0.5,
        "disagreements": [4, 5],
    }


def test_without_the_column_there_is_no_agreement(tmp_path: Path) -> None:
    file = write(tmp_path / "x.jsonl", [{k: v for k, v in r.items() if k != "is_correct"} for r in RECORDS])
    assert as_json("--rule", "gsm8k", "--data", file) == {
        "n": 4,
        "mean": 0.5,
        "agreement": None,
        "disagreements": [],
    }


def test_text_output(tmp_path: Path) -> None:
    out = rft("--rule", "gsm8k", "--data", write(tmp_path / "x.jsonl", RECORDS))
    assert out.returncode == 0, out.stderr
    assert "responses    4\nmean reward  0.5000\nagreement    0.5000  (2 disagree)\n" in out.stdout
    assert "line 3: reward 1, recorded as wrong; the response ends 'It is 1,000 dollars.'" in out.stdout


def test_csv_and_weights(tmp_path: Path) -> None:
    file = tmp_path / "x.csv"
    file.write_text('response,answer,is_correct\n"\\boxed{72}",72,True\n72,72,false\n', encoding="utf-8")
    report = as_json("--rule", "gsm8k@0.75,exact@0.25", "--data", file)
    assert report == {"n": 2, "mean": 0.875, "agreement": 0.5, "disagreements": [3]}


def test_own_function_gets_the_other_columns(tmp_path: Path) -> None:
    code = (
        "def f(responses, labels, prompts, references):\n"
        "    return [len(p) + r for p, r in zip(prompts, references)]\n"
    )
    (tmp_path / "mine.py").write_text(code, encoding="utf-8")
    file = write(tmp_path / "x.jsonl", [{"response": "", "answer": "", "question": "four", "reference": 0.5}])
    assert as_json("--fn", "mine.py:f", "--data", file, cwd=tmp_path)["mean"] == 4.5


def test_gold_solutions_of_gsm8k_as_responses(shared: Path, tmp_path: Path) -> None:
    lines = (shared / "data/gsm8k/test.jsonl").read_text(encoding="utf-8").splitlines()
    golds = [json.loads(line)["answer"] for line in lines]
    right = [{"response": g, "answer": g, "is_correct": True} for g in golds]
    others = golds[1:] + golds[:1]
    wrong = [
        {"response": g, "answer": o, "is_correct": g.split("####")[1] == o.split("####")[1]}
        for g, o in zip(golds, others, strict=True)
    ]
    report = as_json("--rule", "gsm8k", "--data", write(tmp_path / "x.jsonl", right + wrong))
    assert (report["n"], report["agreement"], report["disagreements"]) == (2638, 1.0, [])


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("", ["data.empty"]),
        ('{"response": "a", "answer": "b"}\n{"response": \n', ["data.malformed"]),
        ('{"respons": "a", "answer": "b"}\n', ["data.missing-column"]),
        ('{"response": "a", "answer": "b"}\n{"answer": "b"}\n', ["data.bad-row"]),
        ('{"response": 3, "answer": null, "is_correct": "maybe"}\n', ["data.bad-row", "data.bad-value"]),
        ('{"response": "a", "answer": "b", "is_correct": 2}\n', ["data.bad-value"]),
        ('{"response": "a", "answer": "b", "is_correct": []}\n', ["data.bad-value"]),
    ],
)
def test_bad_data(tmp_path: Path, text: str, ids: list[str]) -> None:
    (tmp_path / "x.jsonl").write_text(text, encoding="utf-8")
    assert ids_of(rft("--rule", "gsm8k", "--data", tmp_path / "x.jsonl", "--json")) == ids


def test_bad_data_in_words(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_text('{"response": "a", "answer": "b"}\nno\n', encoding="utf-8")
    out = rft("--rule", "gsm8k", "--data", tmp_path / "x.jsonl")
    assert out.returncode == 2
    assert "line 2: not valid JSON" in out.stderr


@pytest.mark.parametrize(
    ("arguments", "ids"),
    [
        (["--rule", "gsm8k", "--data", "none.jsonl"], ["data.not-found"]),
        (["--rule", "gsm8k", "--data", "."], ["data.format"]),
        (["--rule", "gsm8k", "--data", "org/name"], ["data.format"]),
        (["--rule", "gsmk8", "--data", "x.jsonl"], ["reward.unknown-rule"]),
        (["--fn", "none.py:f", "--data", "x.jsonl"], ["reward.fn-missing"]),
        (["--fn", "short.py:f", "--data", "x.jsonl"], ["reward.bad-result"]),
        (["--data", "x.jsonl"], ["reward.missing"]),
    ],
)
def test_bad_arguments(tmp_path: Path, arguments: list[str], ids: list[str]) -> None:
    write(tmp_path / "x.jsonl", RECORDS)
    (tmp_path / "short.py").write_text("def f(responses, labels):\n    return [1.0]\n", encoding="utf-8")
    assert ids_of(rft(*arguments, "--json", cwd=tmp_path)) == ids


def test_it_imports_no_torch_and_is_quick(tmp_path: Path) -> None:
    file = write(
        tmp_path / "x.jsonl", [*RECORDS, {"response": "\\boxed{2\\sqrt{3}}", "answer": "\\sqrt{12}"}]
    )
    code = (
        "import sys; from rftui.cli.reward import app\n"
        f"app(['test', '--rule', 'gsm8k', '--data', '{file}', '--json'], standalone_mode=False)\n"
        "print([m for m in ('torch', 'transformers', 'datasets', 'numpy', 'textual') if m in sys.modules])"
    )
    start = time.perf_counter()
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert time.perf_counter() - start < 10
    report, imported = out.stdout.splitlines()
    assert json.loads(report)["mean"] == 0.6
    assert imported == "[]"


def test_mistakes_in_rule_and_data_are_told_at_once_with_flags_of_this_command(tmp_path: Path) -> None:
    file = write(tmp_path / "x.jsonl", [{"response": "1"}])
    out = rft("--rule", "gsmk", "--data", file, "--json")
    assert ids_of(out) == ["reward.unknown-rule", "data.missing-column"]
    assert "(--rule gsm8k)" in rft("--rule", "gsmk", "--data", file).stderr
