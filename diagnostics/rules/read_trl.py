"""TRL's configuration: the flags and YAML of `trl grpo`, accelerate's configuration, literals in a script."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from diagnostics.rules.foreign import Foreign, Setting
from diagnostics.rules.nested_yaml import parse_value, read_nested
from diagnostics.rules.telling import count
from diagnostics.rules.trl_defaults import SHIPPED_ACCELERATE
from engine.findings import Finding, Fix

ACCELERATE = "accelerate."
"""What begins the names of accelerate's settings here."""
MAPPINGS = ("model_init_kwargs", "gradient_checkpointing_kwargs", "generation_kwargs", "lr_scheduler_kwargs")


def read_trl_command(
    path: str,
    words: Sequence[Setting],
    *,
    program: str = "",
    environ: Mapping[str, Setting] | None = None,
    options: Mapping[str, Setting] | None = None,
    ranks: int | None = None,
    nodes: int | None = None,
    problems: Sequence[Finding] = (),
) -> Foreign:
    """The job of `trl grpo …` or `accelerate launch train.py …`.

    `words`: of the script, unquoted; `options`: of `accelerate launch`; `ranks`, `nodes`: as its flags say.
    Files that `--config` and `--config_file` name are read where they exist.
    """
    flags = _flags(words)
    settings: dict[str, Setting] = {}
    found: list[Finding] = list(problems)
    variables = dict(environ or {})
    if "config" in flags:
        below, more = _named_file(path, flags.pop("config"))
        variables |= {key.removeprefix("env."): v for key, v in below.items() if key.startswith("env.")}
        settings |= {key: value for key, value in below.items() if not key.startswith("env.")}
        found += more
    settings |= flags
    launcher = {name: Setting(parse_value(str(s.value)), s.line) for name, s in (options or {}).items()}
    return _foreign(path, program, settings, launcher, variables, ranks, nodes, found)


def read_trl_yaml(path: Path) -> Foreign:
    """The job of a configuration for `trl grpo --config`, or one of an open-r1 recipe."""
    settings, problems = read_nested(path)
    environ = {key.removeprefix("env."): value for key, value in settings.items() if key.startswith("env.")}
    own = {key: value for key, value in settings.items() if not key.startswith("env.")}
    return _foreign(str(path), "", own, {}, environ, None, None, problems)


def _foreign(
    path: str,
    program: str,
    settings: dict[str, Setting],
    options: dict[str, Setting],
    environ: dict[str, Setting],
    ranks: int | None,
    nodes: int | None,
    problems: list[Finding],
) -> Foreign:
    whole = _kept_whole(settings)
    launcher = dict(options)
    for name in ("num_processes", "num_machines", "config_file", "accelerate_config"):
        if name in whole:
            launcher[name] = whole.pop(name)
    file = launcher.pop("config_file", None) or launcher.pop("accelerate_config", None)
    below: dict[str, Setting] = {}
    if file is not None:
        below, more = _accelerate(path, file)
        problems += more
    whole |= {f"{ACCELERATE}{name}": value for name, value in {**below, **launcher}.items()}
    bare = Foreign(framework="trl", path=path, settings=whole)
    return Foreign(
        framework="trl",
        path=path,
        program=program,
        settings=whole,
        environ=environ,
        ranks=ranks if ranks is not None else count(bare, f"{ACCELERATE}num_processes"),
        nodes=nodes if nodes is not None else count(bare, f"{ACCELERATE}num_machines"),
        problems=tuple(problems),
    )


def _accelerate(path: str, file: Setting) -> tuple[dict[str, Setting], list[Finding]]:
    shipped = SHIPPED_ACCELERATE.get(str(file.value))
    if shipped is not None:
        return {name: Setting(value, file.line) for name, value in shipped.items()}, []
    below, problems = _named_file(path, file)
    return {name: Setting(value.value) for name, value in below.items()}, problems


def _named_file(path: str, file: Setting) -> tuple[dict[str, Setting], list[Finding]]:
    """The YAML that a setting names, looked for from here, beside the file, and in the folders above it."""
    named = Path(str(file.value)).expanduser()
    beside = Path(path).resolve()
    for folder in (Path(), *beside.parents):
        if (folder / named).is_file():
            return read_nested(folder / named)
    where = f"line {file.line}: " if file.line else ""
    cause = f"{where}{file.value} was not found: what it sets is not known."
    fix = Fix("run the check where that file lies")
    return {}, [Finding("check.trl.file-missing", "info", cause, fixes=(fix,))]


def _flags(words: Sequence[Setting]) -> dict[str, Setting]:
    """`--name value`, `--name=value`, `--switch`, `--list a b c`, `--no_switch`."""
    found: dict[str, Setting] = {}
    for name, values, line in _grouped(words):
        if name.startswith("no_") and not values:
            found[name.removeprefix("no_")] = Setting(False, line)
        elif not values:
            found[name] = Setting(True, line)
        else:
            read = [parse_value(value) for value in values]
            found[name] = Setting(read[0] if len(read) == 1 else read, line)
    return found


def _grouped(words: Sequence[Setting]) -> Iterator[tuple[str, list[str], int]]:
    name, line = "", 0
    values: list[str] = []
    for word in words:
        spelled = str(word.value)
        if spelled.startswith("--") and len(spelled) > 2:
            if name:
                yield name, values, line
            name, equals, inline = spelled[2:].partition("=")
            name, values, line = name.replace("-", "_"), [inline] if equals else [], word.line
        elif name and spelled not in ("$@", "$*"):
            values.append(spelled)
    if name:
        yield name, values, line


def _kept_whole(settings: Mapping[str, Setting]) -> dict[str, Setting]:
    """Flat settings with those that are mappings by nature put together: `model_init_kwargs`."""
    whole: dict[str, Setting] = {}
    for key, setting in settings.items():
        owner, dot, name = key.partition(".")
        if not dot or owner not in MAPPINGS:
            whole[key] = setting
            continue
        before: dict[str, Any] = whole[owner].value if owner in whole else {}
        whole[owner] = Setting(
            {**before, name: setting.value}, whole[owner].line if owner in whole else setting.line
        )
    return whole
