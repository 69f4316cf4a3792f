"""The names that are known of TRL are those of the TRL that is installed."""

import ast
from importlib.util import find_spec
from pathlib import Path

import pytest

from diagnostics.rules.trl_defaults import DEFAULTS
from diagnostics.rules.trl_names import GONE, LAUNCH_NAMES, NAMES


def _fields(module: Path, name: str) -> dict[str, ast.expr | None]:
    """Annotated fields of a dataclass, and their `default=`."""
    tree = ast.parse(module.read_text(encoding="utf-8"))
    (found,) = [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef) and node.name == name]
    fields = {}
    for node in found.body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            value = node.value
            if isinstance(value, ast.Call):
                value = next((k.value for k in value.keywords if k.arg == "default"), None)
            fields[node.target.id] = value
    return fields


def _package(name: str) -> Path:
    spec = find_spec(name)
    if spec is None or spec.origin is None:
        pytest.skip(f"{name} is not installed")
    return Path(spec.origin).parent


def test_grpo_config_and_model_config_are_known() -> None:
    trl = _package("trl")
    fields = {
        **_fields(trl / "trainer" / "grpo_config.py", "GRPOConfig"),
        **_fields(trl / "trainer" / "model_config.py", "ModelConfig"),
        **_fields(trl / "scripts" / "utils.py", "ScriptArguments"),
    }
    assert set(fields) <= NAMES
    assert not set(GONE) & set(fields)
    for name, default in DEFAULTS.items():
        declared = fields.get(name)
        if isinstance(declared, ast.Constant):
            assert default == declared.value, name


def test_training_arguments_are_known() -> None:
    fields = _fields(_package("transformers") / "training_args.py", "TrainingArguments")
    assert {name for name in fields if not name.startswith("_")} <= NAMES
    assert "max_grad_norm" in fields and not set(GONE) & set(fields)


def test_accelerates_launcher_is_known() -> None:
    assert {"num_processes", "config_file", "main_process_port", "zero_stage"} <= LAUNCH_NAMES
