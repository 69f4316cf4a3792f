"""OpenRLHF's launch scripts: `ray job submit … -- python3 -m openrlhf.cli.train_ppo_ray …`."""

import difflib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from diagnostics.rules.flags import Flag, parse_flags
from diagnostics.rules.foreign import Foreign, Setting
from diagnostics.rules.launch import Launch, environ_of
from diagnostics.rules.openrlhf_flags import DOTTED, NEW, OLD
from diagnostics.rules.telling import count
from engine.findings import Finding, Fix

TRAINERS = ("train_ppo_ray", "train_ppo")
"""The programs whose options are known; of others (SFT, reward models, servers) only the launch is read."""


def read_openrlhf(path: str, launch: Launch, problems: Sequence[Finding] = ()) -> Foreign:
    """The job that a command starts. Settings keep the spelling of the file, old or dotted."""
    dotted = any(
        word.text.startswith("--") and "." in word.text.partition("=")[0] for word in launch.arguments
    )
    flags = NEW if dotted else OLD
    parsed = parse_flags(launch.arguments, flags, path, "check.openrlhf")
    unknown = list(_unknown(parsed.unknown, flags, Path(path).name)) if is_trainer(launch.program) else []
    foreign = Foreign(
        framework="openrlhf",
        path=path,
        program=launch.program,
        settings=parsed.settings,
        environ=environ_of(launch),
        problems=(*problems, *parsed.problems, *unknown),
    )
    nodes = count(foreign, own(foreign, "actor_num_nodes"), 1)
    each = count(foreign, own(foreign, "actor_num_gpus_per_node"), 8)
    return Foreign(
        framework="openrlhf",
        path=path,
        program=launch.program,
        settings=parsed.settings,
        environ=foreign.environ,
        ranks=nodes * each if nodes and each else None,
        nodes=nodes,
        problems=foreign.problems,
    )


def is_trainer(program: str) -> bool:
    """True for PPO and what is built on it."""
    return program.removesuffix(".py").replace("/", ".").rpartition(".")[2] in TRAINERS


def is_dotted(foreign: Foreign) -> bool:
    """True where the options have the names of 2026: `rollout.batch_size`."""
    return any("." in name for name in foreign.settings)


def own(foreign: Foreign, name: str) -> str:
    """An option as the file spells it, by its name up to 0.9."""
    return DOTTED.get(name, name) if is_dotted(foreign) else name


def flag_of(foreign: Foreign, name: str) -> Flag:
    """What is known of an option, by its name up to 0.9."""
    return (NEW if is_dotted(foreign) else OLD)[own(foreign, name)]


def _unknown(unknown: Mapping[str, Setting], flags: Mapping[str, Flag], file: str) -> Iterator[Finding]:
    """Options that the program does not have: argparse ends it with `unrecognized arguments`."""
    for name, setting in unknown.items():
        other = DOTTED.get(name) if flags is NEW else None
        near = [other] if other else difflib.get_close_matches(name, flags, 1, 0.8)
        replaced = f" Since 2026 it is --{other}." if other else ""
        yield Finding(
            "check.openrlhf.unknown-option",
            "error" if near else "warning",
            f"--{name} is no option of OpenRLHF's train_ppo_ray: a release that does not know it stops with "
            f"'unrecognized arguments'.{replaced}",
            (f"{file} line {setting.line}: --{name}",),
            (Fix(f"write --{near[0]}") if near else Fix("check it with --help of the version you run"),),
            name,
        )
