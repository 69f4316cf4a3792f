"""Data checks before a run exists: every problem at once, with line numbers and names that would work."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from engine.config.sections import DataSection
from engine.data.validate import check_source
from engine.findings import Finding
from engine.toy.tasks import TASKS

TOY = f"toy:{next(iter(TASKS))}"
DATA = DataSection(input_key="question", label_key="answer")


def check(spec: str | Path, data: DataSection = DATA) -> tuple[list[Finding], int | None]:
    return check_source(str(spec), data, "prompt_data")


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def only(found: tuple[list[Finding], int | None], id: str) -> Finding:
    [finding] = found[0]
    assert found[1] is None
    assert finding.id == id
    assert finding.fixes
    return finding


def test_real_data_has_no_findings(shared: Path) -> None:
    train, test = shared / "data/gsm8k/train.jsonl", shared / "data/gsm8k/test.jsonl"
    assert check(train) == ([], 7473)
    assert check(f"{train}, {test}") == ([], 7473 + 1319)
    assert check(shared / "data/gsm8k") == ([], None)


def test_malformed_lines_are_named_and_capped(tmp_path: Path) -> None:
    good = '{"question": "q", "answer": "a"}'
    lines = [good, '{"question": "q", "answer": }', good, "", "[1]", '{"question": "q", "answer": "a"', good]
    finding = only(check(write(tmp_path / "x.jsonl", "\n".join(lines))), "data.malformed")
    assert finding.evidence == (
        "line 2: not valid JSON: invalid character, column 29",
        "line 5: expected object, got array",
        "line 6: not valid JSON: input data was truncated",
    )
    many = only(check(write(tmp_path / "y.jsonl", f"{good}\n" + "oops\n" * 100)), "data.malformed")
    assert "100 malformed of 101 lines" in many.cause
    assert many.evidence[4].startswith("line 6:")
    assert many.evidence[5:] == ("… and 95 more",)


def test_text_that_is_not_utf8_names_its_line(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(b'{"question": "q", "answer": "a"}\n{"question": "\xff", "answer": "a"}\n')
    assert only(check(path), "data.malformed").evidence == ("line 2: not valid UTF-8",)


@pytest.mark.parametrize("name", ["x.jsonl", "x.json", "x.csv"])
@pytest.mark.parametrize("text", ["", "\n\n"])
def test_empty_file(tmp_path: Path, name: str, text: str) -> None:
    only(check(write(tmp_path / name, text)), "data.empty")


def test_missing_column_names_those_present_and_the_nearest(tmp_path: Path) -> None:
    finding = only(
        check(write(tmp_path / "x.jsonl", '{"questions": "q", "answer": "a", "id": 1}\n')),
        "data.missing-column",
    )
    assert "no column 'question' (input_key); it has: answer, id, questions" in finding.cause
    assert finding.fixes[0].set == {"data.input_key": "questions"}


def test_rows_that_cannot_be_used(tmp_path: Path) -> None:
    rows = [
        {"question": "q", "answer": "a"},
        {"question": 3, "answer": "a"},
        {"question": "q"},
        {"question": " ", "answer": 0},
        {"question": "q", "answer": None},
        {"question": [{"role": "user", "content": "q"}], "answer": 0},
    ]
    text = "\n".join(json.dumps(row) for row in rows)
    assert only(check(write(tmp_path / "x.jsonl", text)), "data.bad-row").evidence == (
        "line 2: column 'question' holds int 3, not text or a list of messages",
        "line 3: no column 'answer'",
        "line 4: column 'question' is empty",
        "line 5: no value in column 'answer'",
    )


def test_all_problems_of_all_sources_at_once(tmp_path: Path) -> None:
    bad = write(tmp_path / "bad.jsonl", '{"q": "q"}\n{"q": \n')
    data = DATA.model_copy(update={"reference_key": "proof"})
    findings, _ = check(f"{bad},{tmp_path}/none.jsonl,no such thing", data)
    assert [f.id for f in findings] == [
        "data.not-found",
        "data.not-found",
        "data.malformed",
        "data.missing-column",
        "data.missing-column",
        "data.missing-column",
    ]


@pytest.mark.parametrize(
    "spec", ["/no/where", "./data", "../nothing/x", "~/no-such-data", "train.jsonl", "gsm8k"]
)
def test_what_looks_like_a_path_must_exist(
    spec: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert only(check(spec), "data.not-found").param == "data.prompt_data"


def test_a_path_that_is_nearly_right(tmp_path: Path) -> None:
    write(tmp_path / "train.jsonl", "{}")
    assert (
        str(tmp_path / "train.jsonl") in only(check(tmp_path / "trian.jsonl"), "data.not-found").fixes[0].text
    )


@pytest.mark.parametrize("spec", ["openai/gsm8k", "openai/gsm8k:main"])
def test_hub_ids_are_not_looked_up(spec: str) -> None:
    assert check(spec) == ([], None)


def test_other_file_formats_are_refused(tmp_path: Path) -> None:
    assert "'.txt'" in only(check(write(tmp_path / "x.txt", "text")), "data.format").cause


def test_json_array_and_lines(tmp_path: Path) -> None:
    row = '{"question": "q", "answer": 1}'
    assert check(write(tmp_path / "a.json", f"\n[{row}, {row}]")) == ([], 2)
    assert check(write(tmp_path / "b.json", f"{row}\n{row}\n{row}")) == ([], 3)
    only(check(write(tmp_path / "c.json", f"[{row}, {row}")), "data.malformed")


def test_csv(tmp_path: Path) -> None:
    assert check(write(tmp_path / "a.csv", 'question,answer\n"a,\nb",1\nc,2\n')) == ([], 2)
    ragged = only(check(write(tmp_path / "b.csv", "question,answer\nq,1\nq,1,2\n")), "data.malformed")
    assert ragged.evidence == ("line 3: 3 fields, but the header has 2",)
    assert "it has: a, b" in check(write(tmp_path / "c.csv", "a,b\n1,2\n"))[0][0].cause


def test_parquet(tmp_path: Path) -> None:
    pq.write_table(pa.table({"question": ["q"] * 3, "answer": [1, 2, 3]}), tmp_path / "a.parquet")
    assert check(tmp_path / "a.parquet") == ([], 3)
    pq.write_table(pa.table({"q": ["q"], "answer": [1]}), tmp_path / "b.parquet")
    assert "it has: q, answer" in only(check(tmp_path / "b.parquet"), "data.missing-column").cause
    pq.write_table(pa.table({"question": [], "answer": []}), tmp_path / "c.parquet")
    only(check(tmp_path / "c.parquet"), "data.empty")
    only(check(write(tmp_path / "d.parquet", "not parquet")), "data.malformed")


def test_folder(tmp_path: Path) -> None:
    only(check(tmp_path), "data.empty")
    write(tmp_path / "train.jsonl", '{"question": "q", "answer": 1}\n')
    write(tmp_path / "test.jsonl", "{\n")
    write(tmp_path / "meta.csv", "a\n1\n")
    assert str(tmp_path / "test.jsonl") in only(check(tmp_path), "data.malformed").cause


def test_toy_tasks(tmp_path: Path) -> None:
    findings, count = check(TOY, DataSection())
    assert not findings
    assert count
    only(check("toy:no-such-task", DataSection()), "data.unknown-toy-task")
    only(check(TOY, DataSection(prompt_split="validation")), "data.unknown-split")
    only(check(TOY, DataSection(input_key="question")), "data.missing-column")


def test_unreadable_file(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").symlink_to("/proc/self/mem")
    only(check(tmp_path / "x.jsonl"), "data.unreadable")


def test_a_large_file_is_checked_line_by_line_in_reasonable_time(tmp_path: Path) -> None:
    line = json.dumps({"question": "q" * 2000, "answer": "72"}) + "\n"
    path = write(tmp_path / "x.jsonl", line * 50_000 + "{\n")
    start = time.perf_counter()
    assert only(check(path), "data.malformed").evidence == (
        "line 50001: not valid JSON: input data was truncated",
    )
    assert time.perf_counter() - start < 5  # 100 MB


def test_checking_imports_nothing_heavy(tmp_path: Path) -> None:
    path = write(tmp_path / "x.jsonl", '{"input": "q", "label": 1}\n')
    code = (
        "import sys\n"
        "from engine.config.sections import DataSection\n"
        "from engine.data.validate import check_source\n"
        f"assert check_source('{path},{TOY}', DataSection(), 'prompt_data')[0] == []\n"
        "heavy = ('torch', 'transformers', 'datasets', 'pyarrow', 'numpy')\n"
        "print([m for m in heavy if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert out.stdout == "[]\n", out.stderr
