"""vLLM on two ranks beside FSDP2: two engines, and one engine on both ranks."""

import json
import os
import random
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import msgspec
import pytest

from engine.failure import RankError
from tests.engine.ranks import REPOSITORY, run_ranks
from tests.engine.rollout.engine_models import save
from tests.engine.training import metrics_by_step, train

pytestmark = [
    pytest.mark.vllm,
    pytest.mark.alone,
    pytest.mark.dist,
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("vllm") is None, reason="vllm is not installed"),
]
PROGRAMS = Path(__file__).parents[1] / "programs"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tmp_path_factory.mktemp("qwen2"), "qwen2")


@pytest.mark.parametrize("tensor_parallel", [1, 2])
def test_engine_and_trainer_agree_after_every_step(
    folder: Path, tmp_path: Path, tensor_parallel: int
) -> None:
    output = run_ranks(PROGRAMS / "vllm_sync.py", tmp_path / "seen.json", folder, tensor_parallel)
    for seen in json.loads((tmp_path / "seen.json").read_text()):
        assert len(seen["differences"]) == 3
        assert max(seen["differences"]) < 1e-5
        assert seen["stale"] > 0.01, "without a sync the engine is behind: the weights did change"
        assert seen["again"] == [True] * 3, "the same generator state must give the same responses"
        assert seen["changed by start"] == []
        assert seen["changed by generate"] == []
        assert seen["tensor parallel size"] == tensor_parallel
    assert f"{2 // tensor_parallel} replica(s) on {tensor_parallel} rank(s) each" in output
    assert not [*Path("/dev/shm").glob("*cpushm*")], "shared memory is left behind"


def test_a_rank_that_cannot_start_its_engine_ends_the_run(folder: Path, tmp_path: Path) -> None:
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    result = subprocess.run(
        [*torchrun, str(PROGRAMS / "dies_in_engine_start.py"), str(folder), str(tmp_path)],
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    ended = time.time()
    assert result.returncode != 0
    first = min(float(path.name.removeprefix("failed-")) for path in tmp_path.glob("failed-*"))
    assert ended - first < 15
    error = msgspec.json.decode((tmp_path / "errors" / "rank-00001.json").read_bytes(), type=RankError)
    assert [finding.id for finding in error.findings] == ["engine.out-of-memory"]
    assert "engine.out-of-memory" in result.stderr


@pytest.fixture(scope="module")
def flags(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    place = tmp_path_factory.mktemp("data")
    rng = random.Random(0)
    prompts = [{"input": "x" * rng.randint(1, 9), "label": str(i)} for i in range(24)]
    (place / "prompts.jsonl").write_text("".join(json.dumps(p) + "\n" for p in prompts))
    (place / "even.py").write_text(
        "def score(responses, labels):\n"
        "    return [sum(ord(c) % 2 == 0 for c in r) / max(len(r), 1) for r in responses]\n"
    )
    settings = {
        "pretrain": folder,
        "bf16": "false",
        "prompt_data": place / "prompts.jsonl",
        "reward_fn": f"{place / 'even.py'}:score",
        "rollout_batch_size": 4,
        "n_samples_per_prompt": 4,
        "train_batch_size": 8,
        "micro_train_batch_size": 4,
        "prompt_max_len": 16,
        "max_len": 28,
        "temperature": 0.8,
        "actor_learning_rate": 1e-3,
        "engine_type": "vllm",
        "engine_kv_cache_gb": 0.05,
        "engine_enforce_eager": "true",
        "save_steps": 2,
        "max_steps": 6,
    }
    return [text for name, value in settings.items() for text in (f"--{name}", str(value))]


@pytest.mark.parametrize("tensor_parallel", [1, 2])
def test_a_run_is_in_sync_and_goes_on_from_a_checkpoint_as_if_never_stopped(
    flags: list[str], tmp_path: Path, tensor_parallel: int
) -> None:
    flags = [*flags, "--engine_tp_size", str(tensor_parallel)]
    train(tmp_path / "whole", *flags, nproc=2)
    whole = metrics_by_step(tmp_path / "whole")
    assert sorted(whole) == [1, 2, 3, 4, 5, 6]
    for metrics in whole.values():
        difference = metrics["sync/logprob_diff_max"]
        assert difference is not None and difference < 1e-5
    resumed = tmp_path / "resumed"
    checkpoint = tmp_path / "whole" / "checkpoints" / "step-2"
    train(resumed, *flags, "--load_checkpoint", "true", "--ckpt_path", str(checkpoint), nproc=2)
    assert metrics_by_step(resumed) == {step: whole[step] for step in (3, 4, 5, 6)}


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_prompts_that_do_not_divide_among_the_ranks_of_a_replica(flags: list[str], tmp_path: Path) -> None:
    """Of 3 prompts × 3 responses, one rank holds 6: both take 3 steps of 6 from two epochs of all 9."""
    uneven = {"rollout_batch_size": 3, "n_samples_per_prompt": 3, "max_epochs": 2, "train_batch_size": 6}
    more = {**uneven, "engine_tp_size": 2, "micro_train_batch_size": 3, "max_steps": 6}
    train(tmp_path / "run", *flags, *(word for k, v in more.items() for word in (f"--{k}", str(v))), nproc=2)
    steps = metrics_by_step(tmp_path / "run")
    assert sorted(steps) == [1, 2, 3, 4, 5, 6]
    assert all(metrics["sync/logprob_diff_mean"] < 0.2 for metrics in steps.values())
