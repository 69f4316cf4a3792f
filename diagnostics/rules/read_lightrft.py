"""LightRFT's launch scripts: `torchrun … examples/gsm8k_geo3k/train_colocate.py …`."""

import difflib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath

from diagnostics.rules.flags import Flag, parse_flags
from diagnostics.rules.foreign import Foreign, Setting
from diagnostics.rules.launch import Launch, environ_of
from diagnostics.rules.lightrft_flags import INVENTED, flags_of
from engine.findings import Finding, Fix


def read_lightrft(path: str, launch: Launch, problems: Sequence[Finding] = ()) -> Foreign:
    """The job that a command starts."""
    flags = flags_of(example_of(launch.program))
    parsed = parse_flags(launch.arguments, flags, path, "check.lightrft")
    unknown = list(_unknown(parsed.unknown, flags, Path(path).name))
    return Foreign(
        framework="lightrft",
        path=path,
        program=launch.program,
        settings=parsed.settings,
        environ=environ_of(launch),
        ranks=launch.ranks,
        nodes=launch.nodes,
        problems=(*problems, *parsed.problems, *unknown),
    )


def example_of(program: str) -> str:
    """The folder of an example's program: `gsm8k_geo3k`; empty where it has none."""
    return PurePosixPath(program).parent.name


def _unknown(unknown: Mapping[str, Setting], flags: Mapping[str, Flag], file: str) -> Iterator[Finding]:
    """Options that the program does not have: argparse ends it with `unrecognized arguments`."""
    for name, setting in unknown.items():
        place = f"{file} line {setting.line}: --{name}"
        if name in INVENTED:
            yield Finding(
                "check.lightrft.guide-only",
                "error",
                f"--{name} is in LightRFT's guide but not in its code: the launch stops with 'unrecognized "
                f"arguments'. {INVENTED[name].capitalize()}.",
                (place,),
                (Fix(f"leave out --{name}"),),
                name,
            )
            continue
        near = difflib.get_close_matches(name, flags, 1, 0.8)
        cause = (
            f"--{name} is no option of LightRFT's{' as of March 2026' if not near else ''}: a program that "
            "does not know it stops with 'unrecognized arguments'."
        )
        fix = Fix(f"write --{near[0]}") if near else Fix("check it with --help of the version you run")
        yield Finding(
            "check.lightrft.unknown-option", "error" if near else "warning", cause, (place,), (fix,), name
        )
