"""Differences of single tokens: they add up to the response, stay within a limit, and reach the database."""

from math import nan
from pathlib import Path

import pytest
import torch
from sqlalchemy import create_engine, select, text
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from engine.token_differences import TOKENS_KEPT, token_differences
from engine.toy.tokenizer import EOS, build_tokenizer
from engine.trajectories import TRAJECTORIES, TrajectorySaver

OLD_TABLE = """CREATE TABLE trajectories (
id INTEGER PRIMARY KEY, step INTEGER NOT NULL, prompt_index INTEGER NOT NULL, sample INTEGER NOT NULL,
prompt TEXT NOT NULL, response TEXT NOT NULL, label TEXT NOT NULL, reward FLOAT NOT NULL,
reward_parts JSON NOT NULL, advantage FLOAT NOT NULL, response_tokens INTEGER NOT NULL,
truncated BOOLEAN NOT NULL, logprob_diff FLOAT)"""


@pytest.fixture(scope="module")
def bytes_tokenizer() -> PreTrainedTokenizerFast:
    return build_tokenizer()


def test_each_token_has_its_characters_and_its_difference(bytes_tokenizer: PreTrainedTokenizerFast) -> None:
    ids = [*bytes_tokenizer("ab é").input_ids, bytes_tokenizer.convert_tokens_to_ids(EOS)]
    differences = torch.tensor([0.0, -0.25, 0.1, 0.01, -0.7, 3.0])
    kept = token_differences(bytes_tokenizer, ids, "ab é", differences)
    # é is two tokens of one byte, which make one character; the end token shows no text.
    assert kept == {"characters": [1, 1, 1, 1], "logprob_diff": [0.0, -0.25, 0.1, -0.7]}


def test_tokens_of_words_keep_their_spaces() -> None:
    words = Tokenizer(models.WordLevel({"▁the": 0, "▁cat": 1, "▁": 2}, unk_token="▁"))
    words.pre_tokenizer, words.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words)
    text = tokenizer.decode([0, 1, 0])
    kept = token_differences(tokenizer, [0, 1, 0], text, torch.zeros(3))
    assert text == "the cat the"
    assert kept is not None and kept["characters"] == [3, 4, 4]


def test_only_so_many_tokens_are_kept(bytes_tokenizer: PreTrainedTokenizerFast) -> None:
    long = "x" * (TOKENS_KEPT + 50)
    ids = bytes_tokenizer(long).input_ids
    kept = token_differences(bytes_tokenizer, ids, long, torch.ones(len(ids)))
    assert kept is not None and sum(kept["characters"]) == len(kept["logprob_diff"]) == TOKENS_KEPT


def test_what_is_not_finite_or_does_not_fit_is_not_made_up(bytes_tokenizer: PreTrainedTokenizerFast) -> None:
    ids = bytes_tokenizer("ab").input_ids
    kept = token_differences(bytes_tokenizer, ids, "ab", torch.tensor([nan, 0.5]))
    assert kept == {"characters": [1, 1], "logprob_diff": [None, 0.5]}
    assert token_differences(bytes_tokenizer, ids, "something else", torch.zeros(2)) is None
    assert token_differences(object(), ids, "ab", torch.zeros(2)) is None


def test_a_database_of_an_earlier_version_takes_them_too(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'old.db'}"
    with create_engine(url).begin() as connection:
        connection.execute(text(OLD_TABLE))
        connection.execute(
            text("INSERT INTO trajectories VALUES (1, 1, 0, 0, 'p', 'r', 'l', 1, '{}', 0, 1, 0, 0)")
        )
    tokens = {"characters": [1], "logprob_diff": [0.5]}
    row = {"prompt_index": 0, "sample": 0, "prompt": "p", "response": "r", "label": "l", "reward": 1.0}
    row |= {
        "reward_parts": {},
        "advantage": 0.5,
        "response_tokens": 1,
        "truncated": False,
        "logprob_diff": 0.5,
    }
    for step in (2, 3):
        saver = TrajectorySaver(url)
        saver.save([{"step": step, "logprob_diff": 0.5, "tokens": tokens, **row}])
        saver.close()
    with create_engine(url).connect() as connection:
        kept = connection.execute(select(TRAJECTORIES.c.step, TRAJECTORIES.c.tokens)).all()
        plan = connection.execute(
            text("EXPLAIN QUERY PLAN SELECT step FROM trajectories WHERE prompt_index = 3 ORDER BY step")
        ).all()
    assert kept == [(1, None), (2, tokens), (3, tokens)]
    assert "ix_trajectories_prompt_index" in plan[0].detail
