"""Kept samples are read in pieces, by a reader that never writes, waits briefly, and says what is wrong."""

import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from sqlalchemy import text

from engine.alerts import Alerts
from engine.config.sections import RunConfig
from engine.data.experience import Experience
from engine.data.types import Prompt
from engine.experience_maker import Rollout
from engine.findings import FindingsError
from engine.recorder import Recorder, say_on_rank_0
from engine.rewards.base import Scores
from engine.strategy import get_strategy
from engine.telemetry import Telemetry
from engine.toy.tokenizer import build_tokenizer
from engine.trajectories import TrajectorySaver
from rftui.runs import trajectories
from rftui.runs.info import RunInfo
from rftui.runs.rundir import RunDir, create
from rftui.runs.trajectories import Trajectories
from rftui.runs.trajectory_opening import open_trajectories
from rftui.runs.trajectory_query import Query, described, parse
from tests.rftui.tui.fake_samples import keep_samples, sample_row


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Trajectories:
    """The samples of 30 steps, 16 each."""
    run = create(tmp_path_factory.mktemp("runs"), "run")
    keep_samples(run, *range(1, 31))
    return open_trajectories(run)


def found(kept: Trajectories, line: str) -> list[Any]:
    return [sample for _, samples in kept.search(parse(line)) for sample in samples]


def problem(run: RunDir) -> str:
    with pytest.raises(FindingsError) as raised:
        open_trajectories(run).newest()
    return raised.value.findings[0].cause


# --- what is there -------------------------------------------------------------------------------------


def test_steps_and_what_was_kept_of_them(kept: Trajectories) -> None:
    assert kept.newest() == (30, 480)
    assert kept.steps() == list(range(1, 31)) and kept.steps(after=28) == [29, 30]
    summary = kept.summaries([7, 30, 99])
    assert set(summary) == {7, 30} and summary[7].count == 16
    rows = [sample_row(7, 4 + g, n) for g in range(4) for n in range(4)]
    assert summary[7].mean == pytest.approx(sum(row["reward"] for row in rows) / 16)
    assert summary[7].truncated == sum(row["truncated"] for row in rows)


def test_samples_of_a_step_know_their_group(kept: Trajectories) -> None:
    samples = kept.of_step(30)
    assert [each.name for each in samples[:5]] == ["0.0", "0.1", "0.2", "0.3", "1.0"]
    assert samples[0].group.flat and samples[0].group.spread == 0 and samples[0].group.mean == 1
    rewards = [sample_row(30, 3, n)["reward"] for n in range(4)]
    group = samples[12].group
    assert len(set(rewards)) > 1 and not group.flat and group.count == 4
    assert group.mean == pytest.approx(sum(rewards) / 4)
    assert group.spread == pytest.approx((sum(r * r for r in rewards) / 4 - group.mean**2) ** 0.5)


def test_texts_come_with_parts_and_tokens(kept: Trajectories) -> None:
    sample = kept.of_step(30)[13]
    row, texts = sample_row(30, 3, 1), kept.texts(sample.id)
    assert texts is not None
    assert (texts.prompt, texts.response, texts.label) == (row["prompt"], row["response"], row["label"])
    assert texts.reward_parts == row["reward_parts"]
    assert texts.tokens[3] == (row["tokens"]["characters"][3], 0.15)
    assert sum(characters for characters, _ in texts.tokens) == len(texts.response)
    assert kept.texts(10_000) is None


def test_the_same_prompt_in_other_steps_the_last_one_first(kept: Trajectories) -> None:
    sample = next(each for each in kept.of_step(15) if each.name == "1.2")
    others = kept.same_prompt(sample)
    assert [each.step for each in others] == [12, 9, 6, 3, 18, 21, 24, 27, 30]
    assert {each.name for each in others} == {"1.2"}


def test_without_other_steps_the_group_itself_is_compared(tmp_path: Path) -> None:
    run = create(tmp_path, "run")
    keep_samples(run, 1)
    reader = open_trajectories(run)
    first = reader.of_step(1)[0]
    assert [each.name for each in reader.same_prompt(first)] == ["4.1", "4.2", "4.3"]


# --- searching -----------------------------------------------------------------------------------------


def test_a_search_goes_over_all_steps_the_newest_first(
    kept: Trajectories, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trajectories, "WINDOW_ROWS", 100)
    pieces = list(kept.search(parse("GUESS the")))
    assert len(pieces) >= 5 and pieces[-1][0] == 1
    steps = [sample.step for _, samples in pieces for sample in samples]
    assert steps == sorted(steps, reverse=True) and len(steps) > 50
    wrong = sum(
        sample_row(s, s % 3 * 4 + g, n)["reward"] < 1
        for s in range(1, 31)
        for g in range(4)
        for n in range(4)
    )
    assert len(steps) == wrong


