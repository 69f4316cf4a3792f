"""The training core as torchrun starts it: real data, resuming after kill -9, stopping, other world sizes."""

import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import torch
from sqlalchemy import create_engine, text
from transformers import AutoModelForCausalLM, AutoTokenizer

from engine.events import Alert, CheckpointEvent, Memory, Phase, Status
from engine.trajectories import TrajectorySaver
from presets.loader import load
from tests.engine.tiny import save_tiny_model
from tests.engine.training import metrics_by_step, read_events, started, train, wait_for_step

ALWAYS_MEASURED = {
    "policy/loss",
    "policy/ratio_mean",
    "policy/ratio_max",
    "policy/clip_low",
    "policy/clip_high",
    "policy/entropy",
    "kl/old",
    "kl/ref",
    "kl/coef",
    "grad/norm",
    "reward/mean",
    "reward/std",
    "response/length_mean",
    "response/length_max",
    "response/truncated",
    "rollout/zero_variance_groups",
    "sync/logprob_diff_mean",
    "sync/logprob_diff_max",
}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def reward_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A reward that varies with an untrained model: the share of even bytes."""
    path = tmp_path_factory.mktemp("reward") / "even.py"
    path.write_text(
        "def score(responses, labels):\n"
        "    return [sum(ord(c) % 2 == 0 for c in r) / max(len(r), 1) for r in responses]\n"
    )
    return path


@pytest.fixture(scope="module")
def flags(model: Path, reward_file: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    data = tmp_path_factory.mktemp("data") / "prompts.jsonl"
    rng = random.Random(0)
    data.write_text(
        "".join(json.dumps({"input": "x" * rng.randint(1, 9), "label": str(i)}) + "\n" for i in range(40))
    )
    settings = {
        "pretrain": model,
        "bf16": "false",
        "prompt_data": data,
        "reward_fn": f"{reward_file}:score",
        "rollout_batch_size": 4,
        "n_samples_per_prompt": 4,
        "train_batch_size": 8,
        "micro_train_batch_size": 4,
        "micro_rollout_batch_size": 8,
        "prompt_max_len": 16,
        "max_len": 28,
        "top_p": 1.0,
        "actor_learning_rate": 1e-3,
        "kl_target": 0.05,
        "reward_running_norm": "true",
        "max_steps": 8,
        "save_steps": 2,
        "fsdp": "true",
        "engine_type": "hf",
    }
    return [word for name, value in settings.items() for word in (f"--{name}", str(value))]


@pytest.mark.dist
def test_gsm8k_preset_on_a_tiny_model(shared: Path, model: Path, tmp_path: Path) -> None:
    preset = load("gsm8k")
    config = tmp_path / "config.yaml"
    config.write_text(json.dumps(preset.layer.values))
    run_dir = tmp_path / "run"
    # The rule rewards none of a random model's answers: without another reward there is nothing to learn.
    reward = tmp_path / "lengths.py"
    reward.write_text("def score(responses, labels):\n    return [len(r) % 7 / 7 for r in responses]\n")
    gsm8k = shared / "data" / "gsm8k"
    train(
        run_dir,
        *("--config", str(config), "--pretrain", str(model), "--bf16", "false"),
        *("--prompt_data", str(gsm8k / "train.jsonl"), "--eval_data", str(gsm8k / "test.jsonl")),
        *("--rollout_batch_size", "4", "--n_samples_per_prompt", "4", "--train_batch_size", "16"),
        *("--prompt_max_len", "800", "--max_len", "816", "--generate_max_len", "16"),
        *("--max_samples", "64", "--max_eval_samples", "1", "--max_steps", "2"),
        *("--micro_train_batch_size", "2", "--init_kl_coef", "0.01", "--engine_type", "hf"),
        *("--reward_fn", f"{reward}:score"),
        nproc=2,
    )
    steps = metrics_by_step(run_dir)
    assert set(steps) == {0, 1, 2}
    assert set(steps[1]) >= ALWAYS_MEASURED
    assert steps[1]["policy/ratio_max"] == 1.0
    assert steps[1]["kl/ref"] == pytest.approx(0.0, abs=1e-6)
    assert steps[2]["sync/logprob_diff_mean"] < 1e-5
    assert {"eval/accuracy", "eval/reward"} <= set(steps[0]) & set(steps[2])
    events = read_events(run_dir, rank=1)
    assert {"rollout", "reward", "logprob", "update", "sync", "eval", "checkpoint"} <= {
        e.name for e in events if isinstance(e, Phase)
    }
    assert all(e.rss > 0 for e in events if isinstance(e, Memory))
    assert [e.state for e in read_events(run_dir) if isinstance(e, Status)][-1] == "finished"
    final = run_dir / "checkpoints" / "final"
    trained = AutoModelForCausalLM.from_pretrained(final)
    assert AutoTokenizer.from_pretrained(final)("ab").input_ids
    start = AutoModelForCausalLM.from_pretrained(model)
    assert any(not torch.equal(a, b) for a, b in zip(trained.parameters(), start.parameters(), strict=True))
    with create_engine(f"sqlite:///{run_dir / 'trajectories.db'}").connect() as connection:
        rows = connection.execute(text("select step, label, prompt from trajectories")).all()
    assert {row.step for row in rows} == {1, 2}
    assert all("####" in row.label and row.prompt.endswith("<assistant>") for row in rows)


@pytest.mark.dist
def test_kill_and_resume_is_bit_exact_and_world_size_may_change(flags: list[str], tmp_path: Path) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    lines = train(whole, *flags, "--log_interval", "3", nproc=2)
    assert "step 4/8" in lines  # the iteration that step 3 belongs to
    assert "step 6/8" in lines
    assert "step 8/8" not in lines
    with started(broken, *flags, nproc=2) as process:
        wait_for_step(broken, 4, process)
        ranks = psutil.Process(process.pid).children()
        os.kill(ranks[1].pid, signal.SIGKILL)
        process.wait(timeout=60)
    assert process.returncode != 0
    output = train(broken, *flags, "--load_checkpoint", nproc=2)
    assert "resumed from" in output
    assert output.count("batch.off-policy") == 1  # a warning, said by rank 0
    expected, resumed = metrics_by_step(whole), metrics_by_step(broken)
    assert set(expected) == set(range(1, 9))
    assert all("kl/coef" in metrics for metrics in expected.values())
    assert resumed == expected
    weights = [AutoModelForCausalLM.from_pretrained(d / "checkpoints" / "final") for d in (whole, broken)]
    assert all(torch.equal(a, b) for a, b in zip(*(w.parameters() for w in weights), strict=True))

    longer = [*flags, "--max_steps", "10", "--load_checkpoint"]
    assert "resumed from" in train(broken, *longer, nproc=1)
    assert set(metrics_by_step(broken)) == set(range(1, 11))


@pytest.mark.dist
def test_stop_finishes_the_step_and_saves(flags: list[str], tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    long = [*flags, "--max_steps", "10000", "--num_episodes", "100000", "--save_steps", "10000"]
    with started(run_dir, *long) as process:
        wait_for_step(run_dir, 2, process)
        (run_dir / "control.json").write_text('{"action": "stop"}')
        output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output
    events = read_events(run_dir)
    last = [e for e in events if isinstance(e, Status)][-1]
    assert last.state == "stopped"
    saved = [e.step for e in events if isinstance(e, CheckpointEvent) and e.state == "complete"]
    assert saved == [last.step]
    assert max(metrics_by_step(run_dir)) == last.step


@pytest.mark.dist
def test_two_epochs_may_make_one_step(flags: list[str], tmp_path: Path) -> None:
    """RBS·n·epochs = TBS: every response is in the step twice, in whichever micro-batches."""
    twice = ("--max_epochs", "2", "--train_batch_size", "32", "--max_steps", "2")
    train(tmp_path, *flags, *twice, "--max_tokens_per_micro_batch", "70")
    steps = metrics_by_step(tmp_path)
    assert set(steps) == {1, 2}
    assert steps[2]["policy/ratio_max"] == pytest.approx(1.0, abs=1e-5)


@pytest.mark.dist
def test_saves_by_episodes_even_where_a_step_spans_several(flags: list[str], tmp_path: Path) -> None:
    several = ("--rollout_batch_size", "40", "--train_batch_size", "320", "--micro_rollout_batch_size", "160")
    train(tmp_path, *flags, *several, "--num_episodes", "4", "--save_steps", "1000", "--save_interval", "1")
    saved = [
        e.step for e in read_events(tmp_path) if isinstance(e, CheckpointEvent) and e.state == "complete"
    ]
    assert saved == [1, 2]


@pytest.mark.dist
def test_a_full_trajectory_database_does_not_end_the_run(flags: list[str], tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'kept.db'}"
    TrajectorySaver(url).close()
    with create_engine(url).begin() as connection:
        refuse = "create trigger full before insert on trajectories when new.step = 1"
        connection.execute(text(f"{refuse} begin select raise(abort, 'no room'); end"))
    train(tmp_path / "run", *flags, "--trajectory_url", url, "--max_steps", "4")
    alerts = [e for e in read_events(tmp_path / "run") if isinstance(e, Alert)]
    assert [(e.state, e.finding.id, e.step) for e in alerts] == [
        ("raised", "trajectories.not-saved", 1),
        ("cleared", "trajectories.not-saved", 3),
    ]
    with create_engine(url).connect() as connection:
        assert connection.execute(text("select distinct step from trajectories")).scalars().all() == [3]


@pytest.mark.dist
def test_zero_learning_rate_changes_nothing(flags: list[str], model: Path, tmp_path: Path) -> None:
    train(tmp_path / "run", *flags, "--actor_learning_rate", "0", "--max_steps", "2")
    before = AutoModelForCausalLM.from_pretrained(model)
    after = AutoModelForCausalLM.from_pretrained(tmp_path / "run" / "checkpoints" / "final")
    assert all(torch.equal(a, b) for a, b in zip(before.parameters(), after.parameters(), strict=True))


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (["--train_batch_size", "7"], "batch.tbs-indivisible"),
        (["--train_batch_sice", "8"], "train_batch_size"),
        (["--mixed_mm_data"], "not available in this version"),
        (["--prompt_data", "/nowhere/data.jsonl"], "/nowhere/data.jsonl"),
        (["--pretrain", "/nowhere/model"], "/nowhere/model"),
        (["--trajectory_url", "sqlite:////nowhere/at.db"], "trajectories.not-opened"),
        (["--trajectory_url", "nonsense"], "trajectories.not-opened"),
    ],
)
def test_bad_input_is_said_once_without_a_traceback(
    wrong: list[str], said: str, flags: list[str], tmp_path: Path
) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "engine.train", "--run_dir", str(tmp_path / "run"), *flags, *wrong],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 2, result.stderr
    assert said in result.stderr
    assert "Traceback" not in result.stderr
