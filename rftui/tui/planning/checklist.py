"""A launch as a checklist, and what it died of: pure painting."""

from textual.content import Content

from diagnostics.knowledge.diagnosis import Diagnosis
from engine.config.values import show
from rftui.runs.diagnosis import applicable
from rftui.tui.blocks import cut
from rftui.tui.planning.earlier import UNKNOWN
from rftui.tui.planning.starting import Starting, State, seconds
from rftui.tui.text import clean_line, duration

_GLYPHS: dict[State, tuple[str, str]] = {
    "waiting": ("○", "$quiet"),
    "doing": ("◌", "bold $accent"),
    "done": ("✔", "$success"),
    "failed": ("✖", "bold $error"),
}


def checklist(starting: Starting, width: int) -> Content:
    """A line per step: glyph, name, how long it took, how long it took before, what it says.

    After a failure only steps that were reached: what went wrong needs the room.
    """
    took, usual = seconds(starting), starting.earlier.seconds if starting.earlier else {}
    lines = []
    if starting.earlier:
        lines.append(Content.styled(f"{'':18}{'now':>7}{'before':>9}", "$quiet"))
    for step in starting.steps:
        if starting.failed and step.state == "waiting":
            continue
        glyph, colour = _GLYPHS[step.state]
        here = took.get(step.name)
        if step.state in ("doing", "failed"):
            here = max(0.0, starting.now - starting.began - sum(took.values()))
        before = (duration(usual[step.name]) if step.name in usual else "") if usual else None
        columns = f"{_time(here):>7}" + (f"{before:>9}" if before is not None else "")
        name = (f"{glyph} {step.name:<16}", colour)
        said = _fitting(clean_line(step.said), max(1, width - 20 - len(columns)))
        lines.append(Content.assemble(name, columns, (f"  {said}", "$quiet")))
    lines.append(Content.styled(_total(starting), "$quiet"))
    if starting.failed:
        lines += [Content(""), Content.styled(f"✖ {clean_line(starting.cause)}", "bold $error")]
        lines += [Content.styled(f"  {clean_line(line)}", "$quiet") for line in starting.evidence]
    return Content("\n").join(lines)


def _fitting(said: str, cells: int) -> str:
    """Cut where it is too long: a path in front, as its end tells most."""
    if len(said) > cells and said.startswith("/"):
        return "…" + said[len(said) - cells + 1 :]
    return cut(said, cells)


def _time(seconds: float | None) -> str:
    return duration(seconds) if seconds is not None else ""


def _total(starting: Starting) -> str:
    here = starting.now - starting.began
    if starting.earlier is None:
        return f"{'':18}{duration(max(0.0, here)):>7}  since the launch"
    took = seconds(starting)
    here -= sum(took.get(step, 0.0) for step in UNKNOWN)  # the same steps on both sides
    usual = sum(starting.earlier.seconds.values())
    columns = f"{'':18}{duration(max(0.0, here)):>7}{duration(usual):>9}"
    return f"{columns}  without preflight; before: {starting.earlier.run}"


def diagnosed(diagnosis: Diagnosis | None) -> Content:
    """The causes that were found, with the line that shows them and what to do."""
    if diagnosis is None or not diagnosis.findings:
        return Content.styled("no cause is known that fits: read the logs", "$quiet italic")
    fix = applicable(diagnosis)
    lines: list[Content] = []
    for found in diagnosis.findings[:2]:
        lines.append(Content.assemble(("✖ ", "$error"), (clean_line(found.title), "bold")))
        lines.append(Content(clean_line(found.meaning)))
        for seen in found.evidence[:2]:
            words = f"{seen.file.removeprefix(f'{diagnosis.path}/')}:{seen.line}: {seen.text}"
            lines.append(Content.styled(f"  {clean_line(words)}", "$quiet"))
        for each in found.fixes:
            mark = ("f ▸ ", "bold $accent") if each is fix else ("  → ", "$quiet")
            edits = ", ".join(f"{key} = {show(value)}" for key, value in each.set.items())
            how = f"  ({clean_line(edits or each.command)})" if edits or each.command else ""
            lines.append(Content.assemble(mark, clean_line(each.text), (how, "$quiet")))
    return Content("\n").join(lines)
