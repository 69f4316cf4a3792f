"""What is known of edits: at once, and after the whole check; the fields and rows that show it."""

import time
from pathlib import Path

import pytest

from engine.findings import FindingsError
from rftui.plan.ask import Subject, planned, preset_layers
from rftui.tui.planning.consider import Considered, Ground, at_once, completely, look
from rftui.tui.planning.edits import Edits
from rftui.tui.planning.fields import edit_text, fields, options, parsed, rows
from rftui.tui.planning.machines import machine_of, what_is_wrong
from rftui.tui.planning.rows import Field, Heading, Problem
from rftui.tui.planning.words import applicable, launch_line, rank_line

QWEN = "Qwen/Qwen2.5-7B-Instruct"
TBS = "batch.train_batch_size"


@pytest.fixture
def here(tmp_path: Path) -> Ground:
    return look("quickstart", tmp_path)


@pytest.fixture
def there(tmp_path: Path) -> tuple[Ground, Edits]:
    ground = look("gsm8k", tmp_path)
    return ground, Edits().with_value("model.pretrain", QWEN).planned_for("8xA100-80")


def considered(edits: Edits, ground: Ground) -> Considered:
    return completely(at_once(edits, ground, None), ground)


def field_of(now: Considered, ground: Ground, key: str) -> Field:
    return next(field for field in fields(now, ground) if field.key == key)


def test_a_preset_without_edits_can_be_launched_and_tells_where_values_come_from(here: Ground) -> None:
    now = considered(Edits(), here)
    assert now.complete and now.errors == 0
    assert now.prepared is not None and now.prepared.nproc == 1
    assert now.plan is not None and now.plan.fits
    assert field_of(now, here, TBS).origin == "preset"
    assert field_of(now, here, "optim.max_epochs").origin == "default"
    chosen = field_of(now, here, "memory.gradient_checkpointing")
    assert (chosen.origin, chosen.value) == ("planner", "false")
    assert chosen.reason


def test_a_described_machine_is_planned_as_rft_plan_plans_it(there: tuple[Ground, Edits]) -> None:
    ground, edits = there
    now = considered(edits, ground)
    layers = [*preset_layers("gsm8k"), edits.layer]
    plan = planned(layers, Subject(gpus="8xA100-80"), as_is=False)
    assert now.plan is not None and now.plan.chosen == plan.chosen
    assert now.prepared is None
    assert launch_line(now, ground) == f"rft plan gsm8k --pretrain {QWEN} --gpus 8xA100-80"


@pytest.mark.alone
def test_an_edit_is_predicted_at_once_with_the_choices_made_before(there: tuple[Ground, Edits]) -> None:
    ground, edits = there
    now = considered(edits, ground)
    wider = edits.with_value("model.bf16", False)
    start = time.perf_counter()
    first = at_once(wider, ground, now)
    seconds = time.perf_counter() - start
    assert first.plan is not None and now.plan is not None
    assert not first.complete
    assert first.plan.chosen == now.plan.chosen
    assert first.plan.footprint.peak > now.plan.footprint.peak
    assert seconds < 0.1
    then = completely(first, ground)
    assert then.complete and then.plan is not None and then.plan.fits


def test_a_broken_rule_is_told_under_its_field_with_an_edit_that_mends_it(here: Ground) -> None:
    now = considered(Edits().with_value(TBS, 100), here)
    assert now.errors == 1 and now.prepared is None
    field = field_of(now, here, TBS)
    assert field.origin == "user" and field.severity == "error" and "100" in field.problem
    assert field.without == "preset's 256"
    assert now.plan is not None and not now.stale  # memory of it is still known
    fix = applicable(now.findings[0])
    assert fix is not None
    assert considered(now.edits.with_values(fix.set), here).errors == 0


def test_a_value_of_the_wrong_type_keeps_what_was_predicted_before(here: Ground) -> None:
    before = considered(Edits(), here)
    now = at_once(Edits().with_value(TBS, "many"), here, before)
    assert now.stale and now.plan is before.plan
    assert "must be a whole number" in field_of(now, here, TBS).problem
    listed = rows(fields(now, here), "train_batch")
    assert isinstance(listed[0], Heading)
    assert [type(row) for row in listed[1:]] == [Field, Problem, Field]


