"""Samples as the engine keeps them, written with its own saver: a model learns to solve word problems."""

import random
import re
from pathlib import Path
from typing import Any

from engine.trajectories import TrajectorySaver
from rftui.runs.rundir import RunDir

SYSTEM = "You are a careful assistant. Think step by step, then give the answer after ####."
GROUPS = 4
SIZE = 4


def sample_row(step: int, index: int, number: int) -> dict[str, Any]:
    """One sample; the same arguments make the same sample.

    Groups whose index is divisible by 5 are all right, so flat; later steps are right more often.
    """
    dice = random.Random(f"{step} {index} {number}")
    clips, right = 40 + 2 * index, is_right(step, index, number)
    answer = clips * 3 // 2 if right else clips + dice.randint(1, 9)
    middle = f"that is {clips} + {clips // 2}" if right else "I guess the sum"
    response = (
        f"In May she sold {clips} / 2 = {clips // 2} clips.\nTogether {middle} = {answer}.\n#### {answer}"
    )
    tokens = re.findall(r"\s*\w+|\s*[^\w\s]", response)
    differences = [round(abs(dice.gauss(0, 0.01)), 3) for _ in tokens]
    differences[-1] = 0.0 if right else 0.731
    differences[3] = 0.15
    mean = sum(is_right(step, index, n) for n in range(SIZE)) / SIZE
    return {
        "step": step,
        "prompt_index": index,
        "sample": number,
        "prompt": f"<|system|>\n{SYSTEM}\n<|user|>\nNatalia sold {clips} clips in April, and then half as "
        f"many in May. How many did she sell altogether?\n<|assistant|>\n",
        "response": response,
        "label": f"{clips * 3 // 2}",
        "reward": 0.1 + 0.9 * right,
        "reward_parts": {"format": 0.1, "exact": 0.9 * right},
        "advantage": right - mean,
        "response_tokens": len(tokens),
        "truncated": not right and number == SIZE - 1,
        "logprob_diff": sum(differences) / len(differences),
        "tokens": {"characters": [len(token) for token in tokens], "logprob_diff": differences},
    }


def is_right(step: int, index: int, number: int) -> bool:
    """Whether a sample solves its problem."""
    return index % 5 == 0 or random.Random(f"{step}/{index}/{number}").random() < min(0.8, 0.1 + step / 30)


def keep_samples(run: RunDir, *steps: int) -> Path:
    """Add the samples of some steps to a run's database."""
    path = run.path / "trajectories.db"
    saver = TrajectorySaver(f"sqlite:///{path}")
    for step in steps:  # prompts come again every third step
        first = step % 3 * GROUPS
        saver.save([sample_row(step, first + g, n) for g in range(GROUPS) for n in range(SIZE)])
    saver.close()
    return path
