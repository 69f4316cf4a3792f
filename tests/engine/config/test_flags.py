"""Flags as people type them, and the argparse surface for users' own scripts."""

import argparse
import subprocess
import sys
from pathlib import Path

import pytest

import engine
from engine.config.flags import add_arguments, config_from_namespace, layers_from_command_line
from engine.config.layers import layer_from_flags
from engine.config.load import resolve
from engine.config.registry import parameters
from engine.config.sections import RunConfig
from engine.findings import FindingsError


@pytest.mark.parametrize(
    ("line", "key", "value"),
    [
        ("--train-batch-size 128", "batch.train_batch_size", 128),
        ("--train_batch_size=128", "batch.train_batch_size", 128),
        ("--batch.train_batch_size 128", "batch.train_batch_size", 128),
        ("--train_batch_size 64 --train_batch_size 128", "batch.train_batch_size", 128),
        ("--bf16", "model.bf16", True),
        ("--bf16 false", "model.bf16", False),
        ("--bf16=no", "model.bf16", False),
        ("--no-bf16", "model.bf16", False),
        ("--no_bf16 false", "model.bf16", True),
        ("--disable_engine_sleep", "rollout.enable_engine_sleep", False),
        ("--top_k -1", "rollout.top_k", -1),
        ("--actor_learning_rate 5e-7", "optim.actor_learning_rate", 5e-7),
        ("--adam_betas 0.9 0.99", "optim.adam_betas", (0.9, 0.99)),
        ("--adam_betas 0.9,0.99", "optim.adam_betas", (0.9, 0.99)),
        ("--eval_temperatures 1", "eval.eval_temperatures", (1,)),
        ("--kl_target none", "algorithm.kl_target", None),
        ("--pretrain=--odd", "model.pretrain", "--odd"),
        ("--pretrain 123", "model.pretrain", "123"),
        ("--input_template a=b", "data.input_template", "a=b"),
    ],
)
def test_flag_forms(line: str, key: str, value: object):
    layer = layer_from_flags(line.split())
    assert layer.findings == () and layer.values == {key: value}


def test_a_text_value_is_taken_as_it_is():
    text = 'Solve: "x" # 1\n\nthen answer: [y]'
    assert layer_from_flags(["--system_prompt", text]).values == {"data.system_prompt": text}


@pytest.mark.parametrize(
    ("line", "id", "words"),
    [
        (
            "--train_batch_size",
            "config.flag-value-missing",
            "--train_batch_size has no value: it takes a whole number",
        ),
        ("--train_batch_size --bf16", "config.flag-value-missing", "--train_batch_size"),
        ("quickstart2 --bf16", "config.stray-argument", "'quickstart2'"),
        ("--bf16 true stray", "config.stray-argument", "'stray'"),
        ("--adam_betas 0.9 0.99 stray", "config.stray-argument", "'stray'"),
        ("-x", "config.unknown-key", "-x"),
        ("--trian-batch-size 8", "config.unknown-key", "--trian-batch-size"),
        ("--trian-batch-size=8", "config.unknown-key", "--trian-batch-size"),
        ("--model.train_batch_size 8", "config.unknown-key", "section batch, not model"),
    ],
)
def test_flag_mistakes(line: str, id: str, words: str):
    (finding,) = layer_from_flags(line.split()).findings
    assert finding.id == id and words in finding.cause


def test_a_misspelt_flag_names_the_nearest_with_the_value_given():
    (finding,) = layer_from_flags(["--trian-batch-size", "8"]).findings
    assert finding.fixes[0].set == {"batch.train_batch_size": 8}
    assert "batch.train_batch_size" in finding.fixes[0].text and "--train_batch_size" in finding.fixes[0].text


def test_command_line_of_the_engine(tmp_path: Path):
    path = tmp_path / "c.yaml"
    path.write_text("batch: {train_batch_size: 1, rollout_batch_size: 2, n_samples_per_prompt: 3}")
    line = f"--config {path} --set batch.rollout_batch_size=5 --rollout_batch_size 4 --n_samples_per_prompt=6"
    batch = resolve(layers_from_command_line(line.split())).config.batch
    assert (batch.train_batch_size, batch.rollout_batch_size, batch.n_samples_per_prompt) == (1, 5, 6)
    with pytest.raises(FindingsError, match=r"cannot read"):
        resolve(layers_from_command_line(["--config"]))


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser()
    engine.add_arguments(made)
    return made


def test_parsed_arguments_hold_every_parameter_with_its_default():
    args = parser().parse_args([])
    for parameter in parameters().values():
        assert getattr(args, parameter.name) == parameter.default
    assert config_from_namespace(args) == RunConfig()


def test_argparse_reads_the_same_as_the_launcher():
    line = "--train-batch-size 128 --no-bf16 --adam_betas 0.9 0.99 --disable_engine_sleep --fsdp"
    line += " --nproc_per_node 2 --actor_learning_rate 5e-7 --eval_temperatures 0,1"
    args = parser().parse_args(line.split())
    assert args.train_batch_size == 128 and args.bf16 is False and args.fsdp is True
    assert config_from_namespace(args) == resolve([layer_from_flags(line.split())]).config


def test_every_parameter_is_in_the_help_with_its_default():
    text = " ".join(parser().format_help().split())
    for parameter in parameters().values():
        assert f"--{parameter.name} " in text
    assert (
        "TBS: responses per optimizer step, all ranks. (a whole number ≥ 1, in responses; default 128)"
        in text
    )


@pytest.mark.parametrize("line", ["--train_batch_size twelve", "--clip_range 7", "--kl_estimator k4"])
def test_argparse_refuses_a_wrong_value_in_its_own_way(line: str, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as ended:
        parser().parse_args(line.split())
    assert ended.value.code == 2
    assert f"argument {line.split()[0]}" in capsys.readouterr().err.replace("/", " ")


def test_a_missing_feature_is_refused_by_a_namespace_too():
    with pytest.raises(FindingsError, match=r"reward\.remote_rm_url = .*: not available"):
        config_from_namespace(parser().parse_args(["--remote_rm_url", "http://localhost"]))


def test_a_namespace_changed_or_made_by_hand_counts():
    args = parser().parse_args([])
    args.train_batch_size = 32
    assert config_from_namespace(args).batch.train_batch_size == 32
    assert config_from_namespace(argparse.Namespace(l2=0.5)).optim.l2 == 0.5
    with pytest.raises(FindingsError, match=r"optim\.l2 = -1"):
        config_from_namespace(argparse.Namespace(l2=-1))


def test_two_calls_do_not_share_what_was_given():
    made = parser()
    made.parse_args(["--zero_stage", "2"])
    assert config_from_namespace(made.parse_args([])) == RunConfig()


def test_engine_names_are_there_and_others_are_not():
    assert engine.add_arguments is add_arguments and engine.RunConfig is RunConfig
    assert set(engine.__all__) <= set(dir(engine))
    with pytest.raises(AttributeError, match="nonsense"):
        engine.nonsense  # noqa: B018


@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_the_engine_prints_its_help(flag: str):
    done = subprocess.run(
        [sys.executable, "-m", "engine.train", flag], capture_output=True, text=True, check=True
    )
    assert all(f"--{parameter.name} " in done.stdout for parameter in parameters().values())
    assert "--config FILE" in done.stdout and "--set KEY=VALUE" in done.stdout
