"""Saving, keeping and loading checkpoints in one process."""

import random
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from engine.checkpoint.rng import capture_rng, restore_rng
from engine.events import CheckpointEvent
from engine.findings import FindingsError
from tests.engine.checkpoint.policies import adamw, manager, moments, same, save, tiny_actor, train, weights


@pytest.mark.parametrize("family", ["qwen2", "llama"])
def test_what_is_loaded_is_what_was_saved_and_goes_on_alike(family: str, tmp_path: Path) -> None:
    actor = tiny_actor(family)
    optimizer = adamw(actor)
    train(actor, optimizer, range(3))
    state = {"step": 3, "kl": {"value": 0.1}, "moments": torch.tensor([1.0, 2.0], dtype=torch.float64)}
    path = manager(tmp_path, family=family).save(3, actor, optimizer, state, {"own": (1, 2.5, "x")})
    assert path == tmp_path / "step-3"
    kept = weights(actor), moments(actor, optimizer)
    train(actor, optimizer, range(3, 6))

    other = tiny_actor(family, seed=1)
    other_optimizer = adamw(other)
    loaded, rank_state = manager(tmp_path, family=family).load(path, other, other_optimizer)
    assert same(kept[0], weights(other))
    assert same(kept[1], moments(other, other_optimizer))
    assert next(iter(other_optimizer.state.values()))["step"].item() == 3
    assert loaded["step"] == 3
    assert loaded["kl"] == state["kl"]
    assert torch.equal(loaded["moments"], state["moments"])
    assert rank_state == {"own": (1, 2.5, "x")}
    train(other, other_optimizer, range(3, 6))
    assert same(weights(actor), weights(other))
    assert same(moments(actor, optimizer), moments(other, other_optimizer))


def test_an_optimizer_that_never_stepped_is_saved_as_it_is(tmp_path: Path) -> None:
    actor = tiny_actor()
    path = save(manager(tmp_path), 0, actor, adamw(actor))
    other = tiny_actor(seed=1)
    optimizer = adamw(other)
    train(other, optimizer, range(2))
    manager(tmp_path).load(path, other, optimizer)
    assert same(weights(actor), weights(other))
    assert not optimizer.state


def test_random_generators_continue_where_they_were(tmp_path: Path) -> None:
    own = torch.Generator().manual_seed(3)

    def draw() -> list[Any]:
        normal = np.random.standard_normal()  # leaves half of a pair behind
        return [
            random.gauss(0, 1),
            normal,
            np.random.rand(),
            torch.rand(2).tolist(),
            torch.rand(2, generator=own).tolist(),
        ]

    draw()
    torch.save(capture_rng({"rollout": own}), tmp_path / "rng.pt")
    expected = draw()
    assert draw() != expected
    restore_rng(torch.load(tmp_path / "rng.pt", weights_only=True), {"rollout": own})
    assert draw() == expected


def test_retention_by_number_and_by_size(tmp_path: Path) -> None:
    actor = tiny_actor()
    optimizer = adamw(actor)
    events: list[dict[str, Any]] = []
    made = manager(tmp_path, events, max_num=2)
    for step in (1, 2, 10):
        save(made, step, actor, optimizer)
    assert made.steps() == [2, 10]
    assert [(e["state"], e["step"]) for e in events] == [
        ("complete", 1),
        ("complete", 2),
        ("complete", 10),
        ("deleted", 1),
    ]
    for event in events:
        CheckpointEvent(t=0.0, **event)
    size = events[1]["bytes"]
    on_disk = [p for p in (tmp_path / "step-2").rglob("*") if p.is_file() and p.name != "manifest.json"]
    assert size == sum(path.stat().st_size for path in on_disk)

    roomy = manager(tmp_path, max_num=9, max_gb=3.5 * size / 1e9)
    for step in (11, 12, 13):
        save(roomy, step, actor, optimizer)
    assert roomy.steps() == [11, 12, 13]
    tight = manager(tmp_path, max_num=9, max_gb=0.1 * size / 1e9)
    save(tight, 14, actor, optimizer)
    assert tight.steps() == [14]
    assert {path.name for path in tmp_path.iterdir()} == {"step-14"}


def test_saving_a_step_again_replaces_it(tmp_path: Path) -> None:
    actor = tiny_actor()
    optimizer = adamw(actor)
    made = manager(tmp_path)
    save(made, 5, actor, optimizer)
    train(actor, optimizer, range(1))
    path = save(made, 5, actor, optimizer)
    other = tiny_actor(seed=1)
    made.load(path, other, adamw(other))
    assert same(weights(actor), weights(other))
    assert [p.name for p in tmp_path.iterdir()] == ["step-5"]


