"""Configurations of any trainer, from a file: launch scripts, YAML, Python."""

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Literal

import msgspec

from diagnostics.rules import detect
from diagnostics.rules.foreign import Foreign, Framework, Setting
from diagnostics.rules.launch import Launch, environ_of, launch_of
from diagnostics.rules.nested_yaml import parse_nested
from diagnostics.rules.read_lightrft import read_lightrft
from diagnostics.rules.read_openrlhf import read_openrlhf
from diagnostics.rules.read_trinity import read_trinity_yaml
from diagnostics.rules.read_trl import read_trl_command, read_trl_yaml
from diagnostics.rules.read_trl_python import read_trl_python
from diagnostics.rules.read_verl import read_verl_command, read_verl_yaml
from diagnostics.rules.shell.script import Script, parse_script
from diagnostics.rules.shell.values import Word
from engine.findings import Finding, FindingsError, Fix

LARGEST = 4 * 1024**2
"""Bytes; configurations are a few kilobytes."""
_MOST_SHOWN = 4
_DATE = re.compile(r"(\$\(|`)\s*date\b")
"""Part of a name; that it is not known matters to nobody."""


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """A file at hand. `framework`: as given, or of a YAML file as its keys tell."""

    path: Path
    text: str
    kind: Literal["shell", "yaml", "python"]
    framework: Framework | None = None


def open_source(path: Path, framework: Framework | None = None) -> Source:
    """Read a file and see what it is. Raises `FindingsError` for what cannot be a configuration."""
    text = _text(path)
    kind = _kind(path, text)
    if kind == "yaml" and framework is None:
        settings, problems = parse_nested(text, str(path))
        framework = detect.of_keys(settings)
        if framework is None and problems and not settings:
            raise FindingsError(problems)
    return Source(path=path, text=text, kind=kind, framework=framework)


def read(source: Source) -> tuple[Foreign, ...]:
    """The jobs that a file starts, in order; `FindingsError` where it starts none that is understood."""
    if source.kind == "yaml":
        return (_read_yaml(source),)
    if source.kind == "python":
        return (_read_python(source),)
    script = parse_script(source.text)
    launches = [launch for command in script.commands if (launch := launch_of(command))]
    found = [(launch, source.framework or detect.of_launch(launch)) for launch in launches]
    if source.framework is not None:
        found = [(launch, name) for launch, name in found if _is_training(launch)]
    jobs = [_read_launch(source, script, launch, name) for launch, name in found if name]
    if not jobs:
        raise FindingsError([_nothing_understood(source, script, launches)])
    first = msgspec.structs.replace(jobs[0], problems=(*_of_script(source, script), *jobs[0].problems))
    return (first, *jobs[1:])


def _read_launch(source: Source, script: Script, launch: Launch, framework: Framework) -> Foreign:
    path = str(source.path)
    problems = list(_of_launch(source, script, launch))
    words = [Setting(word.text, word.line) for word in launch.arguments]
    match framework:
        case "lightrft":
            return read_lightrft(path, launch, problems)
        case "openrlhf":
            return read_openrlhf(path, launch, problems)
        case "verl":
            return read_verl_command(
                path, words, program=launch.program, environ=environ_of(launch), problems=problems
            )
        case "trl":
            return read_trl_command(
                path,
                words,
                program=launch.program,
                environ=environ_of(launch),
                options={name: Setting(word.text, word.line) for name, word in launch.options.items()},
                ranks=launch.ranks,
                nodes=launch.nodes,
                problems=problems,
            )
        case "trinity":
            return _read_trinity(source, launch, problems)
        case "rftui":
            raise FindingsError([_starts_us(source, launch)])


