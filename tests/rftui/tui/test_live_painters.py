"""Stretches, GPUs, ranks, phases and cells of the live screen as pure functions, without a terminal."""

import time
from dataclasses import replace
from pathlib import Path

import pytest
from fake_cluster import FakeCluster
from fake_run import FakeRun
from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

from engine.events import Heartbeat, Status
from rftui.runs.view import RunView
from rftui.tui import charts, phases, scale
from rftui.tui.axis import Stretch, rounded_up
from rftui.tui.curves import Wanted
from rftui.tui.devices import Device
from rftui.tui.gpu_matrix import gpu_panel, gpu_title
from rftui.tui.plot import Plot
from rftui.tui.rank_table import rank_panel
from rftui.tui.snapshot import IDLE, Snapshot, StepTime, take
from rftui.tui.widgets.painted import compact

GIB = 1 << 30


def gpus(count: int, per_host: int = 8) -> tuple[Device, ...]:
    return tuple(
        Device(
            label=f"{n % per_host}",
            host=f"node{n // per_host}.cluster",
            rank=n,
            used=100 * GIB,
            peak=120 * GIB,
            total=141 * GIB,
            predicted=118 * GIB,
            utilization=20.0 if n == 5 else 95.0,
            power=700.0,
            temperature=60.0 + n % 7,
            trouble="idle" if n == 5 else "",
        )
        for n in range(count)
    )


def lines(snapshot: Snapshot, width: int, height: int) -> list[str]:
    return gpu_panel(snapshot, width, height).plain.split("\n")


# --- which stretch ---------------------------------------------------------------------------------------


def test_a_growing_run_keeps_its_columns_until_they_are_used_up() -> None:
    ends = [Stretch().span((0, step), growing=True)[1] for step in range(100, 200)]
    assert all(end >= step for end, step in zip(ends, range(100, 200), strict=True))
    assert len(set(ends)) <= 8
    assert all(end <= 1.15 * step for end, step in zip(ends, range(100, 200), strict=True))
    assert Stretch().span((0, 137), growing=False) == (0, 137)


@pytest.mark.parametrize("span", [0.5, 8, 9, 99.5, 100, 101, 8_999, 123_456_789])
def test_rounding_up_never_falls_short_and_adds_an_eighth_at_most(span: float) -> None:
    assert max(8, span) <= rounded_up(span) <= max(8, 1.13 * span)


def test_zooming_keeps_the_crosshair_where_it_was() -> None:
    bounds = (0.0, 1000.0)
    zoomed = Stretch().zoomed(0.5, bounds, growing=False, at=250.0)
    lo, hi = zoomed.span(bounds, growing=False)
    assert hi - lo == 500
    assert (250 - lo) / (hi - lo) == pytest.approx(0.25)
    assert zoomed.zoomed(2, bounds, growing=False) == Stretch()


def test_zooming_in_ends_and_panning_stays_inside() -> None:
    bounds = (0.0, 1000.0)
    stretch = Stretch()
    for _ in range(20):
        stretch = stretch.zoomed(0.5, bounds, growing=False)
    assert stretch.width == 8
    for _ in range(2000):
        stretch = stretch.panned(-0.5, bounds, growing=False)
    assert stretch.span(bounds, growing=False) == (0, 8)
    assert stretch.panned(1000, bounds, growing=False).end is None


def test_time_and_token_axes_hold_every_point(tmp_path: Path) -> None:
    fake = FakeRun(tmp_path, "axes", total=50)
    for _ in range(50):
        fake.step()
    view = RunView(fake.run).load()
    for axis in ("step", "wall", "tokens"):
        snapshot = take(view, Wanted({"reward/mean": 30, "eval/accuracy": 30}, Stretch(axis)), fake.now)  # type: ignore[arg-type]
        curve = snapshot.curves["reward/mean"]
        assert snapshot.axis == axis
        assert sum(bucket.end - bucket.start for bucket in curve.buckets) == 50
        assert curve.steps[-1] == 50
    assert len(view.state.tokens) == 50


# --- charts ----------------------------------------------------------------------------------------------


