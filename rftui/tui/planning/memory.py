"""Memory per phase as bars: terms as segments, the limit as a line, headroom in words. Pure painting."""

from collections.abc import Sequence
from typing import NamedTuple

from textual.content import Content

from engine.footprint.terms import Footprint, PhaseMemory, Term
from rftui.plan.result import Plan
from rftui.plan.words import GB, duration, gb
from rftui.tui.blocks import flowed
from rftui.tui.planning.consider import Considered


class Kind(NamedTuple):
    """What a segment stands for; its glyph tells it apart where there are no colours."""

    name: str
    glyph: str
    colour: str


KINDS = (
    Kind("weights", "█", "$hue-1"),
    Kind("gradients", "▓", "$hue-2"),
    Kind("optimizer", "▒", "$hue-3"),
    Kind("activations", "▚", "$hue-4"),
    Kind("KV cache", "▞", "$hue-5"),
    Kind("engine", "░", "$hue-6"),
    Kind("process", "+", "$quiet"),
    Kind("margin", "·", "$quiet"),
)
_OF_NAME = {kind.name: kind for kind in KINDS}
_WEIGHTS = ("weight", "master", "policy", "model", "shard", "module", "embedding", "adapters")
PHASE_CELLS = 11
SMALL = 0.3
"""Share of the memory below which bars are drawn larger, with a break `╱` before the limit."""
FULL = 0.95
"""Share of the memory from which a phase is painted as nearly full."""


def kind_of(term: Term) -> Kind:
    """The kind that a term belongs to."""
    name = term.name.lower()
    if term.where == "margin":
        return _OF_NAME["margin"]
    if "kv" in name.split():
        return _OF_NAME["KV cache"]
    if term.where == "engine" or name.startswith("engine"):
        return _OF_NAME["engine"]
    if term.where == "driver" or name == "process":
        return _OF_NAME["process"]
    if "gradients" in name:
        return _OF_NAME["gradients"]
    if name.startswith("adam"):
        return _OF_NAME["optimizer"]
    return _OF_NAME["weights" if any(word in name for word in _WEIGHTS) else "activations"]


def split(terms: Sequence[Term]) -> dict[str, int]:
    """Bytes of each kind, in the order of KINDS."""
    sizes = dict.fromkeys(_OF_NAME, 0)
    for term in terms:
        sizes[kind_of(term).name] += term.bytes
    return sizes


def memory(now: Considered, width: int) -> Content:
    """Everything about memory, batches and time."""
    if now.plan is None:
        return Content.styled("not predicted: see the findings", "$quiet italic")
    plan = now.plan
    lines = [_title(now), *bars(plan, width), *_legend(plan.footprint, width), _beside(plan)]
    lines += [Content(""), Content.styled("batches", "bold"), Content(plan.batch_words)]
    lines += [Content(""), Content.styled("time", "bold"), *map(Content, _time(plan))]
    if plan.runner_up is not None:
        values = ", ".join(f"{key.partition('.')[2]} {value}" for key, value in plan.runner_up.values.items())
        lines += [Content(""), Content.styled("the next best plan", "bold")]
        lines += [Content(f"{values}: {plan.runner_up.words}")]
    notes = [*plan.assumptions, *([f"memory is corrected by {plan.corrected}"] if plan.corrected else [])]
    if notes:
        lines += [Content(""), Content.styled("assumed", "bold")]
        lines += [Content.styled(f"- {note}", "$quiet") for note in notes]
    return Content("\n").join(lines)


def bars(plan: Plan, width: int) -> list[Content]:
    """A line per phase: `update  ████▓▓▒▒··│   6.2 GB  17.8 free`."""
    free, phases = plan.job.place.free, plan.footprint.phases
    rests = [_rest(phase, free) for phase in phases]
    rest_cells = max(map(len, rests))
    room = max(8, width - PHASE_CELLS - 8 - rest_cells)
    peak = max(phase.bytes for phase in phases)
    scale = max(free, peak) * 1.02 if peak > SMALL * free else peak * 1.2
    return [
        _line(phase, free, scale, room, rest.rjust(rest_cells))
        for phase, rest in zip(phases, rests, strict=True)
    ]


