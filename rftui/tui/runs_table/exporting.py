"""A comparison as files: all points as CSV, the chart as SVG, the tables as Markdown."""

import csv
import io
from collections.abc import Sequence
from math import isfinite, isnan
from pathlib import Path
from xml.sax.saxutils import escape

from rftui.runs.rundir import RunDir
from rftui.runs.view import RunView
from rftui.tui import scale
from rftui.tui.charts import smoothed
from rftui.tui.runs_table.comparison import Asked, Comparer, Comparison
from rftui.tui.runs_table.markdown import cell, table
from rftui.tui.runs_table.side_by_side import numbers_row

KINDS = (".csv", ".svg", ".md")
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000", "#999999")
"""For colour-blind eyes (Okabe and Ito, 2008); dashes and letters tell the lines apart as well."""
DASHES = ("", "8 3", "2 2", "8 3 2 3", "12 4", "4 4", "1 3", "12 3 2 3")
_WIDTH, _HEIGHT, _LEFT, _TOP, _BOTTOM = 960, 420, 64, 40, 40
_COLUMNS = 600


def targets(line: str, kinds: Sequence[str] = KINDS) -> list[Path]:
    """The files that a line names: one, or one of each kind where it has no ending of these."""
    path = Path(line).expanduser()
    return [path] if path.suffix in kinds else [path.with_name(path.name + kind) for kind in kinds]


def write(paths: Sequence[Path], comparer: Comparer, asked: Asked, smoothing: float) -> None:
    """Write each file whole, none over another; raises OSError."""
    comparison = comparer.look(Asked(asked.metric, asked.axis, _COLUMNS))
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".csv":
            text = points_csv([comparer.views[run.path] for run in comparer.runs])
        elif path.suffix == ".svg":
            text = chart_svg(comparison, smoothing)
        else:
            picture = next((other.name for other in paths if other.suffix == ".svg"), "")
            text = tables_markdown(comparison, comparer.runs, picture)
        with path.open("x", encoding="utf-8") as file:
            file.write(text)


def points_csv(views: Sequence[RunView]) -> str:
    """A line per run, metric and step: `seconds` since the metric's first point; gaps are left empty.

    Runs of one name, in different folders, are told apart by their paths.
    """
    names = [view.run_dir.name for view in views]
    out = io.StringIO()
    rows = csv.writer(out, lineterminator="\n")
    rows.writerow(("run", "metric", "step", "seconds", "value"))
    for view in views:
        run = view.run_dir.name if names.count(view.run_dir.name) == 1 else str(view.run_dir.path)
        for name, series in sorted(view.series.items()):
            for at, (step, value) in enumerate(zip(series.steps, series.values, strict=True)):
                seconds = series.time(at) - series.origin
                shown = f"{value:.7g}" if isfinite(value) else ""
                rows.writerow((run, name, step, f"{seconds:.3f}", shown))
    return out.getvalue()


def tables_markdown(comparison: Comparison, runs: Sequence[RunDir], picture: str = "") -> str:
    """What differs in the settings, and in the numbers at the end."""
    heads = [f"{run.letter}: {run.name}" for run in comparison.runs]
    lines = ["# " + " against ".join(cell(run.name) for run in comparison.runs), ""]
    if picture:
        lines += [f"![{comparison.asked.metric}]({picture})", ""]
    if len(runs) > 1:
        differing = ((each.key, *each.values) for each in comparison.differences)
        lines += ["## Settings that differ", "", *table(["setting", *heads], differing), ""]
    numbers = ((each.metric, *(text for text, _ in numbers_row(each))) for each in comparison.deltas)
    lines += ["## Numbers at the end", "", *table(["metric", *heads], numbers)]
    lines += ["", "## Folders", "", *(f"- {cell(run.name)}: `{run.path}`" for run in runs)]
    return "\n".join(lines) + "\n"


def chart_svg(comparison: Comparison, smoothing: float) -> str:
    """The curves of the metric that is shown."""
    axis, (first, last) = comparison.asked.axis, comparison.x
    lines = [
        smoothed(run.curve.buckets, smoothing) if smoothing else list(run.curve.buckets)
        for run in comparison.runs
    ]
    low, high = scale.value_range([b.last for line in lines for b in line if not isnan(b.last)])
    right, bottom = _WIDTH - 20, _HEIGHT - _BOTTOM

    def y_of(value: float) -> float:
        return round(bottom - (value - low) / (high - low) * (bottom - _TOP), 1)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT + 20 * len(lines)}" '
        'font-family="sans-serif" font-size="13">',
        '<rect width="100%" height="100%" fill="#ffffff"/>',
        f'<text x="{_LEFT}" y="24" font-size="16">{escape(comparison.asked.metric)}</text>',
        f'<text x="{right}" y="24" text-anchor="end" fill="#555555">over {axis}'
        + (f", moving average {smoothing:g}" if smoothing else "")
        + "</text>",
    ]
    for tick, text in scale.y_labels(low, high, 7, False):
        parts.append(
            f'<path d="M{_LEFT} {y_of(tick)}H{right}" stroke="#dddddd"/>'
            f'<text x="{_LEFT - 6}" y="{y_of(tick) + 4}" text-anchor="end" fill="#555555">{text}</text>'
        )
    for tick in scale.x_ticks(first, last, 9, axis) if last > first else ():
        x = round(_LEFT + (tick - first) / (last - first) * (right - _LEFT), 1)
        label = scale.x_label(tick, axis, last - first)
        parts.append(f'<text x="{x}" y="{bottom + 18}" text-anchor="middle" fill="#555555">{label}</text>')
    for place, (run, line) in enumerate(zip(comparison.runs, lines, strict=True)):
        look = f'fill="none" stroke="{COLOURS[place]}" stroke-width="1.6" stroke-dasharray="{DASHES[place]}"'
        path, pen = [], "M"
        for bucket in line:
            if isnan(bucket.last):
                pen = "M"
                continue
            x = round(_LEFT + (bucket.column + 0.5) / run.curve.columns * (right - _LEFT), 1)
            path.append(f"{pen}{x} {y_of(bucket.last)}")
            pen = "L"
        height = _HEIGHT + 20 * place
        parts.append(
            f'<path d="{"".join(path)}" {look}/>'
            f'<path d="M{_LEFT} {height}h40" {look}/>'
            f'<text x="{_LEFT + 50}" y="{height + 4}">{run.letter} {escape(run.name)}</text>'
        )
    return "\n".join([*parts, "</svg>", ""])