def test_logarithms_are_marked_in_values_and_what_has_none_is_told() -> None:
    data = [charts.Bucket(i, i, i + 1, v, v, v) for i, v in enumerate([0.0, 0.001, 0.1, 10.0] * 8)]
    rows = [
        "".join(s.text for s in row)
        for row in charts.paint(Plot("kl", "1", data, 0, (0, 31), log=True), 60, 12)
    ]
    assert "kl · log, ≤ 0 left out" in rows[0]
    assert {row[1:7].strip() for row in rows[1:-1]} >= {"0.001", "0.1", "10"}
    nothing = [charts.Bucket(0, 0, 1, -1.0, -1.0, -1.0)]
    assert any(
        "nothing above 0" in s.text
        for row in charts.paint(Plot("x", "", nothing, 0, (0, 1), log=True), 70, 9)
        for s in row
    )


def test_a_narrow_logarithmic_range_still_has_marks() -> None:
    assert len(scale.y_labels(*scale.log_range([-0.6, -0.55]), 4, log=True)) >= 2


def test_the_crosshair_tells_the_newest_value_at_or_before_it() -> None:
    data = [charts.Bucket(c, c, c + 1, c, c, float(c)) for c in range(0, 60, 10)]
    plot = Plot("x", "9", data, 60, (0, 60), steps=[10 * i for i in range(6)], cursor=25.0)
    rows = charts.paint(plot, 43, 8)
    assert " step 20: 20 " in "".join(span.text for span in rows[0])
    assert sum(span.text.count("│") for row in rows for span in row if span.role == "cursor") >= 4
    assert "25" in [span.text.strip() for span in rows[-1] if span.role == "cursor"]
    assert "no value here" in "".join(s.text for s in charts.paint(replace(plot, buckets=data[3:]), 43, 8)[0])


def test_times_are_round_and_short() -> None:
    assert scale.x_ticks(0, 2500, 5, "wall") == [0, 600, 1200, 1800, 2400]
    labels = [scale.x_label(x, "wall", span) for x, span in ((900, 2500), (3900, 9000), (75, 90))]
    assert labels == ["15m", "1h05", "1:15"]
    assert scale.x_label(2.5e7, "tokens", 1e8) == "25M"


# --- devices ---------------------------------------------------------------------------------------------


def test_a_gpu_row_has_the_plan_the_present_and_the_peak() -> None:
    text = lines(Snapshot("r", "running", devices=gpus(8, 8)), 100, 9)
    assert text[0].split() == ["gpu", "util", "memory", "now", "peak", "plan", "of", "power", "temp"]
    assert (
        "100G" in text[1]
        and "120G" in text[1]
        and "118G" in text[1]
        and "700W" in text[1]
        and "60°C" in text[1]
    )
    assert "┃" in text[1] and "░" in text[1]
    assert "! idle" in text[6]


def test_ranks_without_a_gpu_have_their_memory_and_no_bar_of_nothing() -> None:
    ranks = (Device("r0", rank=0, used=3 * GIB, peak=4 * GIB), Device("r1", rank=1, used=GIB, peak=GIB))
    text = lines(Snapshot("r", "running", devices=ranks), 60, 3)
    assert [line.split() for line in text] == [
        ["rank", "now", "peak"],
        ["r0", "3G", "4G"],
        ["r1", "1G", "1G"],
    ]


def test_sixty_four_gpus_are_glyphs_with_the_worst_beneath() -> None:
    snapshot = Snapshot("r", "running", devices=gpus(64))
    text = lines(snapshot, 60, 16)
    heat = "".join(line for line in text if "█" in line and "%" not in line)
    assert sum(heat.count(glyph) for glyph in "▁▂▃▄▅▆▇█") == 64
    listed = [line for line in text if "%" in line]
    assert len(listed) == 8
    assert "! idle" in listed[0] and " 20%" in listed[0]
    short = lines(snapshot, 72, 2)
    assert len(short) == 2 and sum(short[0].count(g) for g in "▁▂▃▄▅▆▇█") == 64 and "idle" in short[1]


def test_more_gpus_are_grouped_by_host_with_trouble_first() -> None:
    text = lines(Snapshot("r", "running", devices=gpus(128)), 80, 6)
    assert text[1].startswith("node0 ") and "! 5 idle" in text[1]
    assert text[-1] == "… and 12 more hosts"
    assert len(text) == 6


def test_the_title_gives_way_from_its_end() -> None:
    snapshot = Snapshot("r", "running", devices=gpus(8))
    assert gpu_title(snapshot, 90) == "8 GPUs · util 86% · 5.6 kW · 60–66 °C · headroom 21G"
    assert gpu_title(snapshot, 30) == "8 GPUs · util 86% · 5.6 kW"
    assert gpu_title(replace(snapshot, status="finished"), 30).startswith("last seen: 8 GPUs")


