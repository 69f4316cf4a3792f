"""Rows of the data sources: text files read exactly, parquet, splits and the hub through `datasets`."""

import contextlib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from engine.data import textfiles
from engine.data.spec import Source
from engine.data.validate import check_rows, missing_column, toy_rows, unknown_split
from engine.findings import Finding, FindingsError, Fix, raise_errors

Row = dict[str, Any]

_UNKNOWN_SPLIT = re.compile(r'Unknown split "([^"]*)"\. Should be one of (.*)')
_QUOTED = re.compile(r"'([^']*)'")


def read_rows(source: Source, split: str, columns: dict[str, str]) -> list[Row]:
    """All rows of one source, with at least `columns` (parameter to column). A single file has no splits.

    Raises `FindingsError` for a split, configuration or column that is not there.
    """
    if source.kind == "toy":
        return list(toy_rows(source.name, split))
    if source.kind == "hub":
        return _select(_load(source.name, source.config, split=split), source.name, columns)
    files = _files_of_split(source, split) if source.kind == "folder" else [source.name]
    return [row for file in files for row in _read_file(file, columns)]


def _read_file(name: str, columns: dict[str, str]) -> list[Row]:
    if name.endswith(textfiles.SUFFIXES):
        return [row for _, row in textfiles.rows(Path(name)) if isinstance(row, dict)]
    return _select(_load("parquet", data_files=name, split="train"), name, columns)


def _files_of_split(folder: Source, split: str) -> list[str]:
    """The files that `datasets` finds for a split in a folder, by their names."""
    import datasets

    with _as_finding(folder.name):
        files = datasets.load_dataset_builder(folder.name).config.data_files
    if split not in files:
        raise FindingsError([unknown_split(folder.name, split, [str(name) for name in files])])
    return list(files[split])


def _select(data: Any, name: str, columns: dict[str, str]) -> list[Row]:
    present = data.column_names
    findings = [missing_column(name, key, c, present) for key, c in columns.items() if c not in present]
    rows: list[Row] = []
    if not findings:
        rows = data.select_columns(list(dict.fromkeys(columns.values()))).to_list()
        findings, _ = check_rows(name, enumerate(rows, 1), columns, param="", unit="row")
    raise_errors(findings)
    return rows


def choose(
    sizes: Sequence[int], probs: Sequence[float] | None, limit: int | None, seed: int
) -> list[tuple[int, int]]:
    """Which rows to use, as (source, row).

    With `probs`, sources are interleaved in these shares until every row was used once; a small source
    repeats. Without, they follow each other, and `limit` takes evenly spaced rows of all of them.
    """
    every = [(source, row) for source, size in enumerate(sizes) for row in range(size)]
    if probs is not None:
        return _interleave(sizes, probs, seed)[:limit]
    if limit is None or limit >= len(every):
        return every
    return [every[i * len(every) // limit] for i in range(limit)]


def _interleave(sizes: Sequence[int], probs: Sequence[float], seed: int) -> list[tuple[int, int]]:
    if len(probs) != len(sizes) or abs(sum(probs) - 1) > 1e-6 or min(probs) <= 0:
        cause = f"prompt_data_probs = {list(probs)} does not suit the {len(sizes)} sources of prompt_data."
        fix = Fix(
            "give one share above 0 for each source, summing to 1", set={"data.prompt_data_probs": None}
        )
        raise FindingsError(
            [Finding("data.source-shares", "error", cause, fixes=(fix,), param="data.prompt_data_probs")]
        )
    import datasets

    total = sum(probs)
    mixed = datasets.interleave_datasets(
        [
            datasets.Dataset.from_dict({"source": [i] * size, "row": range(size)})
            for i, size in enumerate(sizes)
        ],
        probabilities=[p / total for p in probs],
        seed=seed,
        stopping_strategy="all_exhausted",
    )
    return list(zip(mixed["source"], mixed["row"], strict=True))


def _load(*arguments: str | None, split: str, **more: str) -> Any:
    """`datasets.load_dataset`, quietly, with findings for errors."""
    import datasets

    datasets.disable_progress_bars()
    name = more.get("data_files") or str(arguments[0])
    with _as_finding(name):
        return datasets.load_dataset(*arguments, split=split, **more)


@contextlib.contextmanager
def _as_finding(name: str) -> Iterator[None]:
    """Whatever `datasets` raises, as a finding with its words."""
    try:
        yield
    except Exception as error:
        if found := _UNKNOWN_SPLIT.match(str(error)):
            raise FindingsError([unknown_split(name, found[1], _QUOTED.findall(found[2]))]) from None
        reason = f"{type(error).__name__}: {error}"
        evidence = (str(error.__cause__),) if error.__cause__ else ()
        fixes = (
            Fix("check the name; a configuration follows a colon, as in openai/gsm8k:main"),
            Fix("without network, download the files and give their path"),
        )
        cause = f"{name} could not be loaded: {reason}"
        raise FindingsError([Finding("data.load-failed", "error", cause, evidence, fixes)]) from error
