"""What runs what: launchers are taken off, and give processes, machines and variables."""

import pytest

from diagnostics.rules.launch import Launch, launch_of
from diagnostics.rules.shell.script import parse_script


def launched(line: str) -> Launch:
    (command,) = parse_script(line).commands
    launch = launch_of(command)
    assert launch is not None
    return launch


@pytest.mark.parametrize(
    ("line", "program", "ranks", "nodes", "first"),
    [
        ("torchrun --nproc_per_node=8 train.py --a 1", "train.py", 8, 1, "--a"),
        ("torchrun --nnodes 2 --nproc-per-node 4 --rdzv_backend c10d train.py --a", "train.py", 8, 2, "--a"),
        ("torchrun train.py --a", "train.py", 1, 1, "--a"),
        ("torchrun --standalone --nproc_per_node gpu -m pkg.train --a", "pkg.train", None, 1, "--a"),
        ("torchrun --nnodes 1:4 --nproc_per_node 8 train.py --a", "train.py", None, None, "--a"),
        ("python3 -m torch.distributed.run --nproc_per_node 4 train.py --a", "train.py", 4, 1, "--a"),
        ("deepspeed --num_gpus 4 --module openrlhf.cli.train_ppo --a", "openrlhf.cli.train_ppo", 4, 1, "--a"),
        ("deepspeed --include localhost:0,1,5 t.py --a", "t.py", 3, 1, "--a"),
        ("deepspeed t.py --a", "t.py", None, 1, "--a"),
        ("accelerate launch --num_processes 8 --num_machines 2 t.py --a", "t.py", 8, 2, "--a"),
        ("accelerate launch --multi_gpu --config_file z3.yaml t.py --a", "t.py", None, None, "--a"),
        ("nohup uv run python -u -m verl.main a.b=1", "verl.main", None, None, "a.b=1"),
        ("env A=1 timeout 60 nice -n 5 python t.py --a", "t.py", None, None, "--a"),
        ("srun -N 2 -n 16 python t.py --a", "t.py", None, None, "--a"),
        ("ray job submit --no-wait -- python3 -m openrlhf.cli.x --a", "openrlhf.cli.x", None, None, "--a"),
        ("trl grpo --config x.yaml", "trl grpo", None, None, "--config"),
        ("/opt/bin/trinity run --config x.yaml", "trinity run", None, None, "--config"),
    ],
)  # fmt: skip
def test_launchers_are_taken_off(
    line: str, program: str, ranks: int | None, nodes: int | None, first: str
) -> None:
    launch = launched(line)
    assert (launch.program, launch.ranks, launch.nodes) == (program, ranks, nodes)
    assert launch.arguments[0].text == first


def test_a_count_that_is_not_known_stays_unknown() -> None:
    launch = launched("torchrun --nnodes $NNODES --nproc_per_node $(nvidia-smi -L | wc -l) t.py")
    assert (launch.ranks, launch.nodes) == (None, None) and launch.options["nnodes"].text == "$NNODES"


def test_variables_of_ray_and_env_reach_the_program() -> None:
    line = (
        """ray job submit --runtime-env-json='{"env_vars": {"NCCL_DEBUG": "INFO"}}' -- env B=2 python t.py"""
    )
    assert {name: word.text for name, word in launched(line).environ.items()} == {
        "NCCL_DEBUG": "INFO",
        "B": "2",
    }


@pytest.mark.parametrize("line", ["ray start --head", "python -c 'print(1)'", "nohup", "env A=1"])
def test_what_runs_no_program(line: str) -> None:
    (command,) = parse_script(line).commands
    assert launch_of(command) is None
