"""Every parameter as a command-line flag, for our entry point and for users' own scripts."""

import argparse
from collections.abc import Sequence
from typing import Any

from engine.config.layers import Layer, layer_from_flags, layer_from_sets, layer_from_yaml
from engine.config.load import resolve
from engine.config.registry import Parameter, parameters, section_class
from engine.config.sections import RunConfig
from engine.config.values import check_value, parse_text, show, type_words

__all__ = [
    "add_arguments",
    "config_from_namespace",
    "help_text",
    "layer_from_flags",
    "layers_from_command_line",
]

GIVEN = "given_parameters"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add every parameter to an argparse parser, each with its type, help and default.

    `config_from_namespace` turns the parsed arguments into a `RunConfig`. The parsed namespace also holds
    `given_parameters`, the names that were on the command line.
    """
    groups: dict[str, Any] = {}
    for parameter in parameters().values():
        section = parameter.section
        if section not in groups:
            groups[section] = parser.add_argument_group(section, section_class(section).__doc__)
        _add(groups[section], parameter)


def config_from_namespace(namespace: argparse.Namespace) -> RunConfig:
    """The configuration of parsed arguments; raises `FindingsError` with all problems.

    A parameter counts as given if it was on the command line or is no longer the default; one that the
    namespace lacks has its default.
    """
    given: frozenset[str] = getattr(namespace, GIVEN, frozenset())
    values = {}
    for key, parameter in parameters().items():
        value = getattr(namespace, parameter.name, parameter.default)
        if parameter.name in given or value != parameter.default:
            values[key] = value
    return resolve([Layer("flag", values)]).config


def layers_from_command_line(args: Sequence[str]) -> list[Layer]:
    """Layers of `--config FILE`, `--name value`, `--set section.key=value`: later ones of these win."""
    files: list[str] = []
    sets: list[str] = []
    flags: list[str] = []
    words = iter(args)
    for word in words:
        name, equals, text = word.partition("=")
        if name not in ("--config", "--set"):
            flags.append(word)
            continue
        (files if name == "--config" else sets).append(text if equals else next(words, ""))
    layers = [layer_from_yaml(path) for path in files]
    return [*layers, layer_from_flags(flags), layer_from_sets(sets)]


def help_text(prog: str) -> str:
    """What `PROG --help` prints: every parameter, and the two options that are none."""
    parser = argparse.ArgumentParser(
        prog, usage=f"{prog} [--config FILE] [--set KEY=VALUE] [--PARAMETER VALUE] ..."
    )
    parser.add_argument("--config", metavar="FILE", help="YAML file of settings; repeatable, later ones win.")
    parser.add_argument("--set", metavar="KEY=VALUE", help="Set section.key=value; repeatable.")
    add_arguments(parser)
    return parser.format_help()


class _Given(argparse.Action):
    """Stores a checked value and that it was given."""

    def __init__(self, *, parameter: Parameter, negated: bool = False, **options: Any) -> None:
        super().__init__(**options)
        self.parameter = parameter
        self.negated = negated

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: str | None = None) -> None:
        words = values if isinstance(values, list) else [] if values is None else [values]
        text = ",".join(words) if words else str(not self.negated)
        value, finding = check_value(parse_text(text, self.parameter), self.parameter)
        if finding is not None:
            raise argparse.ArgumentError(self, finding.cause)
        setattr(namespace, self.dest, value)
        setattr(namespace, GIVEN, getattr(namespace, GIVEN, frozenset()) | {self.dest})


def _add(group: Any, parameter: Parameter) -> None:
    flags = [form for name in (parameter.name, *parameter.aliases) for form in _forms(name)]
    group.add_argument(
        *flags,
        dest=parameter.name,
        action=_Given,
        parameter=parameter,
        nargs={"bool": "?", "floats": "+"}.get(parameter.kind),
        default=parameter.default,
        metavar="BOOL" if parameter.kind == "bool" else parameter.kind.upper().removesuffix("S"),
        help=_help(parameter),
    )
    negations = [form for name in parameter.negations for form in _forms(name)]
    if negations:
        group.add_argument(
            *negations,
            dest=parameter.name,
            action=_Given,
            parameter=parameter,
            negated=True,
            nargs=0,
            default=argparse.SUPPRESS,
            help=f"The same as --{parameter.name} false.",
        )


def _forms(name: str) -> list[str]:
    return list(dict.fromkeys([f"--{name}", f"--{name.replace('_', '-')}"]))


def _help(parameter: Parameter) -> str:
    unit = f", in {parameter.unit}" if parameter.unit else ""
    text = f"{parameter.help} ({type_words(parameter)}{unit}; default {show(parameter.default)})"
    return text.replace("%", "%%")
