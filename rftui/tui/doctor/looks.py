"""How checks look: a line each under headings, the head of the screen, and the details of one."""

from collections.abc import Iterator, Sequence
from textwrap import wrap

from textual.content import Content

from diagnostics.doctor.check import Tier
from engine.findings import Finding
from rftui.cli.doctor_report import CATEGORIES
from rftui.cli.report import how
from rftui.tui.blocks import SEVERITIES, cut, joined
from rftui.tui.doctor.board import Board, Row, State, counts
from rftui.tui.text import clean_line, duration

GLYPHS: dict[State, tuple[str, str]] = {
    "error": ("✖", "$error"),
    "warning": ("▲", "$warning"),
    "unchecked": ("?", "$hue-3"),
    "checking": ("◌", "$accent"),
    "ignored": ("○", "$quiet"),
    "info": ("·", "$primary"),
    "ok": ("✔", "$success"),
    "waiting": ("·", "$quiet"),
    "not-applicable": ("–", "$quiet"),
}
"""The worst first."""
WORDS: dict[State, str] = {
    "error": "error",
    "warning": "warning",
    "unchecked": "not checked",
    "checking": "checking",
    "ignored": "ignored",
    "info": "note",
    "ok": "fine",
    "waiting": "waiting",
    "not-applicable": "n/a",
}
OPTIONAL: tuple[tuple[Tier, str], ...] = (("deep", "a"), ("active", "A"))
"""Tiers that are run when asked for, and the keys."""
_WORD, _ID, _TIME = 12, 18, 6


def head(board: Board, subject: str, width: int) -> Content:
    """`rft ▸ doctor  ✖ 1 error  ▲ 2 warnings  ✔ 31 fine  for run qwen  +7 deep: a  +4 active: A`."""
    counted = counts(board.rows())
    parts = [Content.assemble(("rft ", "bold $primary"), ("▸ ", "$quiet"), ("doctor", "bold"))]
    parts += [_count(state, counted[state]) for state in GLYPHS if counted[state] and state != "waiting"]
    parts.append(Content.assemble(("for ", "$quiet"), clean_line(subject)))
    parts += [
        Content.styled(f"+{len(board.of_tiers(tier))} {tier}: {key}", "$quiet")
        for tier, key in OPTIONAL
        if tier not in board.tiers and board.checks
    ]
    return joined(parts, width, "  ")


def _count(state: State, number: int) -> Content:
    glyph, colour = GLYPHS[state]
    plural = "s" if number > 1 and state in ("error", "warning", "info") else ""
    return Content.styled(f"{glyph} {number} {WORDS[state]}{plural}", colour)


def heading(category: str, rows: Sequence[Row], listed: int, width: int) -> Content:
    """The name of a category, and why what is not listed of it does not apply."""
    name = CATEGORIES.get(category, category)
    absent = len(rows) - listed
    first = next((row.said for row in rows if row.state == "not-applicable"), "")
    count = "" if not listed else f"{absent} more "
    verb = "does not" if not listed or absent == 1 else "do not"
    why = f"  {count}{verb} apply: {clean_line(first)}" if absent else ""
    return Content.assemble((name, "bold"), (cut(why, max(0, width - len(name))), "$quiet"))


def row_line(row: Row, width: int) -> Content:
    """`✔ fine        gpu.mixed          4 × NVIDIA H100   3ms`; the id goes first when it is tight."""
    glyph, colour = GLYPHS[row.state]
    seconds = row.result.seconds if row.result and row.state not in ("waiting", "checking") else None
    time = duration(seconds) if seconds is not None else ""
    id = f"{row.check.id:<{_ID}} " if width >= 60 else ""
    room = width - 2 - _WORD - len(id) - _TIME - 2
    said = cut(clean_line(row.said.replace("\n", " ")), room)
    quiet = "$quiet" if row.state in ("not-applicable", "waiting", "ignored", "ok") else ""
    return Content.assemble(
        (f"{glyph} {WORDS[row.state]:<{_WORD}}", colour),
        (id, "$quiet"),
        (f"{said:<{room}}  ", quiet),
        (f"{time:>{_TIME}}", "$quiet"),
    )


def details(row: Row | None, width: int) -> Content:
    """Everything about one check: what it said, what shows it, what to do."""
    if row is None:
        return Content.styled("no check is chosen", "$quiet italic")
    glyph, colour = GLYPHS[row.state]
    spent = f", {duration(row.result.seconds)}" if row.result else ""
    lines = [
        Content.assemble(
            (f"{glyph} {WORDS[row.state]}", f"bold {colour}"), ("  ", ""), (row.check.id, "bold")
        ),
        Content.styled(f"fine when: {row.check.title} ({row.check.tier}{spent})", "$quiet"),
    ]
    if row.ignored:
        lines += _wrapped(f"ignored because: {row.ignored.reason}   (i shows it again)", width, "", "$accent")
    if row.result is not None:
        if row.result.said:
            lines += _wrapped(row.result.said, width)
        if row.result.status == "unchecked" and row.result.essential:
            lines += _wrapped("A run may not start without it: it counts as an error.", width, "", "$error")
        for finding in row.result.findings:
            lines += _finding(finding, row.check.id, width)
    return Content("\n").join(lines)


def _finding(finding: Finding, check: str, width: int) -> Iterator[Content]:
    glyph, colour = SEVERITIES[finding.severity]
    yield Content("")
    if finding.id != check:
        yield Content.styled(f"{glyph} {finding.severity} {clean_line(finding.id)}", f"bold {colour}")
    yield from _wrapped(finding.cause, width)
    for line in finding.evidence:
        yield from _wrapped(line, width, "  ", "$quiet")
    for fix in finding.fixes:
        yield from _wrapped(f"→ {fix.text}", width, "", "$primary", "  ")
        if command := how(fix):
            yield Content.styled(f"    {clean_line(command)}", "bold")


def _wrapped(text: str, width: int, indent: str = "", style: str = "", others: str = "") -> list[Content]:
    lines = [clean_line(line) for line in text.split("\n")]
    broken = [
        part
        for line in lines
        for part in wrap(
            line,
            max(20, width),
            initial_indent=indent,
            subsequent_indent=indent + others,
            break_on_hyphens=False,
        )
    ]
    return [Content.styled(line, style) if style else Content(line) for line in broken]