def test_conditions_narrow_it(kept: Trajectories) -> None:
    assert {each.step for each in found(kept, "step>=28 step<30")} == {28, 29}
    assert all(each.reward < 0.5 and each.truncated for each in found(kept, "reward<0.5 cut"))
    assert found(kept, "cut") == found(kept, "truncated") != []
    assert {each.prompt_index for each in found(kept, "label:66")} == {2}
    assert {each.name for each in found(kept, "prompt=3 sample=1")} == {"3.1"}
    assert found(kept, "reward>1 guess") == [] == found(kept, "step=400")


def test_flat_groups_are_those_with_equal_rewards(kept: Trajectories) -> None:
    flat = found(kept, "flat")
    assert flat and all(each.group.flat for each in flat)
    assert {each.prompt_index for each in flat} >= {0, 5, 10}
    everything = found(kept, "step>0")
    assert len(flat) == sum(each.group.flat for each in everything)


def test_words_are_taken_literally(tmp_path: Path) -> None:
    run = create(tmp_path, "run")
    path = keep_samples(run, 1)
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE trajectories SET response = '100% of_it' WHERE id = 3")
    reader = open_trajectories(run)
    assert [each.id for each in found(reader, "0%")] == [3]
    assert [each.id for each in found(reader, "of_it")] == [3]
    assert found(reader, "of-it") == []


def test_a_search_ends_when_the_list_is_full(kept: Trajectories, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trajectories, "LIMIT", 40)
    monkeypatch.setattr(trajectories, "WINDOW_ROWS", 50)
    pieces = list(kept.search(Query()))
    assert sum(len(samples) for _, samples in pieces) == 40 and pieces[-1][0] > 20


def test_a_line_is_read_as_a_query() -> None:
    query = parse('reward>=0.5 adv<-1 "two words" label:"a b" label:72 cut flat x>3 prompt=17')
    assert query.words == ("two words", "x>3") and query.labels == ("a b", "72") and query.cut and query.flat
    assert [(c.column, c.operator, c.value) for c in query.conditions] == [
        ("reward", ">=", 0.5),
        ("advantage", "<", -1),
        ("prompt_index", "=", 17),
    ]
    assert "“two words” in prompt or response, “x>3” in prompt or response, reward >= 0.5" in described(query)
    assert parse("  ") == Query() and described(Query()) == ""
    assert parse('"half') == Query(words=("half",))


