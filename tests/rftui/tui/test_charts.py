"""Charts as pure functions: what is drawn and where, and that nothing is lost or overflows."""

import time
from math import nan

import pytest

from rftui.runs.series import Bucket, Series
from rftui.tui import scale
from rftui.tui.chart_box import GUTTER
from rftui.tui.charts import dot_columns, fitted, paint, smoothed
from rftui.tui.plot import Line, Plot, Role, Row


def buckets(values: list[float]) -> list[Bucket]:
    return [Bucket(i, i, i + 1, v, v, v) for i, v in enumerate(values)]


def text(plot: Plot, width: int, height: int) -> list[str]:
    return ["".join(span.text for span in row) for row in paint(plot, width, height)]


@pytest.mark.parametrize("width", [1, 9, 12, 13, 20, 40, 200])
@pytest.mark.parametrize("height", [1, 2, 3, 5, 11, 60])
def test_every_row_fills_exactly_the_width(width: int, height: int) -> None:
    data = buckets([float(i % 7) for i in range(dot_columns(width))])
    for plot in (Plot("a long title of a chart", "123.4", data, 0, (0, 12345), 0.9), Plot("empty")):
        rows = text(plot, width, height)
        assert len(rows) == height
        assert {len(row) for row in rows} == {width}


def test_title_value_ticks_and_steps_are_in_the_box() -> None:
    rows = text(Plot("reward", "0.612", buckets([i / 61 for i in range(62)]), 0, (0, 412)), 40, 11)
    assert rows[0].startswith("╭─ reward ─")
    assert rows[0].endswith(" 0.612 ─╮")
    labels = [row[1 : 1 + GUTTER].strip() for row in rows[1:-1]]
    assert labels[-1] == "0"
    assert "1.0" in labels
    assert " 0 " in rows[-1]
    assert " 412 " in rows[-1]


def test_a_rising_line_runs_from_bottom_left_to_top_right() -> None:
    rows = text(Plot("x", "", buckets([i / 61 for i in range(62)]), 0, (0, 61)), 40, 11)[1:-1]
    plot = [row[1 + GUTTER : -2] for row in rows]
    heights = [next(i for i, row in enumerate(plot) if "\u2800" < row[c] <= "\u28ff") for c in range(31)]
    assert heights == sorted(heights, reverse=True)
    assert heights[0] == 8
    assert heights[-1] == 0


def test_a_spike_of_one_step_in_a_hundred_thousand_reaches_the_top() -> None:
    series = Series()
    for step in range(100_000):
        series.append(step, step, 5.0 if step == 61_234 else 1.0)
    rows = text(Plot("x", "", series.window(0, 99_999, dot_columns(40)), 0, (0, 99_999)), 40, 11)
    column = round(61_234 / 100_000 * 31)
    assert any("\u2800" < char <= "\u28ff" for char in rows[1][GUTTER + column - 1 : GUTTER + column + 3])


def test_gaps_break_the_line_and_are_marked() -> None:
    values = [1.0] * 62
    values[30:34] = [nan] * 4
    rows = paint(Plot("x", "", buckets(values), 0, (0, 61)), 40, 7)
    gaps = [span.text for row in rows for span in row if span.role == "gap"]
    assert gaps == ["××"]
    line = next(row for row in rows if any(span.role == "line" for span in row))
    assert sum(len(span.text) for span in line if span.role == "line") == 29


def test_sparse_measurements_are_marked_each() -> None:
    sparse = [b for b in buckets([float(i) for i in range(62)]) if b.column % 20 == 0]
    points = [s for row in paint(Plot("x", "", sparse, 0, (0, 61)), 40, 11) for s in row if s.role == "point"]
    assert sum(len(span.text) for span in points) == len(sparse)


def test_smoothing_keeps_the_raw_line_behind() -> None:
    data = buckets([float(i % 2) for i in range(62)])
    roles = {span.role for row in paint(Plot("x", "", data, 0, (0, 61), 0.9), 40, 11) for span in row}
    assert {"raw", "line"} <= roles
    assert "raw" not in {span.role for row in paint(Plot("x", "", data, 0, (0, 61)), 40, 11) for span in row}


@pytest.mark.parametrize(("smoothing", "log"), [(0.0, False), (0.6, False), (0.9, True)])
def test_another_run_lies_behind_with_its_letter_and_both_are_in_range(smoothing: float, log: bool) -> None:
    own, other = buckets([0.5 + i / 200 for i in range(62)]), buckets([4.0 - i / 20 for i in range(31)])
    behind = Line("b", "behind", other, 62)
    plot = Plot("x", "1", own, 62, (0, 61), smoothing, log=log, others=(behind,), aside="b an-older-run")
    rows = paint(plot, 60, 12)
    drawn = {
        role: "".join(s.text for row in rows for s in row if s.role == role) for role in ("line", "behind")
    }
    assert "b" in drawn["behind"] and "b" not in drawn["line"]
    assert all(any("\u2800" < char <= "\u28ff" for char in text) for text in drawn.values())
    assert any(span.role == "behind" for span in rows[1]), "the higher of the two fills the top"
    assert "· b an-older-run" in "".join(span.text for span in rows[0])
    last = max(place for row in rows for place, role in enumerate(_roles(row)) if role == "behind")
    assert last <= 1 + GUTTER + 48 // 2 + 1, "it ends where its data ends"