def _read_trinity(source: Source, launch: Launch, problems: Sequence[Finding]) -> Foreign:
    """`trinity run --config FILE`: the file holds all, the script the environment."""
    texts = [word.text for word in launch.arguments]
    name = next((after for text, after in pairwise(texts) if text == "--config"), "")
    name = name or next((text.partition("=")[2] for text in texts if text.startswith("--config=")), "")
    for file in (Path(name), source.path.parent / name):
        if name and file.is_file():
            job = read_trinity_yaml(file)
            environ = {**environ_of(launch), **job.environ}
            return msgspec.structs.replace(
                job, environ=environ, program=launch.program, problems=(*problems, *job.problems)
            )
    cause = f"{_place(source, launch.line)} runs Trinity-RFT with {name or 'no --config'}, which is not here."
    raise FindingsError([Finding("check.file-unreadable", "error", cause, fixes=(Fix("check that file"),))])


def _read_yaml(source: Source) -> Foreign:
    match source.framework:
        case "verl":
            return read_verl_yaml(source.path)
        case "trl":
            return read_trl_yaml(source.path)
        case "trinity":
            return read_trinity_yaml(source.path)
        case None:
            raise FindingsError([_no_framework(source)])
    raise FindingsError([_not_here(source, source.framework)])


def _read_python(source: Source) -> Foreign:
    if source.framework not in (None, "trl"):
        raise FindingsError([_not_here(source, source.framework)])
    return read_trl_python(source.path)


def _text(path: Path) -> str:
    try:
        size = path.stat().st_size
        if path.is_dir():
            raise FindingsError([_unreadable(path, "it is a folder", "give the file in it")])
        if size > LARGEST:
            cause = f"it has {size / 1e6:.0f} MB; scripts and configurations are a few kilobytes"
            raise FindingsError([_unreadable(path, cause, "give the launch script or YAML file")])
        data = path.read_bytes()
    except OSError as error:
        raise FindingsError(
            [_unreadable(path, error.strerror or str(error), "give a readable file")]
        ) from None
    if b"\0" in data:
        raise FindingsError([_unreadable(path, "it is binary", "give the launch script or YAML file")])
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        cause = f"it is not text in UTF-8 (byte {error.start})"
        raise FindingsError([_unreadable(path, cause, "save it as UTF-8")]) from None
    if not text.strip():
        raise FindingsError([_unreadable(path, "it is empty", "give a file with a configuration")])
    return text.replace("\r\n", "\n")


def _kind(path: Path, text: str) -> Literal["shell", "yaml", "python"]:
    match path.suffix.lower():
        case ".yaml" | ".yml" | ".json":
            return "yaml"
        case ".py":
            return "python"
        case ".sh" | ".bash" | ".slurm" | ".sbatch":
            return "shell"
    if text.startswith("#!") or re.search(r"\\$", text, re.M):
        return "shell"
    first = next((line for line in text.splitlines() if line.strip() and not line.startswith("#")), "")
    return "yaml" if re.match(r"[\w.-]+:(\s|$)", first) else "shell"


def _is_training(launch: Launch) -> bool:
    return bool(launch.launcher or launch.program.endswith(".py") or "." in launch.program) and any(
        word.text.startswith("-") or "=" in word.text for word in launch.arguments
    )


def _of_script(source: Source, script: Script) -> Iterator[Finding]:
    """What is wrong with a script as a whole."""
    for problem in script.problems:
        severity: Literal["error", "warning"] = "error" if "broken" in problem.id else "warning"
        fix = "take the comment out of the command" if "omment" in problem.cause else "delete the space"
        fixes = (Fix(fix),) if severity == "error" else ()
        yield Finding(f"check.{problem.id}", severity, problem.cause, (_place(source, problem.line),), fixes)
    if script.sourced:
        names = ", ".join(script.sourced)
        cause = f"The script also runs {names}, which is not read: what is set there is not known here."
        yield Finding("check.shell.sourced", "info", cause)


