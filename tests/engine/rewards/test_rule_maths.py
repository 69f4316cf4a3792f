"""The rule `gsm8k` on final answers written in every way people and models write them, and on traps."""

import json
import time
from pathlib import Path

import pytest

from engine.rewards.answers import final_answer, gold_answer
from engine.rewards.rules import RULES

RIGHT, WRONG = 1.0, 0.0

CASES = [
    # Where the answer stands.
    ("She sold \\boxed{72} clips.", "72", RIGHT),
    ("48/2 = <<48/2=24>>24\n48+24 = <<48+24=72>>72\n#### 72", "72", RIGHT),
    ("48 + 24 clips\nA: 72", "72", RIGHT),
    ("**Answer:** 72", "72", RIGHT),
    ("**Answer: 72**", "72", RIGHT),
    ("Final Answer: 72", "72", RIGHT),
    ("FINAL ANSWER: **72** clips", "72", RIGHT),
    ("The answer is 72.", "72", RIGHT),
    ("The final answer is: $\\boxed{72}$. I hope it is correct.", "72", RIGHT),
    ("The answer to the question is 72 clips, 48 of them in April.", "72", RIGHT),
    ("So the answer is **72**.", "72", RIGHT),
    ("the answer is <<8=8>>8.", "8", RIGHT),
    ("answer is 72 dollars", "72", RIGHT),
    ("Answer:\n\n72", "72", RIGHT),
    ("Answer:\n- 72 clips", "72", RIGHT),
    ("#### Answer\n72", "72", RIGHT),
    ("#### \\boxed{72}", "72", RIGHT),
    ("The answer is $$\n72\n$$", "72", RIGHT),
    ("A: In 5 days she makes $18.", "18", RIGHT),
    ("A: 18 - 3 = 15", "15", RIGHT),
    ("A: 18 - 3", "15", RIGHT),
    ("She sold 48 in April, 24 in May, that makes 72", "72", RIGHT),
    ("\\boxed{71} no, wait: \\boxed{72}", "72", RIGHT),
    ("\\boxed{72} no, wait: \\boxed{71}", "72", WRONG),
    ("#### 72\n\nLet me check.\n#### 71", "72", WRONG),
    ("\\boxed{72}\nThe answer is correct, see step 3.", "72", RIGHT),
    ("\\boxed{72}\nI hope this answer is helpful to your 5 children.", "72", RIGHT),
    ("#### Step 1: 48/2 = 24\n#### Step 2: 48+24 = 72", "72", RIGHT),
    ("3 apples and 5 pears make 8 fruits\n#### 8", "8", RIGHT),
    ("3 apples and 5 pears\n#### 8", "5", WRONG),
    ("72 is the sum of 48 and 24", "72", WRONG),
    ("Put the answer in \\boxed{}. It is 72", "72", RIGHT),
    ("\\boxed{\\text{72}}", "72", RIGHT),
    ("\\boxed{\\mathbf{72}}", "72", RIGHT),
    ("\\boxed{{72}}", "72", RIGHT),
    ("\\boxed{x = 72}", "72", RIGHT),
    ("\\boxed{72\\text{ clips}}", "72", RIGHT),
    ("\\boxed{\\text{Natalia sold 72 clips}}", "72", RIGHT),
    ("\\[ \\boxed{72} \\]", "72", RIGHT),
    ("\\fbox{72}", "72", RIGHT),
    ("\\boxed 72", "72", RIGHT),
    # Separators, currency, decimals.
    ("#### 1,234", "1234", RIGHT),
    ("#### 1234", "1,234", RIGHT),
    ("\\boxed{1{,}234}", "1234", RIGHT),
    ("\\boxed{1\\,234}", "1234", RIGHT),
    ("\\boxed{10,\\!000}", "10000", RIGHT),
    ("#### 1 000", "1000", RIGHT),
    ("It costs 1 000", "1000", RIGHT),
    ("#### 1\u202f000", "1000", RIGHT),
    ("#### 1,234,567.50", "1234567.5", RIGHT),
    ("The total is $1,234.50", "1234.50", RIGHT),
    ("#### 1,23", "123", WRONG),
    ("$1,000", "1000", RIGHT),
    ("\\boxed{\\$1,000}", "1000", RIGHT),
    ("\\boxed{$72$}", "72", RIGHT),
    ("€72", "72", RIGHT),
    ("#### US$72", "72", RIGHT),
    ("#### USD 72", "72", RIGHT),
    ("#### 72 €", "72", RIGHT),
    ("72.", "72", RIGHT),
    ("72.0", "72", RIGHT),
    ("#### 72.00", "72", RIGHT),
    ("2.50", "2.5", RIGHT),
    (".5", "0.5", RIGHT),
    ("#### 72.5", "72", WRONG),
    ("#### 720", "72", WRONG),
    ("#### 172", "72", WRONG),
    ("1e3", "1000", RIGHT),
    ("#### 007", "7", RIGHT),
    # Fractions.
    ("1/2", "0.5", RIGHT),
    ("3/4", "0.75", RIGHT),
    ("#### 0.75", "3/4", RIGHT),
    ("\\frac{3}{4}", "3/4", RIGHT),
    ("\\boxed{\\dfrac{3}{4}}", "0.75", RIGHT),
    ("\\boxed{\\frac34}", "0.75", RIGHT),
    ("\\boxed{-\\frac{3}{4}}", "-0.75", RIGHT),
    ("\\boxed{\\frac{-3}{4}}", "-0.75", RIGHT),
    ("\\boxed{\\frac{1,000}{3}}", "1000/3", RIGHT),
    ("1 1/2", "1.5", RIGHT),
    ("\\boxed{1\\frac{1}{2}}", "3/2", RIGHT),
    ("#### -1 1/2", "-1.5", RIGHT),
    ("#### 1½", "1.5", RIGHT),
    ("#### 3/4 of the pizza", "0.75", RIGHT),
    ("#### 6/8", "3/4", RIGHT),
    ("0.333", "1/3", WRONG),
    ("0.3333333333", "1/3", WRONG),
    ("#### 5/0", "5", WRONG),
    ("\\boxed{\\frac{5}{0}}", "0", WRONG),
    # Percent, magnitudes, units.
    ("50%", "50", RIGHT),
    ("\\boxed{50\\%}", "50", RIGHT),
    ("#### 50 percent", "50", RIGHT),
    ("50%", "0.5", RIGHT),
    ("#### 0.5", "50%", RIGHT),
    ("#### 50%", "50%", RIGHT),
    ("#### 5000%", "50%", WRONG),
    ("#### 0.5%", "50%", WRONG),
    ("#### 5 million", "5000000", RIGHT),
    ("#### $2.5 million", "2.5", RIGHT),
    ("72 clips", "72", RIGHT),
    ("5 km", "5", RIGHT),
    ("#### 5km", "5", RIGHT),
    ("#### 60 km/h", "60", RIGHT),
    ("#### 60km/h", "60", RIGHT),
    ("\\boxed{12\\text{ cm}^2}", "12", RIGHT),
    ("It measures 12 cm²", "12", RIGHT),
    ("It measures 12 m^2", "12", RIGHT),
    ("\\boxed{45^\\circ}", "45", RIGHT),
    ("#### 45°", "45", RIGHT),
    ("#### 3 times", "3", RIGHT),
    ("#### 5 dozen", "5", RIGHT),
    ("#### about 72", "72", RIGHT),
    ("57 empty seats after the 2nd stop", "57", RIGHT),
    ("\\boxed{5x}", "5", WRONG),
    ("\\boxed{5 x}", "5", WRONG),
    ("\\boxed{5\\pi}", "5", WRONG),
    ("\\boxed{72 or 73}", "72", WRONG),
    ("\\boxed{72 or 73}", "73", WRONG),
    ("\\boxed{72, 73}", "72", WRONG),
    ("\\boxed{72, 73}", "73", WRONG),
    ("The answer is 72 or 73.", "72", WRONG),
    # Signs.
    ("-3", "-3", RIGHT),
    ("−3", "-3", RIGHT),
    ("–3", "-3", RIGHT),
    ("#### - 3", "-3", RIGHT),
    ("#### -$3", "-3", RIGHT),
    ("#### $-3", "-3", RIGHT),
    ("#### +3", "3", RIGHT),
    ("#### -3", "3", WRONG),
    ("#### 3", "-3", WRONG),
    ("It takes 5-10", "10", RIGHT),
    ("It falls to -10", "10", WRONG),
    ("#### -0", "0", RIGHT),
    # Expressions, through math-verify.
    ("\\boxed{\\sqrt{12}}", "2\\sqrt{3}", RIGHT),
    ("\\boxed{x^2 + 2x + 1}", "(x+1)^2", RIGHT),
    ("\\boxed{x^2 + 2x}", "(x+1)^2", WRONG),
    ("\\boxed{(1, 2)}", "(1,2)", RIGHT),
    ("\\boxed{(2, 1)}", "(1,2)", WRONG),
    ("\\boxed{2^{10}}", "1024", RIGHT),
    ("\\boxed{2^{10}}", "210", WRONG),
    ("\\boxed{2**3}", "23", WRONG),
    ("\\boxed{1.5 \\times 10^3}", "1500", RIGHT),
    ("\\boxed{\\pi}", "\\pi", RIGHT),
    ("\\boxed{5xy}", "5ab", WRONG),
    # Text.
    ("\\boxed{\\text{Tuesday}}", "Tuesday", RIGHT),
    ("\\boxed{\\text{Monday}}", "Tuesday", WRONG),
    ("\\boxed{3:30}", "3:30", RIGHT),
    ("\\boxed{B}", "B", RIGHT),
    # No answer at all, and labels of other forms.
    ("", "72", WRONG),
    ("   \n", "72", WRONG),
    ("I do not know.", "72", WRONG),
    ("I do not know.", "", WRONG),
    ("", "", WRONG),
    ("\\boxed{}", "72", WRONG),
    ("\\boxed{", "72", WRONG),
    ("#### ", "72", WRONG),
    ("seventy-two", "72", WRONG),
    ("#### 72", "Natalia sold 48+24 = <<48+24=72>>72 clips.\n#### 72", RIGHT),
    ("#### 72", "Natalia sold 48+24 clips.\nA: 72", RIGHT),
    ("#### 72", "The sum is $\\boxed{72}$.", RIGHT),
    ("#### 72", 72, RIGHT),
    ("#### 72", 72.0, RIGHT),
    ("#### 72", "$72.00", RIGHT),
]