def test_the_crosshair_tells_the_other_run_too_and_extremes_go_first() -> None:
    own = [b._replace(min=b.last - 1, max=b.last + 1) for b in buckets([float(i) for i in range(62)])]
    plot = Plot(
        "x", "", own, 62, (0, 61), cursor=30.0, steps=range(62), others=(Line("b", "behind", own, 62),)
    )
    assert "step 30: 30 · b 30 (29–31)" in text(plot, 60, 7)[0]
    assert text(plot, 34, 7)[0].startswith("╭─ x ") and " step 30: 30 · b 30 ─╮" in text(plot, 34, 7)[0]


def test_of_a_run_that_ended_before_the_crosshair_no_value_is_told() -> None:
    own, other = buckets([float(i) for i in range(62)]), buckets([float(i) for i in range(10)])
    behind = (Line("b", "behind", other, 62),)
    for cursor, told in ((9.0, True), (12.0, False)):
        plot = Plot("x", "", own, 62, (0, 61), cursor=cursor, steps=range(62), others=behind)
        assert ("· b 9" in text(plot, 60, 7)[0]) == told


def test_what_stands_after_the_title_takes_only_room_that_is_left() -> None:
    data = buckets([1.0, 2.0])
    for width in range(14, 60):
        row = text(Plot("reward", "0.612", data, 62, (0, 61), aside="b a-run-with-a-name"), width, 5)[0]
        assert len(row) == width
        assert ("0.612" in row) == (width >= 19)
    assert (
        "· b a-…-name "
        in text(Plot("reward", "0.612", data, 62, (0, 61), aside="b a-run-with-a-name"), 33, 5)[0]
    )


def _roles(row: Row) -> list[Role]:
    return [span.role for span in row for _ in span.text]


def test_the_average_is_unbiased_from_its_first_value_and_passes_over_gaps() -> None:
    flat = smoothed(buckets([2.0, nan, 2.0, 2.0]), 0.9)
    assert [b.last for b in flat if b.last == b.last] == pytest.approx([2.0, 2.0, 2.0])
    assert {b.last for b in smoothed(buckets([640.0] * 200), 0.6)} == {640.0}
    step = smoothed(buckets([0.0, 1.0]), 0.6)
    assert step[1].last == pytest.approx(0.4 / (1 - 0.36))


@pytest.mark.parametrize("columns", [10, 61, 63, 500])
def test_data_cut_for_another_width_fills_the_chart_and_keeps_its_spike(columns: int) -> None:
    data = buckets([5.0 if i == columns // 2 else 1.0 for i in range(columns)])
    kept = fitted(data, columns, 62)
    assert [b.column for b in kept] == sorted({b.column for b in kept})
    assert kept[-1].column >= 61 - 62 // columns - 1
    assert max(b.max for b in kept) == 5.0
    assert len(text(Plot("x", "", data, columns, (0, 9)), 40, 9)) == 9


def test_all_values_missing_says_so() -> None:
    rows = text(Plot("x", "", buckets([nan, nan]), 0, (0, 1), note="no finite value"), 40, 7)
    assert any("no finite value" in row for row in rows)


@pytest.mark.parametrize(
    ("low", "high"), [(0, 1), (0.19, 0.41), (-3, 900), (1e-7, 3e-6), (0, 2.5e6), (11.2, 11.3), (-1, 1)]
)
def test_ticks_are_few_inside_and_written_within_the_gutter(low: float, high: float) -> None:
    for most in (2, 3, 5, 7):
        values = scale.ticks(low, high, most)
        step = scale.nice_step(high - low, most)
        assert 1 <= len(values) <= most + 1
        assert all(low - step * 1e-6 <= v <= high + step * 1e-6 for v in values)
        labels = [scale.label(v, step) for v in values]
        assert all(len(text) <= scale.LABEL_WIDTH for text in labels)
        written = [text for text in labels if text]
        assert len(set(written)) == len(written)


@pytest.mark.parametrize(
    ("value", "step", "expected"),
    [(0.5, 0.5, "0.5"), (1e-6, 1e-6, "1e-6"), (18400, 200, "18.4k"), (-0.025, 0.005, "-.025"), (0, 1, "0")],
)
def test_labels(value: float, step: float, expected: str) -> None:
    assert scale.label(value, step) == expected


def test_constant_values_are_drawn_inside_the_chart() -> None:
    for value in (0.0, 3.0, -2.0):
        low, high = scale.value_range([value, value])
        assert low <= value <= high
        assert low < high


@pytest.mark.alone
def test_a_large_chart_paints_within_a_frame() -> None:
    plot = Plot("x", "1", buckets([float(i * 37 % 11) for i in range(dot_columns(120))]), 0, (0, 5000), 0.6)
    paint(plot, 120, 40)
    times = []
    for _ in range(10):
        start = time.perf_counter()
        paint(plot, 120, 40)
        times.append(time.perf_counter() - start)
    assert min(times) < 0.02