def test_gpus_that_fall_silent_or_lag_behind_are_named(tmp_path: Path) -> None:
    fake = FakeCluster(tmp_path, "quiet", ranks=4)
    fake.cold.add(2)
    fake.step()
    view = RunView(fake.run).load()
    troubles = [device.trouble for device in take(view, Wanted(), fake.now + 1).devices]
    assert troubles == ["", "", "idle", ""]
    assert {device.trouble for device in take(view, Wanted(), fake.now + 60).devices} == {"silent 60s"}
    assert [device.rank for device in take(view, Wanted(), fake.now).devices] == [0, 1, 2, 3]
    assert {device.peak for device in take(view, Wanted(), fake.now).devices} == {125 * GIB}


# --- ranks -----------------------------------------------------------------------------------------------


def cluster_at(tmp_path: Path, ranks: int = 4, hosts: int = 1) -> FakeCluster:
    fake = FakeCluster(tmp_path, "ranks", ranks=ranks, hosts=hosts)
    for _ in range(4):
        fake.step()
    return fake


def test_ranks_that_work_are_in_step_and_their_waits_are_told(tmp_path: Path) -> None:
    fake = cluster_at(tmp_path)
    ranks = take(RunView(fake.run).load(), Wanted(), fake.now + 1).ranks
    assert ranks.severity == "info"
    assert ranks.said.startswith("4 ranks alive · update · waits 5% of the time")
    assert {row.word for row in ranks.rows} == {"works"}
    assert {row.lag for row in ranks.rows} == {None}


def test_the_rank_that_is_behind_is_the_straggler_and_stands_first(tmp_path: Path) -> None:
    fake = cluster_at(tmp_path)
    fake.straggle(2, waited=5, behind=3)
    snapshot = take(RunView(fake.run).load(), Wanted(), fake.now + 1)
    assert snapshot.ranks.said == "straggler: rank 2, 3 collectives behind in update; 3 ranks wait 6.0s"
    assert [row.rank for row in snapshot.ranks.rows] == [2, 0, 1, 3]
    assert [row.lag for row in snapshot.ranks.rows] == [3, 0, 0, 0]
    text = rank_panel(snapshot, 100, 9).plain.split("\n")
    assert text[2].split()[:4] == ["2", "node0:2", "▲", "late"]
    assert "all_reduce 161" in text[3]


def test_a_rank_not_heard_of_since_the_others_wait_is_not_called_late(tmp_path: Path) -> None:
    fake = cluster_at(tmp_path, ranks=2)
    fake.now += 20
    fake._emit(0, Heartbeat, step=4, phase="update", group="world", op="all_reduce", seq=161, waiting=6.0)
    rows = take(RunView(fake.run).load(), Wanted(), fake.now).ranks.rows
    assert [(row.rank, row.word, row.lag) for row in rows] == [(0, "waits", 0), (1, "works", None)]


def test_all_waiting_for_long_is_a_hang_and_silence_is_told(tmp_path: Path) -> None:
    fake = cluster_at(tmp_path)
    fake.now = time.time() + 1  # after the headers, which tell the real time
    beat = {"step": 4, "phase": "update", "group": "world", "op": "all_reduce", "seq": 161}
    for rank in range(4):
        fake._emit(rank, Heartbeat, waiting=70.0, **beat)
    view = RunView(fake.run).load()
    ranks = take(view, Wanted(), fake.now).ranks
    assert (ranks.severity, ranks.said) == ("error", "hang: all ranks wait 1m10s in all_reduce 161")
    ranks = take(view, Wanted(), fake.now + 45).ranks
    assert (ranks.severity, ranks.said) == ("error", "silent: rank 0, 1, 2, 3 for 45s")


def test_ranks_of_a_run_that_ended_are_not_judged(tmp_path: Path) -> None:
    fake = cluster_at(tmp_path)
    fake._emit(1, Status, state="failed", message="CUDA error")
    fake.end("failed", "rank 1: CUDA error")
    snapshot = take(RunView(fake.run).load(), Wanted(), fake.now + 9999)
    assert snapshot.ranks.said.startswith("4 ranks ended")
    text = rank_panel(snapshot, 120, 9).plain
    assert text.count("■ ended") == 4 and "CUDA error" in text


