"""Series against brute force over its points, and what it costs."""

import math
import random
import sys
import time

import pytest

from rftui.runs.series import Bucket, Series

Point = tuple[int, float, float]


def brute_append(points: list[Point], step: int, t: float, value: float) -> None:
    points[:] = [p for p in points if p[0] < step]
    points.append((step, max(t, points[-1][1]) if points else t, value))


def brute_window(xs: list[float], values: list[float], lo: float, hi: float, columns: int) -> list[Bucket]:
    edges = [lo + (hi - lo) / columns * c for c in range(columns)]
    found = []
    for column in range(columns):
        above = edges[column + 1] if column + 1 < columns else math.inf
        inside = [i for i, x in enumerate(xs) if edges[column] <= x < above and x <= hi]
        if inside:
            real = [values[i] for i in inside if not math.isnan(values[i])] or [math.nan]
            found.append(Bucket(column, inside[0], inside[-1] + 1, min(real), max(real), real[-1]))
    return found


def same(a: list[Bucket], b: list[Bucket]) -> bool:
    return repr(a) == repr(b)  # NaN equals NaN


def float32(value: float) -> float:
    series = Series()
    series.append(0, 0.0, value)
    return series.values[0]


@pytest.mark.parametrize("seed", range(60))
def test_windows_equal_brute_force(seed: int) -> None:
    rng = random.Random(seed)
    series, points = Series(), []
    step, t = 0, 1_700_000_000.0
    gap_share = rng.choice([0.0, 0.0, 0.1, 0.9, 1.0])
    for _ in range(rng.choice([0, 1, 3, 4, 5, 17, 64, 300, 1500])):
        step += rng.choice([1, 1, 1, 2, 50])
        t += rng.choice([0.25, 1.0, 0.0, -2.0])
        value = math.nan if rng.random() < gap_share else float32(rng.gauss(0, 10))
        if rng.random() < 0.004:
            step = max(0, step - rng.randrange(400))
        series.append(step, t, value)
        brute_append(points, step, t, value)
        if rng.random() < 0.01:
            series.window(0, step, 7)  # builds the pyramid half way, so later truncation meets it
    assert list(series.steps) == [p[0] for p in points] and len(series) == len(points)
    values = [p[2] for p in points]
    for axis in ("step", "time"):
        xs = [float(p[0]) for p in points]
        if axis == "time":
            xs = [series.time(i) - series.origin for i in range(len(points))]
            assert xs == sorted(xs)
            assert xs == pytest.approx([p[1] - points[0][1] for p in points], abs=1e-3)
        first, last = series.bounds(axis)
        for _ in range(6):
            lo, hi = sorted((rng.uniform(first - 5, last + 5), rng.uniform(first - 5, last + 5)))
            columns = rng.choice([1, 2, 7, 80, 333])
            for a, b in ((lo, hi), (first, last)):
                assert same(series.window(a, b, columns, axis), brute_window(xs, values, a, b, columns))


@pytest.mark.parametrize("gap_share", [0.0, 0.3])
def test_ranges_at_every_level_find_their_extrema(gap_share: float) -> None:
    rng = random.Random(1)
    series = Series()
    for step in range(5000):
        series.append(step, float(step), math.nan if rng.random() < gap_share else rng.randrange(10_000))
    ranges = [sorted((rng.randrange(5000), rng.randrange(5000))) for _ in range(1500)]
    ranges += [[a, b] for a in range(250, 290) for b in (a, a + 1, 300, 511, 512, 4095, 4096)]
    for a, b in ranges:
        [bucket] = series.window(a, b, 1)
        inside = [v for v in series.values[a : b + 1] if not math.isnan(v)] or [math.nan]
        assert same([bucket], [Bucket(0, a, b + 1, min(inside), max(inside), inside[-1])])


@pytest.mark.alone
def test_one_spike_in_a_million_is_seen_and_a_window_is_cheap() -> None:
    series = Series()
    for step in range(1_000_000):
        series.append(step, step * 0.1, 1e6 if step == 654_321 else math.sin(step / 1e5))
    series.window(0, 999_999, 200)
    cost = []
    for lo in (0, 1, 333, 123_456, 17):
        begin = time.perf_counter()
        buckets = series.window(lo, 999_999, 240)
        cost.append(time.perf_counter() - begin)
    assert len(buckets) == 240 and [b.column for b in buckets if b.max == 1e6] == [654_321 * 240 // 1_000_000]
    assert min(cost) < 0.02  # about 2 ms; a scan of the points takes 40
    memory = sum(
        sys.getsizeof(a) for a in (series.steps, series.values, series._times, *series._lows, *series._highs)
    )
    assert memory < 14_000_000


def test_supersede_and_values_out_of_range() -> None:
    series = Series()
    for step in range(10):
        series.append(step, float(step), float(step))
    series.append(4, 20.0, -1.0)
    assert list(series.steps) == [0, 1, 2, 3, 4] and series.values[-1] == -1.0 and series.time(4) == 20.0
    series.append(4, 21.0, -2.0)
    assert list(series.values) == [0, 1, 2, 3, -2]
    series.append(5, 22.0, 1e300)
    series.append(6, 23.0, -math.inf)
    assert 3.4e38 < series.values[5] < math.inf and math.isnan(series.values[6])
    series.truncate(0)
    assert len(series) == 0 and series.window(0, 10, 5) == [] and series.bounds() == (0.0, 0.0)
    series.append(3, 50.0, 1.0)
    assert series.origin == 50.0