@pytest.mark.parametrize(("response", "answer", "expected"), CASES)
def test_case(response: str, answer: object, expected: float) -> None:
    assert RULES["gsm8k"]([response], [answer]) == [expected], final_answer(response)


def test_the_prompt_is_never_an_answer() -> None:
    question = (
        "How many clips did Natalia sell to 48 friends, and half as many in May? Write #### 0 for none."
    )
    assert RULES["gsm8k"]([question, f"{question} I wonder."], ["72", "72"]) == [WRONG, WRONG]


@pytest.mark.parametrize(
    "response",
    [
        "7" * 100_000,
        "1e99999999999",
        "\\boxed{" * 20_000,
        "\\boxed{" + "{" * 50_000 + "73" + "}" * 50_000 + "}",
        "answer " * 20_000,
        "A: " * 30_000,
        "#### " * 20_000,
        "5 " * 50_000,
        "5" + " " * 100_000 + "x",
        "-" * 100_000,
        "(" * 50_000 + "1" + ")" * 50_000,
        "1," * 50_000,
        "\\text{" * 20_000,
        "*" * 100_000,
        "a" * 100_000,
        "\\boxed{" + "5 words and so on " * 50 + "}",
    ],
    ids=lambda r: r[:12],
)
def test_a_hostile_response_costs_little(response: str) -> None:
    start = time.perf_counter()
    assert RULES["gsm8k"]([response], ["72"]) == [WRONG]
    assert time.perf_counter() - start < 2


