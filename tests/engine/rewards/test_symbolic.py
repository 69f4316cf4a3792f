"""math-verify behind a process of its own: answers, bombs, threads."""

import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from engine.rewards import symbolic
from engine.rewards.symbolic import equivalent


def test_equivalent_expressions() -> None:
    assert equivalent("\\frac{\\sqrt{12}}{2}", "\\sqrt{3}")
    assert not equivalent("\\frac{\\sqrt{12}}{2}", "\\sqrt{2}")


@pytest.mark.parametrize(
    "bomb", ["9^{9^{9^9}}", "10^{10^{10}}!", "(x+1)^{100000}", "\\sum_{k=1}^{10^{12}} k^k"]
)
def test_a_bomb_ends_at_its_time_limit_and_the_next_question_is_answered(bomb: str) -> None:
    start = time.perf_counter()
    assert not equivalent(bomb, "\\sqrt{3}+1")
    assert time.perf_counter() - start < symbolic.TIMEOUT_S + 8
    assert equivalent("1+\\sqrt{3}", "\\sqrt{3}+1")


@pytest.mark.parametrize("odd", ["\\frac{", "}{", "\n", '"', "\\\\", "\x00", "ü=", "\ud800"])
def test_malformed_input_is_not_equivalent(odd: str) -> None:
    assert not equivalent(odd + "1", "\\sqrt{2}")


def test_overlong_input_is_not_equivalent() -> None:
    long = "+".join(["1"] * 400)
    assert not equivalent(long, "400")


def test_other_threads_may_ask() -> None:
    replies: list[bool] = []
    threads = [
        threading.Thread(target=lambda k=k: replies.append(equivalent(f"\\sqrt{{{k * k}}}+x", f"x+{k}")))
        for k in range(2, 8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert replies == [True] * 6


def test_the_child_ends_with_its_parent() -> None:
    code = (
        "import os, signal\n"
        "from engine.rewards import symbolic\n"
        "symbolic.equivalent('x+1', '1+x')\n"
        "print(symbolic._child.process.pid, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    pid = int(out.stdout)
    for _ in range(50):
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rsplit(")")[1].split()[0]
        except OSError:
            return
        if state == "Z":
            return
        time.sleep(0.1)
    pytest.fail(f"the child {pid} is still there, state {state}")
