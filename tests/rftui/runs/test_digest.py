"""The course of a run's reward, read in pieces, and its settings as text."""

from pathlib import Path

import pytest

from engine.config.load import Layer, dump_resolved, resolve
from engine.config.values import show
from engine.events import EventWriter, Metric, Status
from rftui.runs.digest import Digest, DigestReader, settings_of
from rftui.runs.rundir import RunDir, create


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    return create(tmp_path, "run")


def tell(run: RunDir, rewards: dict[int, float | None]) -> None:
    writer = EventWriter(run.events_dir / "rank-00000.jsonl", rank=0, world_size=1)
    for step, reward in rewards.items():
        values = {"reward/mean": reward, "lr/actor": step * 1e-6, "throughput/tokens_per_s": 100.0 * step}
        writer.write(Metric(t=float(step), rank=0, step=step, values=values))
    writer.close()


def test_best_last_curve_rate_and_learning_rate(run: RunDir) -> None:
    tell(run, {1: 0.1, 2: 0.9, 3: 0.3, 4: 0.4})
    digest = DigestReader(run).read(2)
    assert digest.best == pytest.approx(0.9)
    assert digest.last == pytest.approx(0.4)
    assert digest.rewards == pytest.approx((0.9, 0.4))
    assert digest.tokens_per_s == 400
    assert digest.lr == pytest.approx(4e-6)


def test_only_what_was_added_is_read_again(run: RunDir) -> None:
    tell(run, {1: 0.1})
    reader = DigestReader(run)
    assert reader.read(4).last == pytest.approx(0.1)
    path = run.events_dir / "rank-00000.jsonl"
    with path.open("r+b") as file:  # what was read is not looked at again
        file.write(b"#" * (path.stat().st_size - 1))
    tell(run, {2: 0.5})
    assert reader.read(4).rewards == pytest.approx((0.1, 0.5))


def test_steps_done_again_count_as_they_were_done_last(run: RunDir) -> None:
    tell(run, {1: 0.1, 2: 0.2, 3: 0.99})
    writer = EventWriter(run.events_dir / "rank-00000.jsonl", rank=0, world_size=1)
    writer.write(Status(t=9.0, rank=0, state="resumed", step=1))
    writer.close()
    tell(run, {2: 0.25})
    digest = DigestReader(run).read(8)
    assert digest.best == pytest.approx(0.25)
    assert digest.rewards == pytest.approx((0.1, 0.25))


def test_gaps_torn_lines_and_missing_files(run: RunDir) -> None:
    assert DigestReader(run).read(4) == Digest()
    tell(run, {1: None})
    assert DigestReader(run).read(4).best is None
    tell(run, {2: 0.5})
    with (run.events_dir / "rank-00000.jsonl").open("a") as file:
        file.write(
            '{"kind":"metric","reward/mean":\n{"kind":"metric","t":3,"step":3,"values":{"reward/mean":0.7'
        )
    reader = DigestReader(run)
    assert reader.read(4).last == pytest.approx(0.5)
    with (run.events_dir / "rank-00000.jsonl").open("a") as file:
        file.write("}}\n")
    assert reader.read(4).last == pytest.approx(0.7)


def test_settings_are_those_of_the_whole_configuration(tmp_path: Path) -> None:
    given = {"model.pretrain": "it's: odd # name", "optim.actor_learning_rate": 2e-7, "data.input_key": "5"}
    resolved = resolve([Layer("preset x", given)])
    path = tmp_path / "config.yaml"
    path.write_text(dump_resolved(resolved))
    found = settings_of(path)
    whole = resolved.config.model_dump()
    assert len(found) == sum(map(len, whole.values()))
    assert found["model.pretrain"] == "it's: odd # name"
    assert float(found["optim.actor_learning_rate"]) == 2e-7
    assert found["data.input_key"] == "5"
    wrong = {
        key: text
        for key, text in found.items()
        if text != (shown := show(whole[key.partition(".")[0]][key.partition(".")[2]])).strip("'\"")
        and text.replace(".0e", "e") != shown
    }
    assert wrong == {}
    assert settings_of(tmp_path / "none.yaml") == {}
