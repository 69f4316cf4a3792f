"""Bars, rows of the form and files of a plan: painted and written without a terminal."""

from pathlib import Path

import pytest

from engine.footprint.terms import PhaseMemory, Term
from presets import loader
from rftui.launch.prepare import prepare_new
from rftui.tui.planning.consider import Considered, Ground, at_once, completely, look
from rftui.tui.planning.edits import Edits
from rftui.tui.planning.fields import fields, rows
from rftui.tui.planning.form import parts, value_column
from rftui.tui.planning.memory import bars, kind_of, memory, segments, split
from rftui.tui.planning.saving import preset_path, save_preset, why_no_preset, write_exact
from rftui.tui.planning.words import finding, status

GB = 10**9


@pytest.fixture(scope="module")
def fitting(tmp_path_factory: pytest.TempPathFactory) -> tuple[Considered, Ground]:
    ground = look("gsm8k", tmp_path_factory.mktemp("runs"))
    edits = Edits().with_value("model.pretrain", "Qwen/Qwen2.5-7B-Instruct").planned_for("8xA100-80")
    return completely(at_once(edits, ground, None), ground), ground


@pytest.fixture(scope="module")
def too_large(tmp_path_factory: pytest.TempPathFactory) -> tuple[Considered, Ground]:
    ground = look("gsm8k", tmp_path_factory.mktemp("runs"))
    edits = Edits().with_value("model.pretrain", "Qwen/Qwen2.5-7B-Instruct").planned_for("1xA10G")
    return completely(at_once(edits, ground, None), ground), ground


def test_every_term_has_a_kind_and_none_is_lost(fitting: tuple[Considered, Ground]) -> None:
    plan = fitting[0].plan
    assert plan is not None
    for phase in plan.footprint.phases:
        assert sum(split(phase.terms).values()) == phase.bytes
    update = next(phase for phase in plan.footprint.phases if phase.phase == "update")
    sizes = split(update.terms)
    assert all(sizes[name] > 0 for name in ("weights", "gradients", "optimizer", "activations", "margin"))


@pytest.mark.parametrize(
    ("name", "where", "kind"),
    [
        ("Adam", "torch", "optimizer"),
        ("KV cache", "engine", "KV cache"),
        ("engine weights", "engine", "engine"),
        ("masters", "torch", "weights"),
        ("gradients in float32", "torch", "gradients"),
        ("layer inputs", "torch", "activations"),
        ("CUDA context of the engine", "driver", "process"),
        ("measured correction", "margin", "margin"),
    ],
)
def test_terms_are_sorted_by_name_and_holder(name: str, where: str, kind: str) -> None:
    assert kind_of(Term(name, 1, "", "", where)).name == kind  # type: ignore[arg-type]


def test_segments_fill_as_many_cells_as_their_sum() -> None:
    terms = (Term("masters", 3 * GB, "", ""), Term("Adam", 3 * GB, "", ""), Term("gradients", GB, "", ""))
    drawn = segments(PhaseMemory("update", "", terms), 10 * GB, 20)
    assert [(kind.name, cells) for kind, cells in drawn] == [
        ("weights", 6),
        ("gradients", 2),
        ("optimizer", 6),
    ]


def test_bars_are_as_wide_as_they_may_be_and_show_limit_and_headroom(
    fitting: tuple[Considered, Ground],
) -> None:
    plan = fitting[0].plan
    assert plan is not None
    for width in (56, 78, 120):
        lines = bars(plan, width)
        assert all(line.cell_length <= width for line in lines)
        assert all(line.plain.count("┃") == 1 and "GB free" in line.plain for line in lines)
        limits = {line.plain.index("┃") for line in lines}
        assert len(limits) == 1
    assert "▓" in next(line.plain for line in lines if line.plain.startswith("update"))


def test_what_does_not_fit_says_by_how_much(too_large: tuple[Considered, Ground]) -> None:
    now, ground = too_large
    assert now.plan is not None
    over = [line.plain for line in bars(now.plan, 80) if "over" in line.plain]
    assert over and all("✖" in line for line in over)
    assert "✖ does not fit" in status(now, ground, False, 100).plain
    missing = next(one for one in now.findings if one.id == "plan.does-not-fit")
    assert "→" in finding(missing).plain


def test_the_pane_tells_batches_time_and_what_is_assumed(fitting: tuple[Considered, Ground]) -> None:
    text = memory(fitting[0], 80).plain
    for words in ("64 prompts × 8 responses = 512 responses", "tokens/s", "vLLM is installed", "█ weights"):
        assert words in text


def test_rows_fit_their_width_and_name_the_origin(fitting: tuple[Considered, Ground]) -> None:
    for width in (60, 78, 140):
        for row in rows(fields(*fitting)):
            assert len("".join(part.text for part in parts(row, width))) <= width
    listed = {field.key: field for field in fields(*fitting)}
    line = "".join(part.text for part in parts(listed["rollout.engine_tp_size"], 140))
    assert line.startswith("◆ engine_tp_size")
    assert line[value_column(140)[0] :].startswith("2 ")
    assert "planner: " in line


def test_what_would_run_is_written_and_launches_the_same(tmp_path: Path) -> None:
    ground = look("quickstart", tmp_path)
    edits = Edits().with_value("optim.max_steps", 7)
    now = completely(at_once(edits, ground, None), ground)
    file = tmp_path / "exact.yaml"
    write_exact(now, ground, file)
    again = prepare_new(str(file), [], runs_dir=tmp_path, name=None, hardware=ground.hardware, as_is=True)
    assert now.prepared is not None
    assert again.resolved.config == now.prepared.resolved.config
    assert again.resolved.config.optim.max_steps == 7


def test_a_saved_preset_holds_what_was_given_and_leaves_the_rest_to_the_planner(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loader, "user_dir", lambda: tmp_path / "presets")
    monkeypatch.setattr("rftui.tui.planning.saving.user_dir", lambda: tmp_path / "presets")
    ground = look("gsm8k", tmp_path)
    now = at_once(Edits().with_value("optim.max_steps", 7), ground, None)
    save_preset(now, ground, "mine")
    saved = loader.load("mine")
    assert saved.origin == "yours" and saved.path == preset_path("mine")
    assert saved.needs == ("model.pretrain",)
    built_in = loader.load("gsm8k")
    assert built_in.origin == "built in"
    assert saved.layer.values == built_in.layer.values | {"optim.max_steps": 7}
    assert "exists" in why_no_preset("mine")
    assert "not allowed" in why_no_preset("no/name")
    assert why_no_preset("other") == ""
