"""A run that ended badly is diagnosed with fixes that name its own values, and resume can apply one."""

import time
from pathlib import Path

import pytest

from engine.config.load import dump_resolved, layer_from_sets, resolve
from engine.findings import FindingsError
from rftui.launch.postmortem import examine
from rftui.runs import diagnosis
from rftui.runs.info import RunInfo
from rftui.runs.rundir import RunDir, create

OOM = """\
[rank0]: Traceback (most recent call last):
[rank0]:   File "/opt/venv/lib/python3.11/site-packages/engine/policy_update.py", line 180, in step
[rank0]:     loss.backward()
[rank0]:   File "/opt/venv/lib/python3.11/site-packages/torch/_tensor.py", line 648, in backward
[rank0]:     torch.autograd.backward(
[rank0]: torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 4.52 GiB. GPU 0 has a total \
capacity of 79.11 GiB of which 2.10 GiB is free. Including non-PyTorch memory, this process has 77.00 GiB \
memory in use.
"""
NOTHING = "step 1/3 reward 0.25\nstep 2/3 reward 0.5\n"


def run_with(tmp_path: Path, log: str, *sets: str) -> RunDir:
    run = create(tmp_path, "run")
    layer = layer_from_sets(["model.pretrain=toy:sort", "data.prompt_data=toy:sort", *sets])
    run.config_path.write_text(dump_resolved(resolve([layer])))
    run.write_info(RunInfo(name="run", status="failed", created=time.time(), nproc=2))
    (run.logs_dir / "rank-00000.log").write_text(log)
    return run


def test_out_of_memory_is_answered_with_settings_that_need_less(tmp_path: Path) -> None:
    run = run_with(tmp_path, OOM, "batch.micro_train_batch_size=64", "batch.train_batch_size=128")
    found = examine(run)
    assert found.findings[0].cause == "cuda-oom-train"
    assert found.findings[0].evidence[0].line == 6
    diagnosis.write(run, found)
    kept = diagnosis.read(run)
    assert kept == found
    fix = diagnosis.applicable(found)
    assert fix is not None and fix == found.findings[0].fixes[0]
    assert all("." in key and not isinstance(value, str) for key, value in fix.set.items())


def test_a_run_whose_info_is_lost_is_diagnosed_all_the_same(tmp_path: Path) -> None:
    run = run_with(tmp_path, OOM)
    (run.path / "run.json").write_text("{}")
    assert examine(run).findings[0].cause == "cuda-oom-train"


def test_a_healthy_log_leaves_nothing_to_apply(tmp_path: Path) -> None:
    run = run_with(tmp_path, NOTHING)
    found = examine(run)
    assert found.findings == ()
    with pytest.raises(FindingsError, match="nothing is known to be wrong with run"):
        raise diagnosis.nothing_to_apply(run, found)


def test_words_of_direction_become_numbers(tmp_path: Path) -> None:
    from engine.findings import Fix
    from rftui.launch.postmortem import _with_values

    resolved = resolve([layer_from_sets(["batch.micro_train_batch_size=8", "rollout.engine_mem_util=0.5"])])
    fix = Fix(
        "x",
        set={
            "batch.micro_train_batch_size": "smaller",
            "rollout.engine_mem_util": "larger",
            "memory.gradient_checkpointing": "true",
            "model.bf16": "true",  # it is already
            "no.such": "1",
        },
    )
    assert _with_values(fix, resolved).set == {
        "batch.micro_train_batch_size": 4,
        "rollout.engine_mem_util": 0.6,
        "memory.gradient_checkpointing": True,
    }
