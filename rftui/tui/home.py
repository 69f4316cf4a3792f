"""What the home screen shows, as values and as pure functions from values to styled text."""

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

from textual.content import Content

from diagnostics.hardware import Hardware
from rftui.runs.listing import REWARD, RunSummary
from rftui.runs.rundir import RunDir
from rftui.runs.view import tail_state
from rftui.tui.panels import status_word
from rftui.tui.text import clean_line, duration, number, size

if TYPE_CHECKING:
    from presets.loader import Preset

MODEL, ALGORITHM = "model.pretrain", "algorithm.advantage_estimator"
SPARK_CELLS = 12
_BARS = "▁▂▃▄▅▆▇█"
_TAIL_BYTES, _RANK_0 = 1 << 17, "rank-00000.jsonl"
_FIXED_CELLS = 45
"""Of a run's line, without name and curve."""
_LIMIT_S = 60.0
_OTHER_TASK = "other"
"""Heading of presets that name no task; the last one."""


@dataclass(frozen=True)
class PresetRow:
    """A preset, what it asks for besides, and whether it fits this machine (None: not known)."""

    name: str
    title: str
    origin: str
    needs: tuple[str, ...] = ()
    fits: bool | None = None
    peak_gb: float | None = None
    problem: str = ""
    task: str = ""
    asks: str = ""
    """The model and the algorithm."""
    planning: bool = False
    """Whether it will be known in a moment if it fits."""


@dataclass(frozen=True)
class Badge:
    """What the doctor's fast checks came to."""

    errors: int
    warnings: int


def rewards_of(run: RunDir) -> tuple[float, ...]:
    """The newest rewards of a run, as many as a small curve has cells, from the tail of rank 0's events."""
    series = tail_state(run, _TAIL_BYTES, only=_RANK_0).series.get(REWARD)
    if series is None or not len(series):
        return ()
    low, high = series.bounds()
    return tuple(b.last for b in series.window(low, high, SPARK_CELLS) if isfinite(b.last))


def spark(values: Sequence[float]) -> str:
    """A curve in one line, from its lowest value to its highest."""
    if not values:
        return ""
    low, high = min(values), max(values)
    if high == low:
        return _BARS[3] * len(values)
    return "".join(_BARS[round((value - low) / (high - low) * (len(_BARS) - 1))] for value in values)


def run_line(run: RunSummary, values: Sequence[float], now: float, width: int) -> Content:
    """`name  ● running  412/2000  0.612 ▁▂▃▅▇  2m05s`; the curve goes first when there is no room."""
    curve = SPARK_CELLS + 1 if width >= 72 else 0
    room = max(8, width - _FIXED_CELLS - curve)
    name = clean_line(run.name)
    name = name if len(name) <= room else name[: room - 1] + "…"
    step = f"{run.step}/{run.total_steps}" if run.total_steps else f"{run.step}"
    reward = number(run.reward) if run.reward is not None else "—"
    word = status_word(run.status)
    drawn = f" {spark(values):<{SPARK_CELLS}}" if curve else ""
    return Content.assemble(
        f"{name:<{room}} ",
        word,
        " " * max(1, 14 - word.cell_length),
        f"{step:>11} {reward:>7}",
        (drawn, "$hue-1"),
        (f" {duration(max(0.0, now - run.updated)):>7}", "$quiet"),
    )


def is_on(run: RunSummary) -> bool:
    """Whether it goes on, as far as is known."""
    return run.status in ("launching", "running", "stalled")


def runs_on_first(runs: Sequence[RunSummary]) -> list[RunSummary]:
    """Runs that go on, then the others, in the order given."""
    return sorted(runs, key=lambda run: not is_on(run))


def runs_with(runs: Sequence[RunSummary], words: str) -> list[RunSummary]:
    """Runs that have all the words in name, status or preset."""
    return [run for run in runs if _has(words, run.name, run.status, run.preset)]


def presets_with(presets: Sequence[PresetRow], words: str) -> list[PresetRow]:
    """Presets that have all the words in name, title, task, model or algorithm."""
    return [row for row in presets if _has(words, row.name, row.title, row.task, row.asks, row.origin)]


def _has(words: str, *texts: str) -> bool:
    text = " ".join(texts).lower()
    return all(word in text for word in words.lower().split())


def preset_lines(presets: Sequence[PresetRow], width: int) -> tuple[dict[str, Content], set[str]]:
    """Lines by name, under a heading for each task; and the ids of those headings."""
    tasks = sorted({row.task for row in presets}, key=lambda task: (not task, task.lower()))
    lines, headings = {}, set()
    for task in tasks:
        heading = f"/{task}"  # no preset's name has a slash
        headings.add(heading)
        lines[heading] = Content.styled(clean_line(task or _OTHER_TASK), "bold $primary")
        lines |= {row.name: preset_line(row, width) for row in presets if row.task == task}
    return lines, headings