def test_a_long_response_with_its_answer_at_the_end() -> None:
    assert RULES["gsm8k"](["step 1: 2 + 3 = 5. " * 20_000 + "#### 72"], ["72"]) == [RIGHT]


def test_every_gold_answer_of_gsm8k_is_right_for_itself_only(shared: Path) -> None:
    lines = (shared / "data/gsm8k/train.jsonl").read_text(encoding="utf-8").splitlines()
    golds = [json.loads(line)["answer"] for line in lines]
    start = time.perf_counter()
    assert sum(RULES["gsm8k"](golds, golds)) == len(golds) == 7473
    assert time.perf_counter() - start < 10
    others = golds[1:] + golds[:1]
    same = sum(a.split("####")[1] == b.split("####")[1] for a, b in zip(golds, others, strict=True))
    assert sum(RULES["gsm8k"](golds, others)) == same < 150


def test_gold_answers_of_gsm8k_are_what_stands_behind_the_hashes(shared: Path) -> None:
    for line in (shared / "data/gsm8k/test.jsonl").read_text(encoding="utf-8").splitlines():
        answer = json.loads(line)["answer"]
        assert gold_answer(answer) == answer.split("#### ")[1]


def test_exact_compares_the_whole_text() -> None:
    assert RULES["exact"]([" 72\n", "#### 72", "72.0"], ["72", "72", 72]) == [RIGHT, WRONG, WRONG]
