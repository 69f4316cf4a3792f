"""The samples that a run keeps, read from its trajectory database in pieces, never in the writer's way.

Every reading is one short statement on a connection of its own, SQLite files are opened read-only, and no
reading is longer than `LIMIT` samples, however many there are.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    Row,
    Select,
    case,
    func,
    inspect,
    or_,
    select,
)
from sqlalchemy.exc import SQLAlchemyError

from engine.findings import Finding, FindingsError
from engine.trajectories import TRAJECTORIES
from rftui.runs.samples import LIMIT, Group, Sample, StepSummary, Texts
from rftui.runs.trajectory_query import OPERATORS, Query

WINDOW_ROWS = 20_000
"""About how many samples one statement of a search looks at."""
_OTHERS = 200

T = TRAJECTORIES.c


class Trajectories:
    """The database of one run. Every method raises FindingsError where it cannot be read."""

    def __init__(self, engine: Engine, where: str) -> None:
        """`where`: the database in words, without a password."""
        self._engine = engine
        self.where = where
        self.until: int | None = None
        """Samples of later steps are none yet: so it is in a run that is played again."""

    def newest(self) -> tuple[int, int] | None:
        """Step and id of the newest sample; None while there is none."""
        with self._reading() as connection:
            step, id = connection.execute(self._each(func.max(T.step), func.max(T.id))).one()
        return None if step is None else (step, id)

    def steps(self, after: int | None = None) -> list[int]:
        """All steps of which something is kept, or those after a step, in order."""
        statement = select(T.step).distinct().where(*self._there).order_by(T.step)
        with self._reading() as connection:
            return list(connection.scalars(statement if after is None else statement.where(T.step > after)))

    def summaries(self, steps: Sequence[int]) -> dict[int, StepSummary]:
        """What was kept of these steps."""
        statement = (
            select(T.step, func.count(), func.avg(T.reward), func.sum(_one_if(T.truncated)))
            .where(T.step.in_(steps))
            .group_by(T.step)
        )
        with self._reading() as connection:
            rows = connection.execute(statement).all()
        return {step: StepSummary(count, _float(mean), int(cut or 0)) for step, count, mean, cut in rows}

    def of_step(self, step: int) -> list[Sample]:
        """The samples of a step, group by group; at most `LIMIT`."""
        statement = (
            select(*_NUMBERS).where(T.step == step).order_by(T.prompt_index, T.sample, T.id).limit(LIMIT)
        )
        with self._reading() as connection:
            return _with_groups(connection, connection.execute(statement).all())

    def search(self, query: Query) -> Iterator[tuple[int, list[Sample]]]:
        """Samples that fit, newest steps first, piece by piece: the step searched down to, and what is new.

        Ends at `LIMIT` samples. Nothing is held between two pieces, so one may stop at any of them.
        """
        with self._reading() as connection:
            bounds = self._each(func.min(T.step), func.max(T.step), func.min(T.id), func.max(T.id))
            first, last, low, high = connection.execute(bounds).one()
        if first is None:
            return
        first, last = _narrowed(first, last, query)
        width = max(1, WINDOW_ROWS * (last - first + 1) // (high - low + 1))
        room = LIMIT
        for top in range(last, first - 1, -width):
            bottom = max(first, top - width + 1)
            statement = _matching(query, bottom, top).limit(room)
            with self._reading() as connection:
                found = _with_groups(connection, connection.execute(statement).all())
            room -= len(found)
            yield bottom, found
            if room <= 0:
                return

    def texts(self, id: int) -> Texts | None:
        """The texts of a sample; None where it is no longer there."""
        for row in self.rows([id]):
            kept = row.get("tokens") or {}
            return Texts(
                row["prompt"],
                row["response"],
                row["label"],
                row["reward_parts"] or {},
                tuple(zip(kept.get("characters", ()), kept.get("logprob_diff", ()), strict=False)),
            )
        return None

    def same_prompt(self, sample: Sample) -> list[Sample]:
        """Other samples of a prompt to hold one against.

        Of each other step the one of the same number, or the first. The nearest earlier step comes first,
        then the later ones. Where there are none: others of its group.
        """
        statement = select(*_NUMBERS).where(T.prompt_index == sample.prompt_index, T.id != sample.id)
        before = statement.where(T.step < sample.step).order_by(T.step.desc(), T.sample, T.id)
        after = statement.where(T.step > sample.step, *self._there).order_by(T.step, T.sample, T.id)
        beside = statement.where(T.step == sample.step).order_by(T.sample, T.id)
        with self._reading() as connection:
            rows = [*connection.execute(before.limit(_OTHERS)), *connection.execute(after.limit(_OTHERS))]
            rows = _one_per_step(rows, sample.sample) or list(connection.execute(beside.limit(_OTHERS)))
            return _with_groups(connection, rows)

    def rows(self, ids: Sequence[int]) -> list[dict[str, Any]]:
        """Whole rows, in the order of `ids`; without those that are gone."""
        with self._reading() as connection:
            present = {column["name"] for column in inspect(connection).get_columns(TRAJECTORIES.name)}
            columns = [column for column in TRAJECTORIES.columns if column.name in present]
            found = connection.execute(select(*columns).where(T.id.in_(ids))).mappings().all()
        by_id = {row["id"]: dict(row) for row in found}
        return [by_id[id] for id in ids if id in by_id]

    @property
    def _there(self) -> tuple[ColumnElement[bool], ...]:
        return () if self.until is None else (T.step <= self.until,)

    def _each(self, *values: ColumnElement[Any]) -> Select[Any]:
        """Each value by a statement of its own, for which an index is enough."""
        return select(*(select(value).where(*self._there).scalar_subquery() for value in values))

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        try:
            with self._engine.connect() as connection:
                yield connection
        except (SQLAlchemyError, sqlite3.Error, ValueError) as error:  # ValueError: JSON that is none
            raise FindingsError([unreadable(self.where, error)]) from error


_NUMBERS = (
    T.id,
    T.step,
    T.prompt_index,
    T.sample,
    T.reward,
    T.advantage,
    T.response_tokens,
    T.truncated,
    T.logprob_diff,
)


def _matching(query: Query, bottom: int, top: int) -> Select[Any]:
    statement = select(*_NUMBERS).where(T.step.between(bottom, top))
    for each in query.conditions:
        statement = statement.where(OPERATORS[each.operator](T[each.column], each.value))
    if query.cut:
        statement = statement.where(T.truncated)
    for word in query.words:
        statement = statement.where(or_(_has(T.response, word), _has(T.prompt, word)))
    for label in query.labels:
        statement = statement.where(_has(T.label, label))
    if query.flat:
        flat = (
            select(T.step, T.prompt_index)
            .where(T.step.between(bottom, top))
            .group_by(T.step, T.prompt_index)
            .having(func.min(T.reward) == func.max(T.reward), func.count() > 1)
            .subquery()
        )
        statement = statement.join(flat, (T.step == flat.c.step) & (T.prompt_index == flat.c.prompt_index))
    return statement.order_by(T.step.desc(), T.prompt_index, T.sample, T.id)


def _has(column: ColumnElement[str], word: str) -> ColumnElement[bool]:
    return column.icontains(word, autoescape=True)


def _narrowed(first: int, last: int, query: Query) -> tuple[int, int]:
    """The steps that a query can be true of."""
    for each in query.conditions:
        if each.column == "step":
            if each.operator in (">", ">=", "="):
                first = int(max(first, min(each.value, last + 1)))
            if each.operator in ("<", "<=", "="):
                last = int(min(last, max(each.value, first - 1)))
    return first, last


def _one_if(condition: ColumnElement[bool]) -> ColumnElement[int]:
    return case((condition, 1), else_=0)


def _one_per_step(rows: Sequence[Row[Any]], number: int) -> list[Row[Any]]:
    best: dict[int, Row[Any]] = {}
    for row in rows:
        if row.step not in best or row.sample == number != best[row.step].sample:
            best[row.step] = row
    return list(best.values())


def _with_groups(connection: Connection, rows: Sequence[Any]) -> list[Sample]:
    groups = _groups(connection, {row.step for row in rows})
    return [
        Sample(
            row.id,
            row.step,
            row.prompt_index,
            row.sample,
            _float(row.reward),
            _float(row.advantage),
            row.response_tokens,
            bool(row.truncated),
            row.logprob_diff,
            groups[row.step, row.prompt_index],
        )
        for row in rows
        if (row.step, row.prompt_index) in groups  # else removed in between
    ]


def _groups(connection: Connection, steps: set[int]) -> dict[tuple[int, int], Group]:
    lowest, highest = func.min(T.reward), func.max(T.reward)
    statement = (
        select(
            T.step,
            T.prompt_index,
            func.count(),
            func.avg(T.reward),
            func.avg(T.reward * T.reward),
            lowest,
            highest,
        )
        .where(T.step.in_(steps))
        .group_by(T.step, T.prompt_index)
    )
    found = {}
    for step, prompt, count, mean, square, low, high in connection.execute(statement):
        flat = low == high
        spread = 0.0 if flat else max(0.0, _float(square) - _float(mean) ** 2) ** 0.5
        found[step, prompt] = Group(count, _float(mean), spread, flat and count > 1)
    return found


def _float(value: float | None) -> float:
    return float("nan") if value is None else float(value)


def unreadable(where: str, error: Exception) -> Finding:
    """Why a database cannot be read."""
    said = str(getattr(error, "orig", None) or error).splitlines()[0] if str(error) else repr(error)
    causes = {
        "locked": f"{where} is locked by another program",
        "readonly": f"a process was killed while it wrote to {where}, and the next writer has to undo that",
        "unable to open": f"{where} is gone, or may not be read",
        "no such table": f"{where} holds no trajectories",
        "malformed": f"{where} is damaged",
        "not a database": f"{where} is damaged",
    }
    cause = next((text for sign, text in causes.items() if sign in said), f"{where} cannot be read")
    return Finding(id="samples.unreadable", severity="warning", cause=f"{cause}: {said}.")
