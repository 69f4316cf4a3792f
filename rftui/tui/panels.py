"""The text panels of the live screen: pure functions from a snapshot and a size to styled text."""

from collections.abc import Callable
from textwrap import wrap

from textual.content import Content

from rftui.tui.blocks import SEVERITIES, bar, cut, joined
from rftui.tui.catalog import figures
from rftui.tui.snapshot import Snapshot
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
    if snapshot.total and width >= 90:
        parts.append(_progress(snapshot.step / snapshot.total, 24 if width >= 110 else 0))
    if snapshot.eta_s is not None:
        parts.append(Content.assemble(("ETA ", "$quiet"), duration(snapshot.eta_s)))
    elif snapshot.took_s is not None:
        parts.append(Content.assemble(("took ", "$quiet"), duration(snapshot.took_s)))
    ranks = f"{snapshot.alive}/{snapshot.n_ranks}" if snapshot.active else f"{snapshot.n_ranks}"
    parts.append(Content.assemble(ranks, (" rank" if snapshot.n_ranks == 1 else " ranks", "$quiet")))
    if snapshot.attempt > 1:
        parts.append(Content.assemble(("attempt ", "$quiet"), str(snapshot.attempt)))
    if snapshot.loading:
        parts.append(Content.styled(f"reading {size(snapshot.loading)}", "$accent"))
    kept = parts[: 3 if width >= 60 else 1]
    room = width - sum(part.cell_length + 3 for part in kept) - 6
    name = snapshot.name if len(snapshot.name) <= room else snapshot.name[: max(4, room - 1)] + "…"
    return joined(
        [Content.assemble(("rft ", "bold $primary"), ("▸ ", "$quiet"), (name, "bold")), *parts], width
    )


def paused_line(behind: int) -> Painter:
    """The status line while painting is paused, `behind` steps before the present."""

    def paint(snapshot: Snapshot, width: int, height: int) -> Content:
        mark = Content.styled(f" paused +{behind} ", "bold $ink on $accent")
        return joined([mark, status_line(snapshot, width - mark.cell_length - 1, height)], width, " ")

    return paint


def figures_line(snapshot: Snapshot, width: int, height: int) -> Content:
    """The latest numbers, as many as fit."""
    found = figures(snapshot.latest)
    parts = []
    if snapshot.step == 0:
        waiting = "waiting for the first step" if snapshot.active else "no step was finished"
        parts = [Content.styled(waiting, "$quiet italic")]
    parts += [Content.assemble((f"{label} ", "$quiet"), (value, "bold")) for label, value in found]
    return joined(parts, width, "  ")


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
    """A line per notice, the first with the key that opens them; the last counts those that do not fit."""
    found = snapshot.notices
    hint = "n opens" if len(found) == 1 or 1 < len(found) <= height else f"n opens all {len(found)}"
    lines = [
        _notice(*SEVERITIES[notice.severity], notice.text, width, hint if at == 0 else "")
        for at, notice in enumerate(found)
    ]
    if len(lines) > height > 1:
        lines = [*lines[: height - 1], _notice("…", "$quiet", f"{len(lines) - height + 1} more", width)]
    return Content("\n").join(lines[: max(1, height)])


def alert_detail(number: int) -> Painter:
    """One notice in full: what is wrong, the evidence, and every fix with its command."""

    def paint(snapshot: Snapshot, width: int, height: int) -> Content:
        if number >= len(snapshot.notices):
            return Content.styled("this alert is over", "$quiet")
        notice = snapshot.notices[number]
        finding = notice.finding
        glyph, colour = SEVERITIES[finding.severity]
        at = f" · step {notice.step}" if notice.step >= 0 else ""
        head = Content.assemble((f"{glyph} {finding.severity}", f"bold {colour}"), f" · {finding.id}{at}")
        lines = [head, *_wrapped(finding.cause, width, "", "bold")]
        for evidence in finding.evidence:
            lines += _wrapped(evidence, width, "  ", "$quiet")
        for place, fix in enumerate(finding.fixes, 1):
            lines += _wrapped(fix.text, width, f"{place}. ", "")
            if fix.command:
                lines += _wrapped(fix.command.replace("NAME", snapshot.name), width, "   $ ", "$success")
            for key, value in fix.set.items():
                lines += _wrapped(f"--set {key}={value}", width, "   ", "$success")
        return Content("\n").join(lines)

    return paint


def _wrapped(text: str, width: int, indent: str, style: str) -> list[Content]:
    """Foreign text in lines of at most `width`, the first with `indent` before it, the others below that."""
    room = max(8, width - len(indent))
    lines = [part for line in text.split("\n") for part in wrap(clean_line(line), room) or [""]]
    return [
        Content.assemble((indent if at == 0 else " " * len(indent), "$quiet"), (line, style))
        for at, line in enumerate(lines)
    ]


def _notice(glyph: str, colour: str, text: str, width: int, more: str = "") -> Content:
    room = max(1, width - 4 - (len(more) + 1 if more else 0))
    shown = cut(text, room)
    line = Content.assemble((f" {glyph} ", f"bold {colour}"), shown)
    return Content.assemble(line, " " * (room - len(shown) + 1), (more, "$quiet")) if more else line


def _progress(share: float, cells: int) -> Content:
    """A bar with its per cent behind it."""
    shown = Content.styled(bar(share, cells), "$primary on $grid") + " " if cells else Content("")
    return shown + f"{share:.0%}"
