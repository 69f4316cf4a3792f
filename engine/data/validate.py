"""Checks of data sources that take no heavy import: they run before anything of a run exists.

Everything wrong is reported at once; of many bad lines the first `SHOWN` and their number.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from engine.config.sections import DataSection
from engine.data import textfiles
from engine.data.spec import FORMS, SUFFIXES, Source, parse_sources
from engine.findings import Finding, FindingsError, Fix

SHOWN = 5

Columns = Mapping[str, str]
"""The parameter that names a column (`data.input_key`) to the column."""


def check_source(spec: str, data: DataSection, what: str) -> tuple[list[Finding], int | None]:
    """What is wrong with the sources of `spec`, and how many rows they have together, where that is known
    without loading them. `what` is the parameter that holds `spec`: `prompt_data` or `eval_data`.

    Hub ids are not looked up. An empty `spec` is left to the configuration rules.
    """
    param = param_of(what)
    sources, findings = parse_sources(spec, param)
    split = data.prompt_split if what == "prompt_data" else "test"
    counts: list[int | None] = []
    for source in sources:
        found, count = _check(source, columns_of(data), split, param)
        findings += found
        counts.append(count)
    if findings or not counts or None in counts:
        return findings, None
    return [], sum(count or 0 for count in counts)


def param_of(what: str) -> str:
    """`section.key` of the parameter that holds a data spec."""
    return "eval.eval_data" if what == "eval_data" else f"data.{what}"


def columns_of(data: DataSection) -> dict[str, str]:
    """The columns a configuration reads."""
    columns = {"data.input_key": data.input_key, "data.label_key": data.label_key}
    return columns | ({"data.reference_key": data.reference_key} if data.reference_key else {})


def check_rows(
    where: str, rows: Iterable[textfiles.NumberedRow], columns: Columns, param: str, unit: str = "line"
) -> tuple[list[Finding], int]:
    """What is wrong with rows numbered by `unit`, and how many there are."""
    count = 0
    present: Counter[str] = Counter()
    malformed: list[str] = []
    bad: list[tuple[int, str, str]] = []
    for number, row in rows:
        count += 1
        if isinstance(row, textfiles.Malformed):
            malformed.append(f"line {number}: {row.reason}")
            continue
        present.update(row.keys())
        for key, column in columns.items():
            if problem := _problem(row, column, is_input=key == "data.input_key"):
                bad.append((number, column, problem))
    if count == 0:
        cause = f"{where} holds no rows."
        return [Finding("data.empty", "error", cause, fixes=(Fix("give data with rows"),), param=param)], 0
    findings = []
    if malformed:
        fix = Fix("correct these lines: each must be one JSON object")
        cause = f"{where} has {len(malformed)} malformed of {count} lines."
        findings.append(Finding("data.malformed", "error", cause, capped(malformed), (fix,), param))
    absent = [(key, column) for key, column in columns.items() if present and column not in present]
    findings += [missing_column(where, key, column, sorted(present)) for key, column in absent]
    gone = {column for _, column in absent}
    lines = [f"{unit} {number}: {problem}" for number, column, problem in bad if column not in gone]
    if lines:
        cause = f"{where} has {len(lines)} rows that cannot be used."
        fix = Fix("correct or remove these rows")
        findings.append(Finding("data.bad-row", "error", cause, capped(lines), (fix,), param))
    return findings, count


def missing_column(where: str, key: str, column: str, present: Sequence[str]) -> Finding:
    """The finding for a column that no row has. `key` is the parameter naming it, or the column's own name
    where no parameter does."""
    near = (get_close_matches(column, present) or list(present))[:3]
    name = key.partition(".")[2]
    fixes = [Fix(f"set {name} to {other}", set={key: other}) for other in near] if name else []
    return Finding(
        id="data.missing-column",
        severity="error",
        cause=f"{where} has no column {column!r}{f' ({name})' if name else ''}; "
        f"it has: {', '.join(present) or 'none'}.",
        fixes=tuple(fixes) or (Fix(f"name the column {column!r}"),),
        param=key if name else "",
    )


def capped(lines: Sequence[str]) -> tuple[str, ...]:
    """The first few lines, and how many more there are."""
    more = len(lines) - SHOWN
    return (*lines[:SHOWN], f"… and {more} more") if more > 0 else tuple(lines)


def _problem(row: dict[str, Any], column: str, is_input: bool) -> str:
    value = row.get(column)
    if value is None:
        return f"no value in column {column!r}" if column in row else f"no column {column!r}"
    if is_input and not isinstance(value, str | list):
        return f"column {column!r} holds {type(value).__name__} {value!r:.40}, not text or a list of messages"
    if is_input and not (value.strip() if isinstance(value, str) else value):
        return f"column {column!r} is empty"
    return ""


def _check(source: Source, columns: Columns, split: str, param: str) -> tuple[list[Finding], int | None]:
    if source.kind == "toy":
        return _check_toy(source, columns, split, param)
    if source.kind == "file":
        return _check_file(Path(source.name), columns, param)
    if source.kind == "folder":
        return _check_folder(Path(source.name), columns, param), None
    return [], None


def _check_toy(source: Source, columns: Columns, split: str, param: str) -> tuple[list[Finding], int | None]:
    try:
        rows = toy_rows(source.name, split)
    except FindingsError as error:
        return list(error.findings), None
    return check_rows(f"toy:{source.name}", enumerate(rows, 1), columns, param, "row")


def toy_rows(name: str, split: str) -> list[dict[str, str]]:
    """Rows of a toy task. Raises `FindingsError` for a task or split there is not."""
    from engine.toy import tasks

    for known in tasks.ROWS:
        if known == split:
            return tasks.rows(name, known)
    raise FindingsError([unknown_split(f"toy:{name}", split, list(tasks.ROWS))])


def unknown_split(name: str, split: str, splits: Sequence[str]) -> Finding:
    """The finding for a split that a source lacks; another one is never taken instead."""
    cause = f"{name} has no split {split!r}; it has: {', '.join(splits) or 'none'}."
    fixes = tuple(Fix(f"set prompt_split (or eval_split) to {other}") for other in splits)
    return Finding("data.unknown-split", "error", cause, fixes=fixes)


def _check_folder(folder: Path, columns: Columns, param: str) -> list[Finding]:
    """Of a folder, the files of the suffix that most have: what `datasets` would load."""
    files = [f for f in sorted(folder.rglob("*")) if f.suffix.lower() in SUFFIXES and f.is_file()]
    if not files:
        cause = f"The folder {folder} holds no data file."
        return [Finding("data.empty", "error", cause, fixes=(Fix(f"give {FORMS}"),), param=param)]
    suffix = Counter(f.suffix.lower() for f in files).most_common(1)[0][0]
    chosen = [f for f in files if f.suffix.lower() == suffix]
    return [finding for file in chosen for finding in _check_file(file, columns, param)[0]]


def _check_file(path: Path, columns: Columns, param: str) -> tuple[list[Finding], int | None]:
    try:
        if path.suffix.lower() == ".parquet":
            return _check_parquet(path, columns, param)
        return check_rows(str(path), textfiles.rows(path), columns, param)
    except OSError as error:
        cause = f"{path} cannot be read: {error.strerror or error}."
        fix = Fix("make it readable for the user who runs this")
        return [Finding("data.unreadable", "error", cause, fixes=(fix,), param=param)], None


def _check_parquet(path: Path, columns: Columns, param: str) -> tuple[list[Finding], int | None]:
    import pyarrow
    import pyarrow.parquet

    try:
        file = pyarrow.parquet.ParquetFile(path)
    except pyarrow.ArrowInvalid as error:
        cause = f"{path} is not a parquet file: {error}"
        fix = Fix("write it again; it may be incomplete")
        return [Finding("data.malformed", "error", cause, fixes=(fix,), param=param)], None
    present, count = file.schema_arrow.names, file.metadata.num_rows
    if count == 0:
        return check_rows(str(path), [], columns, param)
    missing = [missing_column(str(path), k, c, present) for k, c in columns.items() if c not in present]
    return missing, count


def no_chat_template(tokenizer: str) -> Finding:
    """The finding for prompts that are to be rendered with a template their tokenizer does not have."""
    return Finding(
        "data.no-chat-template",
        "error",
        f"apply_chat_template is set, but the tokenizer of {tokenizer} has no chat template.",
        fixes=(
            Fix("set apply_chat_template to false", set={"data.apply_chat_template": False}),
            Fix("use an instruct model, or save a chat template with the tokenizer"),
        ),
        param="data.apply_chat_template",
    )
