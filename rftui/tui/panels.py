"""The text panels of the live screen: pure functions from a snapshot and a size to styled text."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from textual.content import Content

from rftui.runs.compared import Compared
from rftui.tui import phases
from rftui.tui.catalog import figures
from rftui.tui.snapshot import RankMemory, Snapshot
from rftui.tui.text import clean_line, duration, number, size

Painter = Callable[[Snapshot, int, int], Content]

STATUS_GLYPHS = {
    "planned": ("○", "$quiet"),
    "launching": ("◌", "$accent"),
    "running": ("●", "$success"),
    "stalled": ("▲", "$warning"),
    "finished": ("✔", "$success"),
    "stopped": ("■", "$accent"),
    "failed": ("✖", "$error"),
    "lost": ("?", "$error"),
    "unreadable": ("!", "$error"),
}
_SEVERITY_GLYPHS = {"error": ("✖", "$error"), "warning": ("▲", "$warning"), "info": ("·", "$quiet")}
NEARLY_FULL = 0.97
"""Share of the memory above which the bar is painted in the colour of errors."""
OVER_PLAN = 1.08
"""A phase that held more than this many times what was predicted is painted as a warning."""
_EIGHTHS = " ▏▎▍▌▋▊▉█"


def status_word(status: str) -> Content:
    """Glyph and word of a status; the colour only repeats it."""
    glyph, colour = STATUS_GLYPHS.get(status, ("?", "$quiet"))
    return Content.styled(f"{glyph} {status}", f"bold {colour}")


def status_line(snapshot: Snapshot, width: int, height: int) -> Content:
    """`rft ▸ name  ● running  step 412/2000  !1  21%  ETA 3h41m  8/8 ranks`; its end goes when tight."""
    step = f"step {snapshot.step}" + (f"/{snapshot.total}" if snapshot.total else "")
    parts = [status_word(snapshot.status), Content.styled(step, "bold")]
    alerts = sum(notice.severity != "info" for notice in snapshot.notices)
    if alerts:
        parts.append(Content.styled(f"!{alerts}", "bold $warning"))
    if snapshot.total:
        parts.append(_progress(snapshot.step / snapshot.total, 24 if width >= 110 else 0))
    if snapshot.eta_s is not None:
        parts.append(Content.assemble(("ETA ", "$quiet"), duration(snapshot.eta_s)))
    elif snapshot.took_s is not None:
        parts.append(Content.assemble(("took ", "$quiet"), duration(snapshot.took_s)))
    ranks = f"{snapshot.alive}/{snapshot.ranks}" if snapshot.active else f"{snapshot.ranks}"
    parts.append(Content.assemble(ranks, (" rank" if snapshot.ranks == 1 else " ranks", "$quiet")))
    if snapshot.attempt > 1:
        parts.append(Content.assemble(("attempt ", "$quiet"), str(snapshot.attempt)))
    if snapshot.loading:
        parts.append(Content.styled(f"reading {size(snapshot.loading)}", "$accent"))
    kept = parts[: 3 if width >= 60 else 1]
    room = width - sum(part.cell_length + 3 for part in kept) - 6
    name = snapshot.name if len(snapshot.name) <= room else snapshot.name[: max(4, room - 1)] + "…"
    return _joined(
        [Content.assemble(("rft ", "bold $primary"), ("▸ ", "$quiet"), (name, "bold")), *parts], width
    )


def paused_line(behind: int) -> Painter:
    """The status line while painting is paused, `behind` steps before the present."""

    def paint(snapshot: Snapshot, width: int, height: int) -> Content:
        mark = Content.styled(f" paused +{behind} ", "bold $ink on $accent")
        return _joined([mark, status_line(snapshot, width - mark.cell_length - 1, height)], width, " ")

    return paint


def figures_line(snapshot: Snapshot, width: int, height: int) -> Content:
    """The latest numbers, as many as fit."""
    found = figures(snapshot.latest)
    parts = []
    if snapshot.step == 0:
        waiting = "waiting for the first step" if snapshot.active else "no step was finished"
        parts = [Content.styled(waiting, "$quiet italic")]
    parts += [Content.assemble((f"{label} ", "$quiet"), (value, "bold")) for label, value in found]
    return _joined(parts, width, "  ")


def phase_panel(snapshot: Snapshot, width: int, height: int) -> Content:
    """Shares of the last steps' time."""
    if height == 1:
        return phases.one_line(snapshot.phases, width, snapshot.phase_now)
    return phases.stacked(snapshot.phases, width, height, snapshot.phase_now)


def memory_panel(snapshot: Snapshot, width: int, height: int) -> Content:
    """A line per rank, the fullest first when not all fit; in a single line as many ranks as fit in it.

    The last of several lines holds the peaks that were predicted against those that were measured.
    """
    ranks = list(snapshot.memory)
    if ranks and snapshot.compared and height > 1:
        of_ranks = memory_panel(replace(snapshot, compared=()), width, height - 1)
        return Content("\n").join([of_ranks, _compared_line(snapshot.compared, width)])
    if not ranks:
        return Content.styled("no memory measured yet", "$quiet")
    if len(ranks) <= height:
        return Content("\n").join(_memory_line(m, width) for m in ranks)
    fullest = sorted(ranks, key=lambda m: (-m.peak, -m.rss))
    if height > 1:
        more = Content.styled(f"… and {len(ranks) - height + 1} more", "$quiet")
        return Content("\n").join([*(_memory_line(m, width) for m in fullest[: height - 1]), more])
    all_in_one = Content("  ").join(map(_memory_words, ranks))
    if all_in_one.cell_length <= width:
        return all_in_one
    return _joined([*map(_memory_words, fullest)], width, "  ")


