"""The arithmetic of batches, as sentences."""

import pytest

from diagnostics.rules.arithmetic import in_words
from diagnostics.rules.job import Job


def words(**fields: object) -> str:
    return "\n".join(in_words(Job(framework="verl", **fields)))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        (
            {"prompts": 64, "samples": 8, "update": 512},
            "512 responses / 512 per step = 1 optimizer step per rollout: on-policy.",
        ),
        (
            {"prompts": 64, "samples": 8, "update": 128},
            "= 4 optimizer steps per rollout: the first on-policy, the other 3 on responses of an older",
        ),
        (
            {"prompts": 64, "samples": 8, "update": 512, "epochs": 2},
            "512 responses × 2 passes / 512 per step = 2 optimizer steps per rollout",
        ),
        ({"prompts": 64, "samples": 8, "update": 200}, "= 2.56 optimizer steps per rollout"),
        ({"prompts": 64, "samples": 8, "update": 1024}, "one step in 2 rollouts."),
        (
            {"ranks": 8, "prompts": 64, "samples": 8, "update": 128, "micro": 4},
            "128 responses = 8 data-parallel ranks × micro-batch 4 × 4: accumulated over 4 micro-batches.",
        ),
        (
            {"ranks": 8, "sp": 2, "prompts": 64, "samples": 8, "update": 16, "micro": 4},
            "16 responses = 4 data-parallel ranks (2 ranks share each sequence) × micro-batch 4 × 1: in one",
        ),
        (
            {"ranks": 8, "prompts": 64, "samples": 8, "update": 128, "token_budget": 16384},
            "128 responses / 8 data-parallel ranks = 16 per rank, in micro-batches of up to 16384 tokens.",
        ),
        (
            {"ranks": 16, "nodes": 2, "colocated": True, "engine": "vllm", "engine_tp": 4},
            "16 ranks train on 2 machines, and sample on the same GPUs with 4 engines of tensor",
        ),
        (
            {"ranks": 4, "engine": "vllm", "engine_tp": 2, "engine_ranks": 8},
            "4 ranks train; 4 engines of tensor parallelism 2 sample on 8 GPUs of their own.",
        ),
        ({"ranks": 1}, "1 rank trains."),
        (
            {"prompts": 1, "samples": 1, "prompt_len": 512, "response_len": 1024},
            "up to 512 prompt + 1024 response tokens = 1536; a rollout is at most 1,536 tokens.",
        ),
    ],
)
def test_sentences(fields: dict[str, object], sentence: str) -> None:
    assert sentence in words(**fields)


def test_nothing_is_said_of_what_is_not_known() -> None:
    assert words() == "" and words(prompts=64) == ""
    assert "per step" not in words(prompts=64, samples=8)
