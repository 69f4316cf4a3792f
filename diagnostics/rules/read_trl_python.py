"""A Python script that trains with TRL: literals in `GRPOConfig(...)`, read by `ast`, never executed."""

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from diagnostics.rules.foreign import Foreign, Setting
from engine.findings import Finding, Fix

CONFIGS = {"GRPOConfig"}
LORA = {
    "r": "lora_r",
    "lora_alpha": "lora_alpha",
    "lora_dropout": "lora_dropout",
    "target_modules": "lora_target_modules",
}
UNKNOWN = "$"
"""Begins the text that stands for a value which only running the script would tell."""


def read_trl_python(path: Path) -> Foreign:
    """What the script's calls of GRPOConfig, GRPOTrainer and LoraConfig say.

    A name that is assigned one literal stands for it; whatever else has to be computed stays unknown.
    """
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, SyntaxError, ValueError, RecursionError) as error:
        where = f" line {error.lineno}" if isinstance(error, SyntaxError) and error.lineno else ""
        cause = f"{path}{where} cannot be read as Python: {getattr(error, 'msg', None) or error}."
        problem = Finding("check.python-unreadable", "error", cause, fixes=(Fix("give a script that runs"),))
        return Foreign(framework="trl", path=str(path), settings={}, problems=(problem,))
    constants = _constants(tree)
    settings: dict[str, Setting] = {}
    problems: list[Finding] = []
    calls = list(_calls(tree))
    for name, call in calls:
        if name in CONFIGS:
            settings |= _keywords(call, constants)
        elif name == "LoraConfig":
            given = _keywords(call, constants)
            settings |= {LORA[key]: value for key, value in given.items() if key in LORA}
            settings["use_peft"] = Setting(True, call.lineno)
        elif name == "GRPOTrainer":
            settings |= _of_trainer(call, constants)
    names = [name for name, _ in calls]
    if not CONFIGS & set(names):
        problems.append(_no_config(path, parses="TrlParser" in names or "HfArgumentParser" in names))
    if names.count("GRPOConfig") > 1:
        cause = (
            f"{path.name} makes {names.count('GRPOConfig')} GRPOConfigs: they are read as one, the last wins."
        )
        problems.append(Finding("check.trl.several-configs", "info", cause))
    return Foreign(
        framework="trl", path=str(path), program=path.name, settings=settings, problems=tuple(problems)
    )


def _of_trainer(call: ast.Call, constants: Mapping[str, Any]) -> dict[str, Setting]:
    given = _keywords(call, constants)
    found = {}
    if "model" in given and isinstance(given["model"].value, str):
        found["model_name_or_path"] = given["model"]
    for keyword in call.keywords:
        if keyword.arg == "reward_funcs":
            found["reward_funcs"] = Setting(_reward_names(keyword.value), keyword.value.lineno)
        elif keyword.arg == "train_dataset":
            found["trainer.train_dataset"] = Setting(ast.unparse(keyword.value), keyword.value.lineno)
    return found


def _reward_names(node: ast.expr) -> list[str]:
    items = node.elts if isinstance(node, ast.List | ast.Tuple) else [node]
    return [str(item.value) if isinstance(item, ast.Constant) else ast.unparse(item) for item in items]


def _keywords(call: ast.Call, constants: Mapping[str, Any]) -> dict[str, Setting]:
    return {
        keyword.arg: Setting(_value(keyword.value, constants), keyword.value.lineno)
        for keyword in call.keywords
        if keyword.arg is not None
    }


def _value(node: ast.expr, constants: Mapping[str, Any]) -> Any:
    if isinstance(node, ast.Name) and node.id in constants:
        return constants[node.id]
    if isinstance(node, ast.Dict):
        return {
            str(_value(key, constants)): _value(value, constants)
            for key, value in zip(node.keys, node.values, strict=True)
            if key is not None
        }
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "torch":
        return node.attr
    if isinstance(node, ast.BinOp):
        return _computed(node, constants)
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return f"{UNKNOWN}{{{ast.unparse(node)}}}"


def _computed(node: ast.BinOp, constants: Mapping[str, Any]) -> Any:
    """Sums, differences, products and whole quotients of numbers that are known."""
    left, right = _value(node.left, constants), _value(node.right, constants)
    if not (isinstance(left, int | float) and isinstance(right, int | float)):
        return f"{UNKNOWN}{{{ast.unparse(node)}}}"
    match node.op:
        case ast.Add():
            return left + right
        case ast.Sub():
            return left - right
        case ast.Mult():
            return left * right
        case ast.FloorDiv() if right:
            return left // right
    return f"{UNKNOWN}{{{ast.unparse(node)}}}"


def _constants(tree: ast.Module) -> dict[str, Any]:
    """Names that are assigned exactly once in the file, a literal."""
    values: dict[str, list[Any]] = {}
    for node in ast.walk(tree):
        targets: list[ast.expr] = []
        if isinstance(node, ast.Assign):
            targets = node.targets
        elif isinstance(node, ast.AnnAssign | ast.AugAssign):
            targets = [node.target]
        for target in targets:
            if isinstance(target, ast.Name):
                value = getattr(node, "value", None)
                values.setdefault(target.id, []).append(
                    value if not isinstance(node, ast.AugAssign) else None
                )
    found: dict[str, Any] = {}
    for name, nodes in values.items():
        if len(nodes) == 1 and nodes[0] is not None:
            try:
                found[name] = ast.literal_eval(nodes[0])
            except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
                continue
    return found


def _calls(tree: ast.Module) -> Iterator[tuple[str, ast.Call]]:
    """Calls by the last name of what is called, in the order of the file."""
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    for call in sorted(calls, key=lambda node: (node.lineno, node.col_offset)):
        if isinstance(call.func, ast.Name):
            yield call.func.id, call
        elif isinstance(call.func, ast.Attribute):
            yield call.func.attr, call


def _no_config(path: Path, *, parses: bool) -> Finding:
    if parses:
        cause = f"{path.name} takes its settings from a command line or YAML: it holds none to check."
        fix = Fix("check the launch script or the YAML that it is started with")
    else:
        cause = f"{path.name} makes no GRPOConfig."
        fix = Fix("give a script that trains with TRL's GRPOTrainer")
    return Finding("check.trl.no-config", "warning", cause, fixes=(fix,))
