"""verl's configuration: Hydra overrides on a command line, YAML, or both."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from diagnostics.rules.foreign import Foreign, Setting
from diagnostics.rules.hydra import Override, Words, parse_words
from diagnostics.rules.nested_yaml import read_nested, resolve
from diagnostics.rules.telling import count
from diagnostics.rules.verl_defaults import DEFAULTS, INHERITED
from engine.findings import Finding, Fix

SHIPPED = (
    "ppo_trainer",
    "ppo_megatron_trainer",
    "ppo_veomni_trainer",
    "dapo_trainer",
    "_generated_ppo_trainer",
)
"""Configurations that come with verl: their values are the framework's defaults."""
MAX_DEPTH = 8


def read_verl_command(
    path: str,
    words: Sequence[Setting],
    *,
    program: str = "",
    environ: Mapping[str, Setting] | None = None,
    problems: Sequence[Finding] = (),
) -> Foreign:
    """The job that a command line starts; `words`: those after `-m verl.trainer.main_ppo`, unquoted."""
    parsed = parse_words(words)
    settings, found = _base(Path(path), parsed)
    found += [*problems, *parsed.problems]
    applied, more = _apply(settings, parsed.overrides)
    return _foreign(path, program, applied, dict(environ or {}), [*found, *more])


def read_verl_yaml(path: Path) -> Foreign:
    """The job of a YAML file, the configurations of its `defaults` list included where they lie beside it."""
    settings, problems = _with_defaults(path, MAX_DEPTH)
    return _foreign(str(path), "", settings, {}, problems)


def _foreign(
    path: str,
    program: str,
    settings: dict[str, Setting],
    environ: dict[str, Setting],
    problems: list[Finding],
) -> Foreign:
    resolved = resolve(settings, DEFAULTS)
    for name, origin in INHERITED.items():
        if name not in resolved and origin in resolved:
            resolved[name] = Setting(resolved[origin].value)
    bare = Foreign(framework="verl", path=path, settings=resolved)
    gpus = count(bare, "trainer.n_gpus_per_node", 8)
    nodes = count(bare, "trainer.nnodes", 1)
    return Foreign(
        framework="verl",
        path=path,
        program=program,
        settings=resolved,
        environ=environ,
        ranks=gpus * nodes if gpus and nodes else None,
        nodes=nodes,
        problems=tuple(problems),
    )


def _base(script: Path, parsed: Words) -> tuple[dict[str, Setting], list[Finding]]:
    """The file that `--config-name` means, where it is found beside the script or in `--config-path`."""
    name = parsed.config_name.removesuffix(".yaml")
    if not name or name in SHIPPED:
        return {}, []
    folders = (script.parent / parsed.config_path, Path(parsed.config_path), script.parent)
    for folder in folders:
        file = folder / f"{name}.yaml"
        if file.is_file():
            settings, problems = _with_defaults(file, MAX_DEPTH)
            return {key: Setting(setting.value) for key, setting in settings.items()}, problems
    return {}, [_base_missing(name, parsed.config_path)]


def _with_defaults(path: Path, depth: int) -> tuple[dict[str, Setting], list[Finding]]:
    own, problems = read_nested(path)
    bases = own.pop("defaults", None)
    merged: dict[str, Setting] = {}
    entries = bases.value if bases and isinstance(bases.value, list) else []
    if depth == 0:
        return own, problems
    for entry in entries:
        for place, name in _named(entry):
            file = (path.parent / place / f"{name}.yaml") if place else path.parent / f"{name}.yaml"
            if name in SHIPPED or name == "_self_":
                continue
            if not file.is_file():
                problems.append(_base_missing(name, str(file.parent)))
                continue
            below, more = _with_defaults(file, depth - 1)
            prefix = f"{place.replace('/', '.')}." if place else ""
            merged |= {f"{prefix}{key}": Setting(setting.value) for key, setting in below.items()}
            problems += more
    return merged | own, problems


def _named(entry: object) -> list[tuple[str, str]]:
    """Folder and name of an entry of `defaults`: `ppo_trainer`, `{model: hf_model}` or `model@a.b: …`."""
    if isinstance(entry, str):
        return [("", entry.removesuffix(".yaml"))]
    if not isinstance(entry, dict):
        return []
    return [
        (str(group).removeprefix("override ").partition("@")[0].strip("/"), str(name))
        for group, name in entry.items()
        if isinstance(name, str)
    ]


def _apply(
    settings: dict[str, Setting], overrides: Sequence[Override]
) -> tuple[dict[str, Setting], list[Finding]]:
    applied, problems = dict(settings), []
    on_line: dict[str, Override] = {}
    for override in overrides:
        key = override.key
        if override.sign == "~":
            applied = {k: v for k, v in applied.items() if k != key and not k.startswith(f"{key}.")}
            continue
        if (before := on_line.get(key)) and before.value != override.value:
            problems.append(_twice(before, override))
        if override.sign == "+" and key in DEFAULTS:
            problems.append(_already_there(override))
        on_line[key] = override
        for name, value in _flat(key, override.value):
            applied[name] = Setting(value, override.line)
    return applied, problems


def _flat(key: str, value: object) -> list[tuple[str, object]]:
    if isinstance(value, dict) and value:
        return [pair for name, below in value.items() for pair in _flat(f"{key}.{name}", below)]
    return [(key, value)]


def _base_missing(name: str, folder: str) -> Finding:
    where = f" in {folder}" if folder else ""
    cause = (
        f"{name}.yaml, which this configuration builds on, was not found{where}: what it sets is not known."
    )
    return Finding(
        "check.verl.base-missing", "info", cause, fixes=(Fix("run the check where that file lies"),)
    )


def _twice(before: Override, after: Override) -> Finding:
    cause = (
        f"{after.key} is given twice, {before.value!r} in line {before.line} and {after.value!r} in line "
        f"{after.line}: the last one counts."
    )
    return Finding(
        "check.given-twice", "warning", cause, fixes=(Fix(f"keep one {after.key}"),), param=after.key
    )


def _already_there(override: Override) -> Finding:
    cause = (
        f"+{override.key} (line {override.line}) asks Hydra to append what verl's configuration has had "
        "since "
        '2025: it stops with "Could not append to config. An item is already at" that name.'
    )
    fixes = (
        Fix(f"write it without the plus: {override.key}={override.value}"),
        Fix(f"or for old and new versions: ++{override.key}={override.value}"),
    )
    return Finding("check.verl.append-existing", "warning", cause, fixes=fixes, param=override.key)
