"""Parameters are found by name, and every one the reference documents name exists."""

import re
from pathlib import Path

import pytest

from engine.config.registry import find, names, nearest, parameters
from engine.config.sections import RunConfig

OTHER_PROGRAMS = {
    "model": "python test_reward_model.py",
    "master_addr": "torchrun",
    "node_rank": "torchrun",
    "gres": "srun",
    "ntasks_per_node": "srun",
    "index_url": "pip",
    "no_build_isolation": "pip",
    "version": "nvcc",
    "head": "ray",
    "port": "trinity studio",
    "config": "trinity run; ours too, as an option of python -m engine.train",
}


def test_every_parameter_name_is_unique_and_no_section():
    accepted = [name for p in parameters().values() for name in (p.name, *p.aliases, *p.negations)]
    assert len(accepted) == len(set(accepted)) == len(names())
    assert not set(accepted) & set(RunConfig.model_fields)


def test_every_parameter_has_help_and_the_default_its_section_declares():
    config = RunConfig()
    for key, parameter in parameters().items():
        assert parameter.help.endswith(".") and "\n" not in parameter.help, key
        assert getattr(getattr(config, parameter.section), parameter.name) == parameter.default, key


@pytest.mark.parametrize(
    ("name", "key", "negated"),
    [
        ("train_batch_size", "batch.train_batch_size", False),
        ("train-batch-size", "batch.train_batch_size", False),
        ("batch.train_batch_size", "batch.train_batch_size", False),
        ("nproc_per_node", "parallel.nproc", False),
        ("no_bf16", "model.bf16", True),
        ("disable_engine_sleep", "rollout.enable_engine_sleep", True),
    ],
)
def test_find(name: str, key: str, negated: bool):
    match = find(name)
    assert match is not None
    assert (match.parameter.key, match.negated) == (key, negated)


@pytest.mark.parametrize("name", ["", "batch", "model.train_batch_size", "no_train_batch_size", "a.b.c"])
def test_find_nothing(name: str):
    assert find(name) is None


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("trian_batch_size", "batch.train_batch_size"),
        ("batch.rollout_batchsize", "batch.rollout_batch_size"),
        ("lr_warmup", "optim.lr_warmup_ratio"),
        ("actor_lerning_rate", "optim.actor_learning_rate"),
    ],
)
def test_nearest(name: str, key: str):
    assert nearest(name)[0].key == key


def test_nothing_is_near_to_nonsense():
    assert nearest("xqzzzy") == []


def test_every_flag_of_the_reference_documents_exists(shared: Path):
    text = "\n".join(
        path.read_text(encoding="utf-8") for path in sorted((shared / "seeds").glob("00[0-3]_*.txt"))
    )
    named = {flag.replace("-", "_") for flag in re.findall(r"(?<![\w-])--([a-zA-Z][\w-]*)", text)}
    assert len(named) > 60
    assert {name for name in named if find(name) is None} <= set(OTHER_PROGRAMS)


def test_every_name_of_the_decisions_exists(shared: Path):
    text = (shared / "spec" / "parameters.md").read_text(encoding="utf-8")
    table = text[text.index("| flag | decision |") : text.index("Also needed")]
    listed = text[text.index("Also needed") : text.index("`loss_agg` (")]
    listed += text[text.index("`entropy_coef`") : text.index("## Python surface")]
    cells = [row.split("|")[1] for row in table.splitlines()[2:] if row.startswith("|")]
    named = re.findall(r"`([\w/]+)`", "\n".join([*cells, listed]))
    no_parameters = {"fp8", "NCCL_TIMEOUT"}
    wanted = {name for name in named if name not in no_parameters} - {
        "lora_rank/alpha/dropout/target_modules"
    }
    wanted |= {"loss_agg", "lora_rank", "lora_alpha", "lora_dropout", "target_modules"}
    wanted = {part for name in wanted for part in name.split("/")}
    assert len(wanted) > 40
    assert {name for name in wanted if find(name) is None} == set()