def test_what_a_resumed_run_leaves_behind_is_kept_but_not_resumed(tmp_path: Path) -> None:
    actor = tiny_actor()
    optimizer = adamw(actor)
    made = manager(tmp_path, max_num=9)
    for step in (2, 4, 6):
        save(made, step, actor, optimizer)
    made.set_aside_after(2)
    assert made.steps() == [2]
    save(made, 4, actor, optimizer)
    assert made.latest() == tmp_path / "step-4"
    made.set_aside_after(3)
    assert {p.name for p in tmp_path.iterdir()} == {"step-2", "step-4.superseded", "step-6.superseded"}


def test_only_complete_ones_are_listed(tmp_path: Path) -> None:
    actor = tiny_actor()
    optimizer = adamw(actor)
    made = manager(tmp_path, max_num=9)
    for step in range(1, 6):
        save(made, step, actor, optimizer)
    (tmp_path / "step-5" / "manifest.json").unlink()
    with (tmp_path / "step-4" / "shards" / "__0_0.distcp").open("r+b") as file:
        file.truncate(100)
    (tmp_path / "step-3" / "trainer.pt").unlink()
    (tmp_path / "step-2" / "manifest.json").write_text("{")
    (tmp_path / "step-6.partial").mkdir()
    (tmp_path / "notes.trash").mkdir()
    assert made.steps() == [1]
    assert made.latest() == tmp_path / "step-1"
    assert made.latest(tmp_path / "step-3") is None
    assert made.latest(tmp_path / "step-1") == tmp_path / "step-1"
    assert made.latest(tmp_path / "nowhere") is None
    assert manager(tmp_path / "elsewhere").latest(tmp_path) == tmp_path / "step-1"
    again = manager(tmp_path)
    assert again.steps() == [1]
    assert not (tmp_path / "step-6.partial").exists()
    assert (tmp_path / "notes.trash").exists()


def test_a_named_checkpoint_that_is_not_there_is_no_new_start(tmp_path: Path) -> None:
    made = manager(tmp_path)
    assert made.to_resume_from(None) is None
    assert made.to_resume_from(str(tmp_path)) is None
    actor = tiny_actor()
    save(made, 3, actor, adamw(actor))
    assert made.to_resume_from(None) == tmp_path / "step-3"
    with pytest.raises(FindingsError, match=r"checkpoint.not-found(.|\n)*use .*step-3"):
        made.to_resume_from(str(tmp_path / "step-4"))


def test_one_replaced_halfway_comes_back(tmp_path: Path) -> None:
    actor = tiny_actor()
    path = save(manager(tmp_path), 7, actor, adamw(actor))
    path.rename(tmp_path / "step-7.old")
    assert manager(tmp_path).latest() == path


def test_the_checkpoint_of_another_model_is_refused(tmp_path: Path) -> None:
    actor = tiny_actor("llama")
    path = save(manager(tmp_path), 1, actor, adamw(actor))
    other = tiny_actor("qwen2")
    before = weights(other)
    with pytest.raises(FindingsError, match=r"checkpoint.does-not-fit(.|\n)*lm_head.weight: 61×32 saved"):
        manager(tmp_path).load(path, other, adamw(other))
    assert same(before, weights(other))


def test_a_full_disk_at_any_point_leaves_the_previous_one_whole(small_disk: Path) -> None:
    """Ballast leaves more and more room, so that every file of a checkpoint is once the one that fails."""
    root = small_disk / "checkpoints"
    actor = tiny_actor()
    optimizer = adamw(actor)
    train(actor, optimizer, range(1))
    events: list[dict[str, Any]] = []
    made = manager(root, events)
    save(made, 1, actor, optimizer)
    kept = weights(actor)
    size = events[0]["bytes"]
    train(actor, optimizer, range(1, 2))

    ballast = small_disk / "ballast"
    failures = 0
    for room in range(0, 4 * size, size // 12):
        _fill(ballast, room)
        if save(made, 2, actor, optimizer) is not None:
            break
        failures += 1
        assert events[-1]["state"] == "failed"
        assert "MB free" in events[-1]["message"]
        assert [path.name for path in root.iterdir()] == ["step-1"]
    assert failures >= 10
    assert made.steps() == [1, 2]

    for room in range(0, size // 5, size // 40):
        _fill(ballast, room)
        assert made.save_final(2, actor) is None
        assert "MB free" in events[-1]["message"]
        assert sorted(path.name for path in root.iterdir()) == ["step-1", "step-2"]
    other = tiny_actor(seed=1)
    made.load(root / "step-1", other, adamw(other))
    assert same(kept, weights(other))


def _fill(ballast: Path, room: int) -> None:
    """Leave about `room` bytes on the disk."""
    ballast.unlink(missing_ok=True)
    free = shutil.disk_usage(ballast.parent).free
    ballast.write_bytes(bytes(max(0, free - room)))
