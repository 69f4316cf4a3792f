"""Options are taken as argparse takes them."""

import argparse
from pathlib import Path

import pytest

from diagnostics.rules.flags import Flag, Parsed, parse_flags, real, switch, text, texts, whole
from diagnostics.rules.shell.script import parse_script

FLAGS = {
    "batch_size": whole(8),
    "batch_limit": whole(),
    "lr": real(1e-6),
    "betas": real(values=2),
    "kind": Flag("str", "gae", ("gae", "group_norm"), instead={"grpo": "group_norm"}),
    "name": text(),
    "modules": texts(),
    "fast": switch(),
    "slow": Flag("switch", False, sets="fast", value=False),
}


def parsed(line: str) -> Parsed:
    (command,) = parse_script(f"x {line}").commands
    return parse_flags(command.argv[1:], FLAGS, "run.sh", "check.t")


@pytest.mark.parametrize(
    ("line", "settings"),
    [
        ("--batch_size 4 --lr=2e-6 --fast", {"batch_size": 4, "lr": 2e-6, "fast": True}),
        ("--slow", {"fast": False}),
        ("--batch_limit -1", {"batch_limit": -1}),
        ("--betas 0.9 0.95 --modules q k --lr 1", {"betas": [0.9, 0.95], "modules": ["q", "k"], "lr": 1.0}),
        ("--name '' --batch_size $N", {"name": "", "batch_size": "$N"}),
    ],
)  # fmt: skip
def test_values(line: str, settings: dict[str, object]) -> None:
    found = parsed(line)
    assert {name: setting.value for name, setting in found.settings.items()} == settings
    assert found.problems == [] and found.unknown == {}


@pytest.mark.parametrize(
    ("line", "id", "words"),
    [
        ("--batch_size four", "check.t.bad-value", "a whole number and is given 'four'"),
        ("--batch_size ''", "check.t.bad-value", "an empty text"),
        ("--batch_size", "check.t.value-missing", "needs a value, and has none"),
        ("--betas 0.9", "check.t.value-missing", "needs 2 values, and has 1"),
        ("--kind grpo", "check.t.bad-choice", "one of gae, group_norm"),
        ("--fast stray", "check.t.stray-word", "'stray' belongs to no option"),
        ("--fast=1", "check.t.switch-value", "takes no value"),
    ],
)
def test_what_argparse_refuses(line: str, id: str, words: str) -> None:
    (problem,) = parsed(line).problems
    assert (problem.id, problem.severity) == (id, "error") and words in problem.cause
    assert problem.evidence[0].startswith("run.sh line 1: ")
    assert not _argparse_takes(line)


def test_a_wrong_choice_names_what_is_meant() -> None:
    assert parsed("--kind grpo").problems[0].fixes[0].command == "--kind group_norm"


def test_beginnings_of_names_are_taken_where_only_one_begins_so() -> None:
    found = parsed("--na x")
    assert found.settings["name"].value == "x" and found.problems[0].id == "check.t.abbreviated"
    assert parsed("--batch 3").unknown["batch"].value == "3"
    assert _argparse_takes("--na x") and not _argparse_takes("--batch 3")


def test_given_twice_the_last_counts() -> None:
    found = parsed("--lr 1 \\\n --lr 2")
    assert found.settings["lr"].value == 2.0 and found.settings["lr"].line == 2
    assert found.problems[0].severity == "warning" and "in line 1" in found.problems[0].cause


def test_unknown_options_keep_their_values() -> None:
    unknown = parsed("--what 1 2 --fast --other=3 --last").unknown
    assert {name: setting.value for name, setting in unknown.items()} == {
        "what": "1 2",
        "other": "3",
        "last": True,
    }


def _argparse_takes(line: str) -> bool:
    parser = argparse.ArgumentParser()
    parser.add_argument("--batch_size", type=int)
    parser.add_argument("--batch_limit", type=int)
    parser.add_argument("--lr", type=float)
    parser.add_argument("--betas", type=float, nargs=2)
    parser.add_argument("--kind", choices=["gae", "group_norm"])
    parser.add_argument("--name")
    parser.add_argument("--fast", action="store_true")
    (command,) = parse_script(f"x {line}").commands
    try:
        parser.parse_args(command.texts()[1:])
    except SystemExit:
        return False
    return True


def test_keys_are_hidden_as_they_are_read(tmp_path: Path) -> None:
    (command,) = parse_script("K=0123456789abcdef0123\nx --use_wandb $K --name 0123456789abcdef0123").commands
    found = parse_flags(command.argv[1:], {"use_wandb": text(), "name": text()}, "run.sh", "check.t")
    assert found.settings["use_wandb"].value == "<hidden>"
    assert found.settings["name"].value == "0123456789abcdef0123"