def test_the_same_settings_are_checked_by_launch_and_screen(tmp_path: Path) -> None:
    ground = look("quickstart", tmp_path)
    now = considered(Edits().with_value("reward.reward_fn", "nowhere.py:reward"), ground)
    assert [finding.id for finding in now.findings if finding.severity == "error"] == ["reward.fn-missing"]
    later = at_once(now.edits.with_value("optim.max_steps", 7), ground, now)
    assert later.errors == 1, "what only the whole check finds does not vanish meanwhile"


def test_as_is_chooses_nothing(there: tuple[Ground, Edits]) -> None:
    ground, edits = there
    now = considered(edits.switched_as_is(), ground)
    assert now.plan is not None and now.plan.chosen == {}
    assert "--as-is" in launch_line(now, ground)


def test_pinned_values_stay_and_reverted_ones_go(here: Ground) -> None:
    key = "memory.gradient_checkpointing"
    pinned = considered(Edits().with_value(key, False), here)
    assert field_of(pinned, here, key).origin == "user"
    free = considered(pinned.edits.without(key), here)
    assert field_of(free, here, key).origin == "planner"


def test_an_unknown_preset_is_a_finding(tmp_path: Path) -> None:
    with pytest.raises(FindingsError, match="did you mean quickstart"):
        look("quickstrat", tmp_path)


def test_without_a_preset_all_is_at_its_defaults(tmp_path: Path) -> None:
    ground = look("", tmp_path)
    now = considered(Edits(), ground)
    assert now.errors
    assert {field.origin for field in fields(now, ground)} == {"default"}
    toy = {"model.pretrain": "toy:sort", "data.prompt_data": "toy:sort", "reward.reward_rule": "exact"}
    toy |= {"rollout.max_len": 32, "rollout.prompt_max_len": 16, "model.bf16": False}
    assert considered(Edits().with_values(toy), ground).prepared is not None


def test_rows_are_narrowed_by_words_and_to_what_is_set(here: Ground) -> None:
    listed = fields(considered(Edits(), here), here)
    assert len(rows(listed)) == len(listed) + 14
    found = [row.key for row in rows(listed, "learning rate") if isinstance(row, Field)]
    assert "optim.actor_learning_rate" in found and len(found) < 6
    changed = [row for row in rows(listed, changed_only=True) if isinstance(row, Field)]
    assert {row.origin for row in changed} == {"preset", "planner"}
    assert rows(listed, "no such words") == []


def test_values_become_texts_and_back(here: Ground) -> None:
    listed = {field.key: field for field in fields(considered(Edits(), here), here)}
    for key, value in (
        ("optim.actor_learning_rate", 2e-7),
        ("optim.max_steps", None),
        ("model.bf16", True),
        ("eval.eval_temperatures", (0.0, 1.0)),
        ("data.system_prompt", "two\nlines"),
        ("algorithm.advantage_estimator", "group_norm"),
    ):
        assert parsed(edit_text(value), listed[key]) == value
    assert options(listed["model.flash_attn"].parameter) == ["true", "false", "null"]
    assert options(listed["optim.max_steps"].parameter) == []


def test_the_torchrun_command_is_the_supervisors(here: Ground) -> None:
    command = rank_line(considered(Edits(), here), here, 1234, environ={"OMP_NUM_THREADS": "3"})
    assert "--nproc-per-node 1 " in command.shell() and "--master-port 1234" in command.shell()
    assert command.shell().startswith("RFTUI_RUN_DIR=") and "OMP_NUM_THREADS=3" in command.shell()


@pytest.mark.parametrize(
    ("line", "machine"),
    [("8xA100-80", ("8xA100-80", 1)), ("8xH100 4", ("8xH100", 4)), ("", (None, 1)), ("H200", ("H200", 1))],
)
def test_machines_are_read_as_typed(line: str, machine: tuple[str | None, int]) -> None:
    assert machine_of(line) == machine
    assert what_is_wrong(line) == ""


def test_what_is_no_machine_is_said() -> None:
    assert "Z9000" in what_is_wrong("8xZ9000")


def test_a_raised_digit_is_no_number_of_machines() -> None:
    assert machine_of("8xH100 ²") == ("8xH100 ²", 1)
