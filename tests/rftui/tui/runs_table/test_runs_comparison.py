"""Runs held against each other: differences of settings, deltas of numbers, the files they go to."""

import csv
import io
import math
import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import pytest

from engine.config.load import Layer, dump_resolved, resolve
from engine.events import EventWriter, Metric
from rftui.runs.info import RunInfo
from rftui.runs.rundir import RunDir, create
from rftui.tui.charts import paint
from rftui.tui.plot import HUE_NAMES
from rftui.tui.runs_table import exporting
from rftui.tui.runs_table.comparison import (
    LETTERS,
    Asked,
    Compared,
    Comparer,
    Difference,
    deltas,
    differences,
)
from rftui.tui.runs_table.overlay import plot_of
from rftui.tui.runs_table.side_by_side import legend, numbers_row, numbers_table, settings_table


def run_of(folder: Path, name: str, rewards: list[float], lr: float, started: float = 1000.0) -> RunDir:
    run = create(folder, name)
    run.write_info(
        RunInfo(
            name=name, status="finished", created=started, started=started, ended=started + 10 * len(rewards)
        )
    )
    run.config_path.write_text(dump_resolved(resolve([Layer("x", {"actor_learning_rate": lr})])))
    writer = EventWriter(run.events_dir / "rank-00000.jsonl", rank=0, world_size=1)
    for step, reward in enumerate(rewards, 1):
        values = {
            "reward/mean": reward,
            "throughput/tokens_per_s": 50.0,
            "time/step": 10.0,
        }
        writer.write(Metric(t=started + 10.0 * step, rank=0, step=step, values=values))
    writer.close()
    return run


@pytest.fixture
def comparer(tmp_path: Path) -> Comparer:
    runs = [
        run_of(tmp_path, "slow", [0.1, 0.2, 0.4], 1e-6),
        run_of(tmp_path, "faster", [0.2, 0.9, 0.5, 0.8], 2e-6, started=5000.0),
    ]
    comparer = Comparer(runs)
    while comparer.advance(1.0):
        pass
    return comparer


def test_only_what_differs_is_a_row() -> None:
    found = differences([{"a.x": "1", "a.y": "2"}, {"a.x": "1", "a.y": "3"}, {"a.x": "1"}])
    assert found == [Difference("a.y", ("2", "3", "—"))]
    assert differences([{"a.x": "1"}, {"a.x": "1"}]) == []


def test_a_configuration_that_cannot_be_read_is_a_row_and_no_difference() -> None:
    found = differences([{"a.x": "1"}, None, {"a.x": "1"}])
    assert found == [Difference("configuration", ("read", "not readable", "read"))]


def test_deltas_are_held_against_the_first_run() -> None:
    reward, kl, gone = deltas(
        [{"reward": 0.5, "kl": 0.0, "other": 1.0}, {"reward": 0.6, "kl": 0.1}, {"kl": 0.0}],
        ("reward", "kl", "other", "nobody's"),
    )
    assert reward.deltas == pytest.approx((0.0, 0.1, None))
    assert reward.shares == pytest.approx((0.0, 0.2, None))
    assert kl.shares == (None, None, None)
    assert kl.deltas == (0.0, 0.1, 0.0)
    assert gone.values == (1.0, None, None)
    assert [text for text, _ in numbers_row(reward)] == ["0.500", "0.600 (+20%)", "—"]
    assert [text for text, _ in numbers_row(kl)] == ["0.000", "0.100 (+0.1)", "0.000 (=)"]


def test_curves_share_one_axis(comparer: Comparer) -> None:
    seen = comparer.look(Asked("reward/mean", "step", 40))
    assert seen.x == (1, 4)
    assert seen.axes == ("step", "wall", "tokens")
    slow, faster = seen.runs
    assert (slow.letter, slow.name, faster.letter) == ("a", "slow", "b")
    assert slow.curve.buckets[-1].column == 26
    assert faster.curve.buckets[-1].column == 39
    by_time = comparer.look(Asked("reward/mean", "wall", 40))
    assert by_time.x == (0, 30)
    by_tokens = comparer.look(Asked("reward/mean", "tokens", 40))
    assert by_tokens.x == (0, 2000)


def test_numbers_at_the_end_and_settings(comparer: Comparer) -> None:
    seen = comparer.look(Asked())
    found = {each.metric: each.values for each in seen.deltas}
    assert found["steps"] == (3, 4)
    assert found["duration"] == (30, 40)
    assert found["best reward"] == pytest.approx((0.4, 0.9))
    assert found["reward/mean"] == pytest.approx((0.4, 0.8))
    assert seen.differences == (Difference("optim.actor_learning_rate", ("1e-06", "2e-06")),)


def test_a_run_without_anything_is_told_of(comparer: Comparer, tmp_path: Path) -> None:
    (tmp_path / "half").mkdir()
    (tmp_path / "half" / "run.json").write_text("{")
    other = Comparer([*comparer.runs, RunDir(tmp_path / "half"), RunDir(tmp_path / "gone")])
    while other.advance(1.0):
        pass
    seen = other.look(Asked(columns=40))
    assert "cannot be read" in seen.runs[2].problem
    assert seen.runs[3].problem
    assert seen.runs[3].curve.buckets == ()
    assert seen.differences[0].values == ("read", "read", "not readable", "not readable")
    assert "c: " in legend(seen, 200).plain
    assert "reward/mean" in numbers_table(seen, 100).plain