@pytest.mark.parametrize(
    ("line", "said"),
    [("reward>", "missing"), ("len<long", "'long' is not a number"), ("adv>nan", "not a number")],
)
def test_a_condition_without_number_is_refused(line: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        parse(line)


# --- beside a writer, and without a database -----------------------------------------------------------


def test_it_cannot_write_and_does_not_hold_up_the_writer(tmp_path: Path) -> None:
    run = create(tmp_path, "run")
    path = keep_samples(run, 1)
    reader = open_trajectories(run)
    search = reader.search(Query())
    next(search)
    with sqlite3.connect(path, timeout=0) as writer:  # would fail at once while a reading is held open
        writer.execute("UPDATE trajectories SET reward = 0.25")
    assert {each.reward for each in reader.of_step(1)} == {0.25}
    with pytest.raises(FindingsError, match="readonly"), reader._reading() as connection:
        connection.execute(text("DELETE FROM trajectories"))


def test_a_locked_database_is_told_after_a_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rftui.runs.trajectory_opening.BUSY_S", 0.05)
    run = create(tmp_path, "run")
    writer = sqlite3.connect(keep_samples(run, 1), isolation_level=None)
    writer.execute("BEGIN EXCLUSIVE")
    assert "is locked by another program: database is locked" in problem(run)
    writer.execute("COMMIT")
    writer.close()
    assert open_trajectories(run).newest() == (1, 16)


def test_a_writer_that_was_killed_leaves_a_word(tmp_path: Path) -> None:
    run = create(tmp_path, "run")
    path = keep_samples(run, 1)
    killed = """
import os, sqlite3, sys
writer = sqlite3.connect(sys.argv[1], isolation_level=None)
writer.execute("PRAGMA cache_size = 1")
writer.execute("BEGIN")
writer.execute("UPDATE trajectories SET response = hex(zeroblob(20000))")
os._exit(9)"""
    assert subprocess.run([sys.executable, "-c", killed, str(path)], timeout=60).returncode == 9
    assert "a process was killed while it wrote" in problem(run)
    keep_samples(run, 2)  # as a resumed run does
    assert open_trajectories(run).steps() == [1, 2]


def test_of_a_replay_there_is_what_its_time_has_reached(tmp_path: Path) -> None:
    run = create(tmp_path, "run")
    keep_samples(run, *range(1, 11))
    played = open_trajectories(run)
    played.until = 7
    assert played.newest() == (7, 112) and played.steps(after=5) == [6, 7]
    assert {sample.step for sample in found(played, "reward>=0")} == set(range(1, 8))
    one = played.of_step(4)[0]
    assert {other.step for other in played.same_prompt(one)} == {1, 7}
    played.until = 0
    assert played.newest() is None and played.steps() == [] and found(played, "reward>=0") == []


def test_what_is_wrong_is_said_in_words(tmp_path: Path) -> None:
    run = create(tmp_path, "run")
    path = run.path / "trajectories.db"
    assert problem(run) == f"No samples have been kept yet: {path} is not there."
    path.write_bytes(b"this is no database at all, and long enough to be sure of it" * 40)
    assert "is damaged: file is not a database" in problem(run)
    path.unlink()
    sqlite3.connect(path).execute("CREATE TABLE other (id)").connection.close()
    assert "holds no trajectories: no such table" in problem(run)


def test_a_database_that_vanishes_or_breaks_while_open(tmp_path: Path) -> None:
    run = create(tmp_path, "run")
    path = keep_samples(run, 1, 2)
    reader = open_trajectories(run)
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE trajectories SET reward_parts = '{broken' WHERE id = 1")
        connection.execute("UPDATE trajectories SET response = CAST(x'68fffe69' AS TEXT) WHERE id = 2")
    with pytest.raises(FindingsError, match="cannot be read"):
        reader.texts(1)
    texts = reader.texts(2)
    assert texts is not None and texts.response == "h��i"
    path.unlink()
    with pytest.raises(FindingsError, match="is gone, or may not be read"):
        reader.of_step(1)


def test_the_database_may_be_elsewhere(tmp_path: Path) -> None:
    run = create(tmp_path / "runs", "run")
    run.write_info(RunInfo(name="run", status="finished", created=0.0, cwd=str(tmp_path)))
    run.config_path.write_text("logging:\n  trajectory_url: sqlite:///kept.db\n")
    assert (
        problem(run) == f"No samples were kept: the run has ended, and {tmp_path / 'kept.db'} is not there."
    )
    saver = TrajectorySaver(f"sqlite:///{tmp_path / 'kept.db'}")
    saver.save([sample_row(9, 0, 0)])
    saver.close()
    assert open_trajectories(run).newest() == (9, 1)
    run.config_path.write_text("logging:\n  trajectory_url: nothing-known://user:secret@host/db\n")
    assert "cannot be read" in problem(run) and "secret" not in problem(run)
    run.config_path.write_text("logging:\n  num_trajectories_to_save: 0\n")
    assert problem(run) == "This run keeps no samples: num_trajectories_to_save is 0."


def test_what_the_engine_records_is_read_back(tmp_path: Path) -> None:
    """The recorder itself, on one rank: a rollout of two prompts with two responses each."""
    run = create(tmp_path, "run")
    config, tokenizer = RunConfig(), build_tokenizer()
    strategy, telemetry = get_strategy(config), Telemetry(run.path, 0, 1, torch.device("cpu"))
    saver = TrajectorySaver(f"sqlite:///{run.path / 'trajectories.db'}")
    recorder = Recorder(
        config, strategy, telemetry, saver, Alerts(say_on_rank_0(strategy, telemetry)), tokenizer
    )
    try:
        recorder.responses(5, _rollout(tokenizer))
    finally:
        recorder.close()
        telemetry.close()
        strategy.close()
    reader = open_trajectories(run)
    first, _, third, fourth = reader.of_step(5)
    assert (first.name, first.reward, first.tokens, first.truncated) == ("7.0", 1.0, 4, False)
    assert first.group.spread == 0.5 and third.group.flat and fourth.truncated
    assert first.logprob_diff == pytest.approx(0.25)
    assert fourth.logprob_diff is None, "another rank trained on it"
    texts, untrained = reader.texts(first.id), reader.texts(fourth.id)
    assert texts is not None and untrained is not None
    assert texts.response == "= 12" and texts.label == "twelve" and texts.reward_parts == {"exact": 1.0}
    assert texts.tokens == ((1, 0.0), (1, 0.0), (1, -1.0), (1, 0.0)) and untrained.tokens == ()


def _rollout(tokenizer: Any) -> Rollout:
    responses = ["= 12", "= 13", "= 4", "= 5"]
    rewards = torch.tensor([[1.0, 0.0], [0.5, 0.5]])
    experiences = []
    for i, response in enumerate(responses):
        ids = tokenizer(response).input_ids
        experience = Experience((1, 2), ids, torch.full((len(ids),), -0.5), truncated=i == 3)
        experience.advantages = torch.zeros(len(ids))
        experiences.append(experience)
        if i < 3:
            experience.old_logprobs = experience.engine_logprobs.clone()
            experience.old_logprobs[2] -= 1.0
    prompts = [
        Prompt(index=7, text="3 × 4?", token_ids=(1, 2), label="twelve", reference=None),
        Prompt(index=9, text="2 + 2?", token_ids=(1, 2), label=4, reference=None),
    ]
    scores = Scores(rewards.flatten().tolist(), {"exact": rewards.flatten().tolist()})
    return Rollout(prompts, experiences, responses, scores, rewards)


@pytest.mark.parametrize(
    ("line", "found"), [("step>-inf reward>2", 0), ("step<inf step=30", 16), ("step>inf", 0)]
)
def test_a_step_may_be_compared_with_infinity(kept: Trajectories, line: str, found: int) -> None:
    assert sum(len(samples) for _, samples in kept.search(parse(line))) == found