def segments(phase: PhaseMemory, scale: float, cells: int) -> list[tuple[Kind, int]]:
    """Cells of each kind, so that their sum is right to half a cell."""
    found, done, bytes_done = [], 0, 0
    for name, size in split(phase.terms).items():
        bytes_done += size
        end = min(cells, round(bytes_done / scale * cells))
        if end > done:
            found.append((_OF_NAME[name], end - done))
        done = max(done, end)
    return found


def _rest(phase: PhaseMemory, free: int) -> str:
    """What is left, or missing."""
    over = phase.bytes - free
    return f"✖ {gb(over)} over" if over > 0 else f"{gb(-over)} free"


def _line(phase: PhaseMemory, free: int, scale: float, cells: int, rest: str) -> Content:
    drawn = segments(phase, scale, cells)
    bar = Content.assemble(*((kind.glyph * length, kind.colour) for kind, length in drawn))
    bar = bar + " " * (cells - bar.cell_length)
    over = phase.bytes > free
    line = ("┃", "bold $error" if over else "bold $foreground")
    if free <= scale:
        limit = min(cells - 1, round(free / scale * cells))
        bar = Content.assemble(bar[:limit], line, bar[limit + 1 :])
    else:  # far away: the axis is broken
        bar = Content.assemble(bar[: cells - 2], ("╱", "$quiet"), line)
    colour = "bold $error" if over else "$warning" if phase.bytes > FULL * free else "$success"
    name = Content.styled(f"{phase.phase:<{PHASE_CELLS}}", "bold" if over else "")
    return Content.assemble(name, bar, f" {phase.bytes / GB:>6.1f} ", (rest, colour))


def _title(now: Considered) -> Content:
    plan = now.plan
    assert plan is not None
    place = plan.job.place
    on = "rank" if place.on_cpu else "GPU"
    words = f"{gb(place.free)} on each {on}" + (f", {gb(place.held)} held by others" if place.held else "")
    head = Content.assemble(("GB", "bold"), (f"   ┃ {words}", "$quiet"))
    return head + Content.styled("   before the error", "italic $warning") if now.stale else head


def _legend(footprint: Footprint, width: int) -> list[Content]:
    """The kinds that occur."""
    there = {name for phase in footprint.phases for name, size in split(phase.terms).items() if size}
    entries = [
        Content.assemble((kind.glyph, kind.colour), (f" {kind.name}", "$quiet"))
        for kind in KINDS
        if kind.name in there
    ]
    return flowed(entries, width)


def _beside(plan: Plan) -> Content:
    place, footprint = plan.job.place, plan.footprint
    host, disk = footprint.host_bytes, footprint.disk_bytes
    host_style = "bold $error" if host > place.host_memory else "$quiet"
    disk_words = f"  checkpoints {gb(disk)}" + (f" of {gb(place.disk_free)} free" if place.disk_free else "")
    return Content.assemble(
        (f"host {gb(host)} of {gb(place.host_memory)}", host_style), (disk_words, "$quiet")
    )


def _time(plan: Plan) -> list[str]:
    times = plan.times
    if not times.calibrated:
        lines = [f"not known: the speed of {plan.job.place.device.name} is in no table"]
    else:
        each = f"{times.responses} responses of {plan.lengths.response:g} tokens"
        lines = [f"{duration(times.iteration)} for {each}, {times.tokens_per_s:,.0f} tokens/s"]
    if plan.seconds is not None and plan.iterations is not None:
        lines.append(f"the whole run: {plan.iterations:,.0f} iterations in {duration(plan.seconds)}")
    elif plan.iterations is not None:
        lines.append(f"the whole run: {plan.iterations:,.0f} iterations")
    return lines
