"""The table of all parameters in Markdown: `python -m engine.config.reference > docs/parameters.md`."""

from collections.abc import Iterator

from engine.config.registry import Parameter, parameters, section_class
from engine.config.sections import RunConfig
from engine.config.values import range_words, show


def markdown() -> str:
    """The whole page."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield "# All parameters"
    yield ""
    yield "Made from `engine/config/sections.py` by `python -m engine.config.reference > docs/parameters.md`;"
    yield "a test keeps it current. ✗ marks what this version refuses: the parameter, or the values named."
    yield "How names, flags and files go together is in [configuration.md](configuration.md)."
    for section in RunConfig.model_fields:
        yield ""
        yield f"## {section}"
        yield ""
        yield (section_class(section).__doc__ or "").strip()
        yield ""
        yield "| parameter | type | default | range | unit | meaning |"
        yield "|---|---|---|---|---|---|"
        for parameter in parameters().values():
            if parameter.section == section:
                yield _row(parameter)


def _row(parameter: Parameter) -> str:
    cells = (
        f"`{parameter.name}`",
        _type(parameter),
        "" if parameter.default in (None, "") else f"`{show(parameter.default)}`",
        range_words(parameter),
        parameter.unit,
        parameter.help + _marks(parameter),
    )
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _type(parameter: Parameter) -> str:
    if parameter.kind == "choice":
        return ", ".join(f"`{choice}`" for choice in parameter.choices)
    return {"floats": "numbers", "str": "text"}.get(parameter.kind, parameter.kind)


def _marks(parameter: Parameter) -> str:
    notes = ""
    if parameter.aliases:
        notes += " Also " + ", ".join(f"`--{alias}`" for alias in parameter.aliases) + "."
    if parameter.not_built in ("any", "non-default"):
        notes += " ✗"
    elif parameter.not_built:
        notes += " ✗ " + ", ".join(f"`{show(value)}`" for value in parameter.not_built)
    return notes


if __name__ == "__main__":
    print(markdown(), end="")
