"""Every flag that a help text, a message or a document names exists."""

import ast
import importlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

from engine.config.registry import find
from rftui.cli.app import VERBS, app

ROOT = Path(__file__).resolve().parents[1]
FLAG = re.compile(r"(?<![\w-])--([a-zA-Z][\w-]*)")
OTHER_PROGRAMS = {
    "max-restarts": "torchrun",
    "nnodes": "torchrun",
    "master-addr": "torchrun",
    "monitor-interval": "torchrun",
    "local-ranks-filter": "torchrun",
    "query-gpu": "nvidia-smi",
    "porcelain": "git",
    "short": "git",
    "extra-index-url": "pip",
    "index-url": "pip",
    "extra": "uv",
    "local-addr": "torchrun",
    "force-reinstall": "pip",
    "gpus": "docker",
    "gpu-reset": "nvidia-smi",
    "status": "nvidia-smi",
    "node-rank": "torchrun",
    "upgrade": "pip",
    "no-deps": "pip",
    "no-build-isolation": "pip",
    "no-binary": "pip",
    "address": "ray",
    "head": "ray",
    "shm-size": "docker",
    "ipc": "docker",
    "memory": "docker",
    "cpus": "docker",
    "ulimit": "docker",
    "cap-add": "docker",
    "local-dir": "hf",
    "repo-type": "hf",
    "inodes": "df",
    "sort": "ps",
    "pid": "py-spy",
    "nonblocking": "py-spy",
    "no-pager": "journalctl",
    "now": "systemctl",
}
PLACEHOLDERS = {"parameter", "PARAMETER", "any_parameter", "name"}


def python_files() -> list[Path]:
    return [
        path
        for package in ("engine", "rftui", "diagnostics", "presets")
        for path in (ROOT / package).rglob("*.py")
    ]


def flags_in_code() -> Iterator[tuple[str, str]]:
    for path in python_files():
        if (
            path.parent.name != "rules" and path.parent.parent.name != "rules"
        ):  # they name other trainers' flags
            yield from flags_in(path)


def flags_in(path: Path) -> Iterator[tuple[str, str]]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield from ((flag, f"{path.name}:{node.lineno}") for flag in FLAG.findall(node.value))


def flags_in_documents() -> Iterator[tuple[str, str]]:
    for path in [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]:
        yield from ((flag, path.name) for flag in FLAG.findall(path.read_text(encoding="utf-8")))


def options_of_rft() -> set[str]:
    """Every option of every verb, asked of the verbs themselves."""
    commands = [typer.main.get_command(app)]
    commands += [typer.main.get_command(importlib.import_module(verb.module).app) for verb in VERBS.values()]
    commands += [below for command in commands for below in getattr(command, "commands", {}).values()]
    return {
        word[2:]
        for command in commands
        for param in command.params
        for word in param.opts
        if word[:2] == "--"
    }


def options_of_parsers() -> set[str]:
    """Every option that a module or a benchmark of ours adds to an argparse parser by name."""
    declared = {"help"}
    for path in [*python_files(), *(ROOT / "benchmarks").glob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "add_argument":
                words = [word.value for word in node.args if isinstance(word, ast.Constant)]
                declared |= {word[2:] for word in words if isinstance(word, str) and word.startswith("--")}
    return declared


@pytest.mark.parametrize("source", [flags_in_code, flags_in_documents])
def test_every_flag_named_in_help_messages_and_documents_exists(source):
    known = options_of_rft() | options_of_parsers() | set(OTHER_PROGRAMS) | PLACEHOLDERS
    missing = {(flag, where) for flag, where in source() if flag not in known and find(flag) is None}
    assert missing == set()


@pytest.mark.parametrize(
    ("trainer", "others"), [("lightrft", {"nproc_per_node", "nnodes", "help"}), ("openrlhf", {"help"})]
)
def test_every_flag_that_rules_name_is_one_of_that_trainer(trainer: str, others: set[str]) -> None:
    tables = importlib.import_module(f"diagnostics.rules.{trainer}_flags")
    known = set().union(*(getattr(tables, name, {}) for name in ("FLAGS", "INVENTED", "OLD", "NEW")))
    files = (ROOT / "diagnostics" / "rules").glob(f"*{trainer}*.py")
    named = {(flag, where) for path in files for flag, where in flags_in(path)}
    missing = {(flag, where) for flag, where in named if flag not in known | others | PLACEHOLDERS}
    assert named and missing == set()


def test_the_search_for_flags_sees_something():
    assert {"config", "set"} <= {flag for flag, _ in flags_in_code()}
