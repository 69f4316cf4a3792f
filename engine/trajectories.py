"""Responses kept for reading: prompt, response, reward parts, advantage, log-prob difference."""

import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    Engine,
    Float,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    create_engine,
    delete,
    inspect,
    text,
)
from sqlalchemy.exc import SQLAlchemyError

from engine.findings import Finding, FindingsError, Fix

TRAJECTORIES = Table(
    "trajectories",
    MetaData(),
    Column("id", Integer, primary_key=True),
    Column("step", Integer, index=True, nullable=False),
    Column("prompt_index", Integer, nullable=False),
    Column("sample", Integer, nullable=False),
    Column("prompt", Text, nullable=False),
    Column("response", Text, nullable=False),
    Column("label", Text, nullable=False),
    Column("reward", Float, nullable=False),
    Column("reward_parts", JSON, nullable=False),
    Column("advantage", Float, nullable=False),
    Column("response_tokens", Integer, nullable=False),
    Column("truncated", Boolean, nullable=False),
    Column("logprob_diff", Float, nullable=True),
    Column("tokens", JSON(none_as_null=True), nullable=True),
    Index("ix_trajectories_prompt_index", "prompt_index", "step"),
)
"""`advantage`: mean over the response's tokens; `logprob_diff`: mean |trainer − engine| in nats, null where
another rank trained on the response; `tokens`: see `engine.token_differences`."""


class TrajectorySaver:
    """Writes trajectories to the database of any SQLAlchemy URL, such as `sqlite:///…`. One writer.

    Raises FindingsError (trajectories.not-opened) for a wrong URL, or a database that cannot be reached.
    """

    def __init__(self, url: str) -> None:
        try:
            self._engine = create_engine(url)
            TRAJECTORIES.metadata.create_all(self._engine)
            _add_what_is_new(self._engine)
        except (SQLAlchemyError, ImportError) as error:
            raise FindingsError([_not_opened(error)]) from error

    def save(self, rows: Sequence[dict[str, Any]]) -> None:
        """Insert rows with the columns of `TRAJECTORIES` (without `id`) in one transaction."""
        if rows:
            with self._engine.begin() as connection:
                connection.execute(TRAJECTORIES.insert(), list(rows))

    def forget_after(self, step: int) -> None:
        """Delete rows of steps after `step`: a resumed run makes them again."""
        with self._engine.begin() as connection:
            connection.execute(delete(TRAJECTORIES).where(TRAJECTORIES.c.step > step))

    def close(self) -> None:
        self._engine.dispose()


def _add_what_is_new(engine: Engine) -> None:
    """Columns and indexes that a database of an earlier version lacks: a resumed run goes on in it."""
    present = {column["name"] for column in inspect(engine).get_columns(TRAJECTORIES.name)}
    with engine.begin() as connection:
        for column in TRAJECTORIES.columns:
            if column.name not in present and column.nullable:
                kind = column.type.compile(engine.dialect)
                connection.execute(text(f"ALTER TABLE {TRAJECTORIES.name} ADD COLUMN {column.name} {kind}"))
        for index in TRAJECTORIES.indexes:
            index.create(connection, checkfirst=True)


def label_text(label: Any) -> str:
    """A label of any type as text for people."""
    return label if isinstance(label, str) else json.dumps(label, ensure_ascii=False, default=str)


def _not_opened(error: Exception) -> Finding:
    # Without the URL, which may hold a password.
    return Finding(
        id="trajectories.not-opened",
        severity="error",
        cause="The trajectory database of trajectory_url cannot be opened.",
        evidence=tuple(str(error).splitlines()[:1]),
        param="logging.trajectory_url",
        fixes=(
            Fix("write it as SQLAlchemy does, such as sqlite:////absolute/path.db, and install its driver"),
            Fix("or leave trajectory_url out: the run directory then holds the database"),
        ),
    )
