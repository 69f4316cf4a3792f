"""Composition of rewards, a user's own function, and every way it can be wrong."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from engine.config.sections import RewardSection
from engine.findings import FindingsError
from engine.rewards.base import Scorer, Scores, build_scorer

RESPONSES = ["\\boxed{72}", "72", "#### 71"]
LABELS = ["72", "72", "72"]


def scorer(rule: str | None = None, fn: str | None = None) -> Scorer:
    return build_scorer(RewardSection(reward_rule=rule, reward_fn=fn))


def score(s: Scorer, responses: list[str] = RESPONSES) -> Scores:
    n = len(responses)
    return s.score(responses, LABELS[:n], [f"prompt {i}" for i in range(n)], list(range(n)))


def findings_of(rule: str | None = None, fn: str | None = None) -> list[str]:
    with pytest.raises(FindingsError) as caught:
        score(scorer(rule, fn))
    assert caught.value.exit_code == 2
    return [f"{f.id}: {f.cause}" for f in caught.value.findings]


def write(folder: Path, body: str) -> str:
    path = folder / "mine.py"
    path.write_text(body, encoding="utf-8")
    return str(path)


def test_rules_are_weighted_and_their_parts_kept() -> None:
    scores = score(scorer("gsm8k@0.5, exact"))
    assert scores.parts == {"gsm8k": [1.0, 1.0, 0.0], "exact": [0.0, 1.0, 0.0]}
    assert scores.total == [0.5, 1.5, 0.0]


def test_negative_weights_and_no_responses() -> None:
    assert score(scorer("exact@-2")).total == [0.0, -2.0, 0.0]
    assert score(scorer("exact"), []).total == []


def test_no_function_is_called_without_responses(tmp_path: Path) -> None:
    """A rank without a share of a small evaluation set has none."""
    path = write(tmp_path, "def f(responses, labels): return [1 / len(responses)] * len(responses)")
    scores = score(scorer("exact", f"{path}:f"), [])
    assert scores == Scores([], {"exact": [], f"{path}:f": []})


def test_the_prompt_is_not_scored() -> None:
    s = scorer("gsm8k,exact")
    assert s.score(["I do not know"], ["72"], ["Answer like \\boxed{72}: #### 72"], [None]).total == [0.0]


def test_own_function_with_just_two_arguments(tmp_path: Path) -> None:
    file = write(tmp_path, "def length(responses, labels):\n    return [len(r) for r in responses]\n")
    scores = score(scorer("exact@10", f"{file}:length"))
    assert scores.total == [10.0, 12.0, 7.0]
    assert scores.parts[f"{file}:length"] == [10.0, 2.0, 7.0]


@pytest.mark.parametrize(
    ("signature", "body"),
    [
        ("responses, labels, *, prompts", "len(prompts[i])"),
        ("responses, labels, prompts=None", "len(prompts[i])"),
        ("responses, labels, **more", "len(more['prompts'][i]) + 0 * more['references'][i]"),
        ("responses, labels, references, prompts", "len(prompts[i]) + 0 * references[i]"),
    ],
)
def test_own_function_gets_what_its_signature_asks_for(tmp_path: Path, signature: str, body: str) -> None:
    file = write(tmp_path, f"def f({signature}):\n    return [{body} for i, _ in enumerate(responses)]\n")
    assert score(scorer(fn=f"{file}:f")).total == [8.0, 8.0, 8.0]


def test_own_function_of_a_module_in_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my_rewards").mkdir()
    (tmp_path / "my_rewards/helper.py").write_text("value = 0.25\n", encoding="utf-8")
    code = "from my_rewards.helper import value\n\ndef f(responses, labels):\n    return [value] * 3\n"
    (tmp_path / "my_rewards/mine.py").write_text(code, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    assert score(scorer(fn="my_rewards.mine:f")).total == [0.25] * 3


@pytest.mark.parametrize(
    ("result", "said"),
    [
        ("[1.0]", "returned 1 values; expected 3 finite numbers"),
        ("[1.0, float('nan'), 0.0]", "returned 1 values that are not finite numbers"),
        ("[1.0, float('inf'), 0.0]", "not finite numbers"),
        ("[1.0, '1.0', None]", "returned 2 values that are not finite numbers"),
        ("None", "returned None (NoneType)"),
        ("0.5", "returned 0.5 (float)"),
        ("'abc'", "returned 'abc' (str)"),
        ("{1: 2, 3: 4, 5: 6}", "(dict)"),
        ("(r for r in responses)", "(generator)"),
        ("[[1.0], [2.0], [3.0]]", "returned 3 values that are not finite numbers"),
        ("1 / 0", "raised ZeroDivisionError: division by zero"),
    ],
)
def test_bad_results_name_the_function_and_what_was_expected(tmp_path: Path, result: str, said: str) -> None:
    file = write(tmp_path, f"def f(responses, labels):\n    return {result}\n")
    [finding] = findings_of(fn=f"{file}:f")
    assert finding.startswith("reward.fn-raised" if "raised" in said else "reward.bad-result")
    assert f"{file}:f" in finding
    assert said in finding


def test_a_function_that_raises_shows_where(tmp_path: Path) -> None:
    file = write(tmp_path, "def f(responses, labels):\n    return missing_name\n")
    with pytest.raises(FindingsError) as caught:
        score(scorer(fn=f"{file}:f"))
    assert any("line 2, in f" in line for line in caught.value.findings[0].evidence)


def test_other_number_types_are_numbers(tmp_path: Path) -> None:
    code = "import numpy as np\n\ndef f(responses, labels):\n    return np.array([True, False, True])\n"
    assert score(scorer(fn=f"{write(tmp_path, code)}:f")).total == [1.0, 0.0, 1.0]


@pytest.mark.parametrize(
    ("spec", "id", "said"),
    [
        ("{file}", "reward.fn-form", "does not name a function"),
        ("{file}:", "reward.fn-form", "does not name a function"),
        ("{file}:scores", "reward.fn-missing", "it has: score, three"),
        ("{file}:number", "reward.fn-not-callable", "is a int, not a function"),
        ("{file}:three", "reward.fn-signature", "missing a required argument: 'extra'"),
        ("{folder}/mime.py:score", "reward.fn-missing", "does not exist"),
        ("no_such_package.module:f", "reward.fn-import", "ModuleNotFoundError"),
        ("{folder}/broken.py:f", "reward.fn-import", "SyntaxError"),
    ],
)
def test_a_function_that_cannot_be_had(tmp_path: Path, spec: str, id: str, said: str) -> None:
    code = "number = 3\n\ndef score(responses, labels): ...\n\ndef three(responses, labels, extra): ...\n"
    file = write(tmp_path, code)
    (tmp_path / "broken.py").write_text("def f(:\n", encoding="utf-8")
    [finding] = findings_of(fn=spec.format(file=file, folder=tmp_path))
    assert finding.startswith(f"{id}: ")
    assert said in finding


def test_all_problems_at_once(tmp_path: Path) -> None:
    found = findings_of("gsm8, exact@heavy, math, math", f"{tmp_path}/none.py:f")
    assert [f.split(":")[0] for f in found] == [
        "reward.unknown-rule",
        "reward.bad-weight",
        "reward.rule-twice",
        "reward.fn-missing",
    ]


def test_unknown_rule_suggests_the_nearest() -> None:
    with pytest.raises(FindingsError) as caught:
        scorer("gsmk8")
    assert caught.value.findings[0].fixes[0].set == {"reward.reward_rule": "gsm8k"}


@pytest.mark.parametrize("rule", [None, "", " , "])
def test_no_reward_is_a_finding(rule: str | None) -> None:
    [finding] = findings_of(rule)
    assert finding.startswith("reward.missing")


def test_rewards_import_no_torch() -> None:
    code = (
        "import sys\n"
        "from engine.rewards.base import build_scorer\n"
        "from engine.config.sections import RewardSection\n"
        "s = build_scorer(RewardSection(reward_rule='gsm8k'))\n"
        "assert s.score(['\\\\boxed{\\\\sqrt{4}+x}'], ['2+x'], [''], [None]).total == [1.0]\n"
        "print([m for m in ('torch', 'transformers', 'numpy', 'datasets', 'sympy') if m in sys.modules])"
    )
    out: Any = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert out.stdout == "[]\n", out.stderr
