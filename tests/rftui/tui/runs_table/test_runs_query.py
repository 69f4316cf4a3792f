"""The filter of the table of runs: what it lets through, and what it says when it is wrong."""

from pathlib import Path

import pytest

from rftui.runs.digest import Digest
from rftui.runs.listing import RunSummary
from rftui.runs.notes import Notes
from rftui.tui.runs_table.query import QueryError, parse
from rftui.tui.runs_table.row import Detail, Row

NOW = 10_000.0


def row(name: str = "qwen-gsm8k", **given: object) -> Row:
    summary = RunSummary(
        name,
        Path("runs") / name,
        str(given.get("status", "finished")),
        created=NOW - 7200,
        updated=NOW - 60,
        step=300,
        reward=0.6,
        preset="quickstart",
    )
    settings = {
        "optim.actor_learning_rate": "1e-06",
        "model.pretrain": "Qwen/Qwen2.5-7B",
        "model.bf16": "true",
    }
    digest = Digest(best=0.72, last=0.6, tokens_per_s=18_400.0, lr=1e-6)
    detail = Detail(digest, settings, started=NOW - 7000, ended=NOW - 400)
    return Row(
        summary, Notes("low KL baseline", ("paper", "gsm8k")), detail if given.get("read", True) else None
    )


@pytest.mark.parametrize(
    "query",
    [
        "",
        "gsm8k",
        "QWEN gsm",
        "reward>0.5",
        "reward>=0.6 reward<=0.6",
        "best:0.72",
        "step=300 step!=299",
        "rate>18000",
        "lr<=1e-6",
        "cfg.lr<=1e-6",
        "cfg.optim.actor_learning_rate=1e-6",
        "cfg.actor-learning-rate=0.000001",
        "cfg.bf16=true",
        "cfg.bf16!=false",
        "cfg.model:qwen2.5",
        "tag:paper tag:gsm8k",
        "tag!=draft",
        "status:fin",
        "status=finished",
        "note:'kl base'",
        "model:7b preset:quick name:qwen",
        "took>1h took<2h age=2h",
        "took=6600",
    ],
)
def test_runs_that_fit_stay(query: str) -> None:
    assert parse(query)(row(), NOW)


@pytest.mark.parametrize(
    "query",
    [
        "llama",
        "reward>0.6",
        "reward>0.5 llama",
        "cfg.lr<1e-6",
        "cfg.bf16=false",
        "tag:pap",
        "tag!=paper",
        "status:failed",
        "took>2h",
        "note:high",
        "cfg.model>1",
    ],
)
def test_others_do_not(query: str) -> None:
    assert not parse(query)(row(), NOW)


def test_what_was_not_read_yet_fits_nothing_that_asks_for_it() -> None:
    unread = row(read=False)
    assert parse("reward>0.5 qwen")(unread, NOW)
    for query in ("best>0", "cfg.lr<1", "cfg.lr!=1", "took>0s"):
        assert not parse(query)(unread, NOW)


@pytest.mark.parametrize(
    ("query", "term", "problem", "nearest"),
    [
        ("rewrad>0.5", "rewrad>0.5", "there is no field 'rewrad'", "reward>0.5"),
        ("actor_learning_rate<1", "actor_learning_rate<1", "there is no field", "cfg.actor_learning_rate<1"),
        ("reward>high", "reward>high", "reward is compared with a number, and 'high' is none", "reward>0.5"),
        ("took>soon", "took>soon", "a time such as 90s, 30m, 2h or 1d", "took>2h"),
        ("status>failed", "status>failed", "status is text, which has no order", "status:failed"),
        ("reward>", "reward>", "there is no value behind the comparison", "reward>1"),
        ("cfg.actor_learning_rat<1", "cfg.actor_learning_rat<1", "no parameter", "cfg.actor_learning_rate<1"),
        ("cfg.lr<small", "cfg.lr<small", "'small' is no number", "cfg.lr:small"),
        ("name:'x", "name:'x", "the quotation is not closed", ""),
    ],
)
def test_a_wrong_filter_is_told_with_the_rule_and_the_nearest(
    query: str, term: str, problem: str, nearest: str
) -> None:
    with pytest.raises(QueryError) as error:
        parse(query)
    said = str(error.value)
    assert said.startswith(f"{term}: ")
    assert problem in said
    assert nearest in error.value.nearest
    assert "A filter is FIELD OP VALUE" in said


def test_what_was_understood_before_the_error_is_told() -> None:
    with pytest.raises(QueryError) as error:
        parse("gsm8k reward>0.5 rewrad<1")
    assert error.value.understood == "gsm8k and reward>0.5"