def test_the_chart_names_its_lines_in_their_colours(comparer: Comparer) -> None:
    rows = paint(plot_of(comparer.look(Asked(columns=150)), 0.0, log=False), 80, 12)
    drawn = {role: "".join(s.text for row in rows for s in row if s.role == role) for role in HUE_NAMES}
    assert ("a" in drawn["hue-1"], "b" in drawn["hue-1"]) == (True, False)
    assert ("a" in drawn["hue-2"], "b" in drawn["hue-2"]) == (False, True)
    dots = {span.role for row in rows for span in row if any(0x2800 < ord(c) < 0x2900 for c in span.text)}
    assert dots == {"hue-1", "hue-2"}
    assert "".join(span.text for span in rows[-1]).endswith(" 4 ╯")


def test_a_chart_of_nothing_says_why(comparer: Comparer) -> None:
    plot = plot_of(comparer.look(Asked("kl/ref", columns=150)), 0.0, log=False)
    rows = ["".join(span.text for span in row) for row in paint(plot, 80, 12)]
    assert "KL to reference" in rows[0]
    assert any("no run tells this metric" in row for row in rows)


def test_logarithmic_values_say_so(comparer: Comparer) -> None:
    plot = plot_of(comparer.look(Asked(columns=150)), 0.0, log=True)
    assert "reward · log" in "".join(span.text for span in paint(plot, 80, 12)[0])


def test_tables_fit_their_width(comparer: Comparer) -> None:
    seen = comparer.look(Asked())
    for width in (36, 60, 120):
        for table in (settings_table, numbers_table):
            assert all(len(line) <= width for line in table(seen, width).plain.split("\n"))
    assert "b faster" in settings_table(seen, 60).plain


def test_of_many_runs_values_give_way_before_they_are_cut(comparer: Comparer) -> None:
    runs = tuple(Compared(letter, f"run-{letter}", "finished", 9) for letter in LETTERS)
    models = [f"'org/model-{letter}'" for letter in LETTERS]
    settings = (
        Difference("model.pretrain", tuple(models)),
        Difference("algorithm.init_kl_coef", ("0.01",) * 8),
    )
    deltas_of = tuple(deltas([{"steps": 120.0 + at} for at in range(8)], ("steps",)))
    seen = replace(comparer.look(Asked()), runs=runs, differences=settings, deltas=deltas_of)
    _, first, second = settings_table(seen, 94).plain.split("\n")
    assert first.split() == ["model.pretrain", *(f"model-{letter}" for letter in LETTERS)]
    assert second.split()[0] == "init_kl_coef"
    assert numbers_table(seen, 60).plain.split("\n")[1].split() == [
        "steps",
        *(str(120 + at) for at in range(8)),
    ]


def test_the_files_of_a_comparison(comparer: Comparer, tmp_path: Path) -> None:
    paths = exporting.targets(str(tmp_path / "out" / "both.v1"))
    assert [path.name for path in paths] == ["both.v1.csv", "both.v1.svg", "both.v1.md"]
    assert exporting.targets("x.svg") == [Path("x.svg")]
    exporting.write(paths, comparer, Asked(), 0.6)
    rows = list(csv.DictReader(io.StringIO(paths[0].read_text())))
    assert len(rows) == 3 * (3 + 4)
    one = next(r for r in rows if r["run"] == "faster" and r["metric"] == "reward/mean" and r["step"] == "2")
    assert float(one["value"]) == pytest.approx(0.9)
    assert float(one["seconds"]) == 10
    svg = ET.fromstring(paths[1].read_text())
    texts = [element.text for element in svg.iter("{http://www.w3.org/2000/svg}text")]
    assert {"reward/mean", "a slow", "b faster"} <= set(texts)
    dashes = {
        e.get("stroke-dasharray")
        for e in svg.iter("{http://www.w3.org/2000/svg}path")
        if e.get("stroke-width")
    }
    assert len(dashes) == 2
    tables = paths[2].read_text()
    assert "| optim.actor_learning_rate | 1e-06 | 2e-06 |" in tables
    assert "| reward/mean | 0.400 | 0.800 (+100%) |" in tables
    assert "![reward/mean](both.v1.svg)" in tables


def test_gaps_are_empty_in_csv_and_break_the_line(tmp_path: Path) -> None:
    runs = [run_of(tmp_path, name, [0.1, math.nan, 0.3], 1e-6) for name in ("one", "two")]
    comparer = Comparer(runs)
    while comparer.advance(1.0):
        pass
    text = exporting.points_csv(list(comparer.views.values()))
    assert "one,reward/mean,2,10.000,\n" in text
    svg = exporting.chart_svg(comparer.look(Asked(columns=30)), 0.0)
    curve = re.search(r'<path d="(M[^"]*)" fill="none"', svg)
    assert curve is not None
    assert (curve[1].count("M"), curve[1].count("L")) == (2, 0)
