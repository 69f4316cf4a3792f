"""Frames of a traceback, mere warnings and guesses: decisions that the real knowledge leaves to them."""

from pathlib import Path

import pytest

from diagnostics.knowledge.diagnose import diagnose

OOM = "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB.\n"
HEAD = "Traceback (most recent call last):\n"
SITE = "/opt/lib/python3.12/site-packages"
TRAINER = f'  File "{SITE}/trl/trainer/grpo_trainer.py", line 1, in training_step\n    loss.backward()\n'
ENGINE = f'  File "{SITE}/vllm/worker/worker.py", line 2, in execute_model\n    self.run(batch)\n'
TENSOR = f'  File "{SITE}/torch/_tensor.py", line 3, in backward\n    torch.autograd.backward(\n'
COLLATOR = '  File "/home/me/code/my_collator.py", line 4, in weigh\n    left, right = row\n'


@pytest.fixture
def causes(tmp_path: Path):
    def look(text: str) -> list[str]:
        log = tmp_path / "train.log"
        log.write_text(text)
        return [finding.cause for finding in diagnose(str(log)).findings]

    return look


def test_the_closest_frame_decides_where_memory_ran_out(causes):
    assert causes(HEAD + TRAINER + TENSOR + OOM) == ["cuda-oom-train"]
    assert causes(HEAD + TRAINER + ENGINE + OOM) == ["cuda-oom-rollout"]


def test_words_of_other_frames_and_lines_do_not_decide_where_memory_ran_out(causes):
    assert causes("INFO: vllm generate_sequences done\n" + HEAD + ENGINE + TRAINER + TENSOR + OOM) == [
        "cuda-oom-train"
    ]


def test_a_mere_warning_that_names_a_cause_is_no_failure(causes):
    warning = "WARNING 05-26 08:10:26 [cuda.py:22] Failed to import from vllm._C with {}\n"
    cause = "ImportError('libcudart.so.12: cannot open shared object file')"
    assert causes(warning.format(cause)) == []
    assert causes(HEAD + "ImportError: libcudart.so.12: cannot open shared object file\n") != []


def test_what_python_only_prints_and_goes_on_from_is_no_failure(causes):
    ignored = f"Exception ignored in: <function Engine.__del__ at 0x7f>\n{HEAD}{ENGINE}{OOM}"
    assert causes(ignored) == []


def test_a_guess_is_of_little_confidence_and_falls_with_progress_of_its_process(tmp_path: Path):
    log = tmp_path / "train.log"
    lines = f"{HEAD}{COLLATOR}ValueError: not enough values to unpack (expected 2, got 1)".splitlines()
    guessed = "".join(f"(Trainer pid=7) {line}\n" for line in lines)
    log.write_text(guessed)
    found = diagnose(str(log)).findings
    assert [(finding.cause, finding.confidence) for finding in found] == [("dataset-format", 0.3)]
    log.write_text(guessed + "".join(f"(Trainer pid=7) step:{n} - actor/loss:0.1\n" for n in range(5)))
    assert diagnose(str(log)).findings == ()


@pytest.mark.parametrize(
    ("line", "cause"),
    [
        (
            "error reward.fn-signature: reward_fn takes 2 arguments, it is called with 3.",
            "custom-reward-error",
        ),
        ("error engine.weights-out-of-sync: the engine has the weights of step 3.", "weight-sync-failure"),
    ],
)
def test_what_our_own_engine_prints_is_told(causes, line: str, cause: str):
    assert causes(line + "\n") == [cause]