def sample_panel(snapshot: Snapshot, width: int, height: int) -> Content:
    """The newest response with its reward, and its prompt where there is room."""
    sample = snapshot.sample
    if sample is None:
        return Content.styled("no response recorded yet", "$quiet")
    label = clean_line(sample.label)
    head = Content.assemble(
        (f"step {sample.step} · reward ", "$quiet"),
        (number(sample.reward), "bold"),
        (f" · expected {label}" if 0 < len(label) < width // 2 else "", "$quiet"),
        (" · cut off" if sample.truncated else "", "$warning"),
    )
    answer = [clean_line(line) for line in sample.response.strip().split("\n")]
    if height == 1:
        return head + Content.styled(" · ", "$quiet") + " ⏎ ".join(answer)
    prompt = clean_line(sample.prompt.strip().replace("\n", " ⏎ "))
    room = 2 * width
    prompt = prompt if len(prompt) <= room else "…" + prompt[-room + 1 :]
    needed = 1 + -(-len(prompt) // width) + min(2, len(answer))
    asked = [Content.styled(prompt, "$quiet")] if prompt and needed <= height else []
    return Content("\n").join([head, *asked, *map(Content, answer[:height])])


def notice_strip(snapshot: Snapshot, width: int, height: int) -> Content:
    """A line per notice; the last line counts those that do not fit."""
    lines = [_notice(*_SEVERITY_GLYPHS[n.severity], n.text, width) for n in snapshot.notices]
    if len(lines) > height > 0:
        hidden = len(lines) - height + 1
        lines = (
            lines[:height]
            if height == 1
            else [*lines[: height - 1], _notice("…", "$quiet", f"{hidden} more", width)]
        )
    return Content("\n").join(lines)


def _notice(glyph: str, colour: str, text: str, width: int) -> Content:
    room = max(1, width - 4)
    return Content.assemble(
        (f" {glyph} ", f"bold {colour}"), text if len(text) <= room else text[: room - 1] + "…"
    )


def _progress(share: float, cells: int) -> Content:
    """A bar with its per cent behind it."""
    done = min(cells * 8, max(0, round(share * cells * 8)))
    whole, rest = divmod(done, 8)
    full = "█" * whole + (_EIGHTHS[rest] if rest else "")
    bar = Content.styled(full.ljust(cells), "$primary on $grid") + " " if cells else Content("")
    return bar + f"{share:.0%}"


def _memory_words(memory: RankMemory) -> Content:
    """`r0 18.4/24G` on a device, `r0 1.2G` without one."""
    used = size(memory.rss)
    if memory.used:
        used = size(memory.used) + (f"/{size(memory.total)}" if memory.total else "")
    return Content.assemble((f"r{memory.rank} ", "$quiet"), used)


def _compared_line(compared: Sequence[Compared], width: int) -> Content:
    """`plan→peak  update 3.1G→3.0G  rollout 1.2G→1.3G`, the fullest first; more than planned stands out."""
    parts = [Content.styled("plan→peak", "$quiet")]
    for line in sorted(compared, key=lambda line: -line.measured):
        colour = "bold $warning" if line.ratio > OVER_PLAN else ""
        measured = Content.styled(size(line.measured), colour)
        parts.append(Content.assemble((f"{line.phase} ", "$quiet"), f"{size(line.predicted)}→", measured))
    return _joined(parts, width, "  ")


def _memory_line(memory: RankMemory, width: int) -> Content:
    """`r0  ██████▌   18.4G/24G  peak 19.9G  rss 3.2G`: the bar takes the room that the words leave."""
    used, total = (memory.used, memory.total) if memory.used else (memory.rss, memory.host_total)
    of = f"/{size(total)}" if total else ""
    head = Content.styled(f"r{memory.rank:<3}", "bold")
    if memory.used:
        words = Content.assemble(
            f" {size(memory.used):>5}{of} ",
            ("peak ", "$quiet"),
            f"{size(memory.peak):>5} ",
            ("rss ", "$quiet"),
            f"{size(memory.rss):>5}",
        )
    else:
        words = Content.assemble((" rss ", "$quiet"), f"{size(memory.rss):>5}{of}")
    room = width - head.cell_length - words.cell_length
    if not total or room < 4:
        return head + words
    colour = "$error" if max(used, memory.peak) > NEARLY_FULL * total else "$hue-4"
    whole, rest = divmod(min(room * 8, round(used / total * room * 8)), 8)
    bar = ("█" * whole + (_EIGHTHS[rest] if rest else "")).ljust(room)
    return head + Content.styled(bar, f"{colour} on $grid") + words


def _joined(parts: list[Content], width: int, gap: str = "   ") -> Content:
    """Parts side by side, as many as fit whole."""
    line = parts[0]
    for part in parts[1:]:
        if line.cell_length + len(gap) + part.cell_length > width:
            break
        line = line + gap + part
    return line