def preset_line(preset: PresetRow, width: int) -> Content:
    """`quickstart  Quickstart · toy:sort · group_norm  ✔ fits, 0.8 GB`, as much as there is room for."""
    if preset.needs:
        fits = Content.styled(f"◌ needs {', '.join(preset.needs)}", "$accent")
    elif preset.problem:
        fits = Content.styled(f"? {preset.problem}", "$quiet")
    elif preset.fits is None:
        fits = Content.styled("◌ planning" if preset.planning else "", "$quiet")
    else:
        peak = f", {preset.peak_gb:.3g} GB" if preset.peak_gb is not None else ""
        glyph, words, colour = ("✔", "fits", "$success") if preset.fits else ("✖", "does not fit", "$error")
        fits = Content.styled(f"{glyph} {words}{peak}", colour)
    yours = " (yours)" if preset.origin == "yours" else ""
    name = f"{preset.name:<14} "
    room = max(0, width - len(name) - fits.cell_length - 2)
    title = clean_line(" · ".join(part for part in (preset.title + yours, preset.asks) if part))
    title = title if len(title) <= room else title[: max(0, room - 1)] + "…"
    return Content.assemble((name, "bold"), (f"{title:<{room}}  ", "$quiet"), fits)


def machine_lines(machine: Hardware | None, badge: Badge | None, width: int) -> Content:
    """GPUs by kind with what is free, memory, disk, and the doctor's badge."""
    if machine is None:
        return Content.styled("looking at this machine", "$quiet italic")
    lines = [*_gpu_lines(machine), *_host_lines(machine, width), _badge_line(badge)]
    lines += [Content.styled(f"▲ {clean_line(problem.cause)}", "$warning") for problem in machine.problems]
    return Content("\n").join(line[:width] for line in lines)


def _gpu_lines(machine: Hardware) -> list[Content]:
    if not machine.gpus:
        return [Content.assemble(("GPUs  ", "$quiet"), "none: runs use the CPU")]
    kinds: dict[str, list[int]] = {}
    for gpu in machine.gpus:
        kinds.setdefault(clean_line(gpu.name), []).append(gpu.memory_free or 0)
    return [
        Content.assemble(("GPUs  ", "$quiet"), (f"{len(free)} × {name}", "bold"), f"  {size(sum(free))} free")
        for name, free in kinds.items()
    ]


def _host_lines(machine: Hardware, width: int) -> list[Content]:
    """One line, or the disk on one of its own where that would be too long."""
    memory = f"{size(machine.memory_available)} of {size(machine.memory_total)} free"
    host = Content.assemble(("host  ", "$quiet"), f"{machine.cores} cores", ("  memory ", "$quiet"), memory)
    if machine.disk_free is None:
        return [host]
    disk = Content.assemble(("disk  ", "$quiet"), f"{size(machine.disk_free)} free")
    whole = host + "  " + disk
    return [whole] if whole.cell_length <= width else [host, disk]


def _badge_line(badge: Badge | None) -> Content:
    head = ("doctor ", "$quiet")
    if badge is None:
        return Content.assemble(head, ("◌ checking", "$quiet"))
    if badge.errors:
        return Content.assemble(head, (f"✖ {badge.errors} errors, {badge.warnings} warnings → 7", "$error"))
    if badge.warnings:
        return Content.assemble(head, (f"▲ {badge.warnings} warnings → 7", "$warning"))
    return Content.assemble(head, ("✔ all fine", "$success"))


def presets_known() -> list[PresetRow]:
    """All presets, before anything is planned; one that cannot be read says so."""
    from engine.findings import FindingsError
    from presets import loader

    rows = []
    for name in loader.names():
        try:
            preset = loader.load(name)
        except FindingsError as error:
            rows.append(PresetRow(name, "", "", problem=clean_line(error.findings[0].cause)))
        else:
            needs = tuple(key.rpartition(".")[2] for key in preset.needs)
            rows.append(
                PresetRow(name, preset.title, preset.origin, needs, task=preset.task, asks=_asks(preset))
            )
    return rows


def _asks(preset: "Preset") -> str:
    values = preset.layer.values
    model = "a model of yours" if MODEL in preset.needs else values.get(MODEL, "")
    return " · ".join(str(part) for part in (model, values.get(ALGORITHM, "")) if part)


def planned(row: PresetRow) -> PresetRow:
    """The same with the planner's answer. A process of its own: this one stays free for keys."""
    said = _rft("plan", row.name, "--json")
    if said is None or "fits" not in said:
        return replace(row, problem="not planned: open it to see why")
    return replace(row, fits=said["fits"], peak_gb=said.get("peak_gb"))


def doctor_badge() -> Badge | None:
    """The fast checks; None where they did not run."""
    said = _rft("doctor", "--json")
    if said is None or "counts" not in said:
        return None
    return Badge(said["counts"].get("error", 0), said["counts"].get("warning", 0))


def _rft(*arguments: str) -> dict[str, Any] | None:
    argv = [sys.executable, "-c", "from rftui.cli.app import main; main()", *arguments]
    try:
        done = subprocess.run(argv, capture_output=True, timeout=_LIMIT_S, check=False, cwd=Path.cwd())
        said = json.loads(done.stdout.splitlines()[-1])
    except (OSError, ValueError, IndexError, subprocess.TimeoutExpired):
        return None
    return said if isinstance(said, dict) else None