def _of_launch(source: Source, script: Script, launch: Launch) -> Iterator[Finding]:
    """What is not known of one command, and what depends on more than the file."""
    words = [*launch.arguments, *launch.options.values()]
    unknown: dict[str, list[Word]] = {}
    for word in words:
        for part in word.unknown:
            if not _DATE.match(part):
                unknown.setdefault(part, []).append(word)
    if unknown:
        yield _not_known(source, script, unknown)
    for note in dict.fromkeys(note for word in words for note in word.depends):
        first = next(word for word in words if note in word.depends)
        cause = f"{note[0].upper()}{note[1:]}; checked with {_short(first.text)}."
        yield Finding("check.shell.depends", "info", cause, (_place(source, first.line, first.text),))


def _not_known(source: Source, script: Script, unknown: dict[str, list[Word]]) -> Finding:
    unset = [part for part in unknown if not part.startswith(("$(", "`", "<("))]
    run = [part for part in unknown if part not in unset]
    said = []
    if unset:
        where = " (perhaps set in what it sources)" if script.sourced else ""
        said.append(f"{', '.join(unset)} {_is(unset)} not set in the file{where}")
    if run:
        said.append(f"{', '.join(map(_short, run))} {_is(run)} known only when the script runs")
    cause = f"{'; '.join(said)}: what is given by {'it' if len(unknown) == 1 else 'them'} is not checked."
    places = [_place(source, words[0].line, words[0].text) for words in unknown.values()]
    fixes = (
        (Fix("run the check with the values written out, as NAME=value lines at the top"),) if unset else ()
    )
    return Finding("check.shell.not-known", "info", cause, tuple(places), fixes)


def _nothing_understood(source: Source, script: Script, launches: Sequence[Launch]) -> Finding:
    programs = list(dict.fromkeys(_short(launch.program) for launch in launches if launch.program))
    shown = ", ".join(programs[:_MOST_SHOWN]) + (", …" if len(programs) > _MOST_SHOWN else "")
    runs = f"it runs {shown}" if programs else "it runs no program"
    sourced = f"; {', '.join(script.sourced)} is not followed" if script.sourced else ""
    return Finding(
        "check.unknown-framework",
        "error",
        f"{source.path} starts no trainer that is understood: {runs}{sourced}.",
        fixes=(Fix(f"understood are {detect.UNDERSTOOD}"), Fix("or say which it is with --framework")),
    )


def _no_framework(source: Source) -> Finding:
    return Finding(
        "check.unknown-framework",
        "error",
        f"{source.path} is of no trainer that is understood, by its names.",
        fixes=(Fix(f"understood are {detect.UNDERSTOOD}"), Fix("or say which it is with --framework")),
    )


def _starts_us(source: Source, launch: Launch) -> Finding:
    names = [word.text for word in launch.arguments if word.text.endswith((".yaml", ".yml"))]
    cause = f"{_place(source, launch.line)} starts rftui itself ({launch.program})."
    fix = Fix("check the configuration that it names", command=f"rft check {names[0]}" if names else "")
    return Finding("check.starts-rftui", "error", cause, fixes=(fix,))


def _not_here(source: Source, framework: Framework) -> Finding:
    name = detect.NAMES[framework]
    cause = f"{source.path}: {name} is not configured by a {source.kind} file like this."
    return Finding(
        "check.unknown-framework", "error", cause, fixes=(Fix(f"understood are {detect.UNDERSTOOD}"),)
    )


def _unreadable(path: Path, reason: str, fix: str) -> Finding:
    return Finding("check.file-unreadable", "error", f"cannot read {path}: {reason}.", fixes=(Fix(fix),))


def _place(source: Source, line: int, text: str = "") -> str:
    place = f"{source.path.name} line {line}"
    return f"{place}: {_short(text)}" if text else place


def _is(names: Sequence[str]) -> str:
    return "is" if len(names) == 1 else "are"


def _short(text: str) -> str:
    words = " ".join(text.split())
    return words if len(words) <= 60 else words[:57] + "…"