def test_many_ranks_are_a_row_per_node(tmp_path: Path) -> None:
    fake = FakeCluster(tmp_path, "many", ranks=72, hosts=9)
    fake.step()
    fake.straggle(70)
    text = rank_panel(take(RunView(fake.run).load(), Wanted(), fake.now), 100, 12).plain.split("\n")
    assert text[0].startswith("▲ straggler: rank 70")
    assert text[2].split()[:4] == ["node8", "8", "▲", "late"] and "rank 70" in text[2]
    assert len(text) == 11


# --- phases ----------------------------------------------------------------------------------------------

STEPS = tuple(
    StepTime(step, {"rollout": 5.0, "update": 2.0 + step % 2, "sync": 0.2, IDLE: 1.0})
    for step in range(1, 41)
)


def test_steps_are_stacks_as_high_as_they_were_long() -> None:
    text = [line.plain for line in phases.columns(STEPS, 100, 4)]
    assert text[0].startswith("  10s ") and text[-1].startswith("   0s ")
    assert {len(line) for line in text} == {6 + 2 * 40}
    assert set(text[-1][6:]) == {"█"}
    assert len(phases.columns(STEPS, 46, 4)[0].plain) == 46


def test_one_overlong_step_does_not_flatten_the_others() -> None:
    long = (*STEPS[:-1], StepTime(40, {"checkpoint": 500.0, IDLE: 0.0}))
    text = [line.plain for line in phases.columns(long, 100, 4)]
    assert "↑" in text[0]
    assert "█" in text[-2]


def test_a_row_per_step_tells_its_length_and_idle_share() -> None:
    snapshot = Snapshot("r", "running", timeline=STEPS, phases={"rollout": 5.0, IDLE: 1.0}, phase_steps=10)
    text = phases.phase_panel(snapshot, 100, 20).plain.split("\n")
    assert text[0].startswith("40 ") and text[0].endswith("8.2s idle  12%")
    assert text[1].startswith("39 ") and "rollout" in text[1]
    assert text[-1] == "■ rollout 5.0s 83%  ■ idle 1.0s 17%"


def test_the_stacks_of_a_growing_run_stay_where_they_are() -> None:
    snapshot = Snapshot("r", "running", timeline=STEPS, phases={"rollout": 5.0})
    shorter = replace(snapshot, timeline=STEPS[:-1])
    now, before = (phases.phase_panel(each, 60, 4).plain.split("\n")[0] for each in (snapshot, shorter))
    assert now.startswith(before) and len(now) == len(before) + 2


def test_idle_time_is_what_the_phases_leave_of_a_step(tmp_path: Path) -> None:
    fake = FakeRun(tmp_path, "idle", total=9)
    for _ in range(4):
        fake.step()
        fake.now += 2.5
    timeline = take(RunView(fake.run).load(), Wanted(), fake.now).timeline
    assert [step.step for step in timeline] == [1, 2, 3]
    assert [round(step.seconds[IDLE], 3) for step in timeline] == [2.5, 2.5, 2.5]


# --- cells -----------------------------------------------------------------------------------------------


def strip(*pieces: tuple[str, str]) -> Strip:
    return Strip([Segment(text, Style.parse(style)) for text, style in pieces])


def test_a_space_needs_no_colour_of_its_own() -> None:
    pieces = compact(
        strip(("ab", "red"), ("  ", "blue"), ("c", "red"), (" ", "on green"), (" ", "underline"))
    )
    assert [segment.text for segment in pieces] == ["ab  c", " ", " "]
    assert pieces.cell_length == 7


async def test_a_log_that_is_scrolled_back_stands_still_also_when_old_lines_go() -> None:
    from textual.app import App, ComposeResult

    from rftui.tui.widgets.log_tail import KEPT, LogLine, LogTail

    class Shown(App[None]):
        def compose(self) -> ComposeResult:
            yield LogTail(id="log")

    app = Shown()
    async with app.run_test(size=(40, 10)):
        log = app.query_one(LogTail)
        log.extend(LogLine(0, f"line {number}") for number in range(KEPT))
        log.action_scroll(20)
        before = log.render_line(0).text
        log.extend(LogLine(0, f"new {number}") for number in range(5))
        assert log.render_line(0).text == before
