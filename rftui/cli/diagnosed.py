"""A diagnosis on the terminal, and the list of known causes."""

import sys

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from diagnostics.knowledge.diagnosis import Diagnosed, Diagnosis, Evidence
from diagnostics.knowledge.load import knowledge
from diagnostics.knowledge.wording import Lang, said

_WORDS = {
    "en": {
        "healthy": "no failure found",
        "also": "also possible",
        "evidence": "seen",
        "fixes": "do, in this order",
        "ruled": "follows from it",
        "sure": "sure",
        "of": "{lines:,} lines, {size:.1f} MB",
    },
    "zh": {
        "healthy": "未发现故障",
        "also": "其他可能",
        "evidence": "证据",
        "fixes": "处理步骤（按顺序）",
        "ruled": "由它引起",
        "sure": "置信度",
        "of": "{lines:,} 行，{size:.1f} MB",
    },
}
_BRIEF_RULED_OUT = 3


def print_diagnosis(diagnosis: Diagnosis, lang: Lang, *, verbose: bool) -> None:
    """The causes of one PATH on standard output, notes on standard error."""
    out, words = Console(highlight=False, soft_wrap=True), _WORDS[lang]
    size = words["of"].format(lines=diagnosis.lines, size=diagnosis.bytes / 1e6)
    head = Text(diagnosis.path, style="bold")
    if not diagnosis.findings:
        head.append(f": {words['healthy']}", style="green")
    head.append(f"  ({size})", style="dim")
    out.print(head)
    for number, finding in enumerate(diagnosis.findings):
        _print_cause(out, finding, words, first=number == 0, verbose=verbose)
    notes = Console(stderr=True, highlight=False, soft_wrap=True)
    for note in diagnosis.notes:
        notes.print(Text(f"note: {note}", style="yellow"))


def _print_cause(
    out: Console, finding: Diagnosed, words: dict[str, str], *, first: bool, verbose: bool
) -> None:
    head = Text("✗ " if first else f"{words['also']}: ", style="bold red" if first else "yellow")
    head.append(finding.title, style="bold")
    head.append(
        f"  {finding.cause} · {finding.group} · {words['sure']} {finding.confidence:.0%}", style="dim"
    )
    out.print(head)
    if first and finding.meaning:
        out.print(Text(f"  {finding.meaning}"))
    if first or verbose:
        _print_lines(out, words["evidence"], finding.evidence)
    if finding.fixes and (first or verbose):
        out.print(f"  {words['fixes']}:", style="cyan")
        for number, fix in enumerate(finding.fixes, start=1):
            line = Text(f"    {number}. {fix.text}")
            if fix.command:
                line.append(f"  ({fix.command})", style="bold")
            out.print(line)
    ruled_out = finding.ruled_out if verbose else finding.ruled_out[:_BRIEF_RULED_OUT]
    if first and ruled_out:
        _print_lines(out, words["ruled"], ruled_out)


def _print_lines(out: Console, title: str, lines: tuple[Evidence, ...]) -> None:
    out.print(f"  {title}:", style="cyan")
    for line in lines:
        shown = Text(f"    {line.file}:{line.line}" if line.line else f"    {line.file}", style="dim")
        shown.append(f"{f' [rank {line.rank}]' if line.rank >= 0 else ''}  ", style="dim")
        shown.append(line.text, style="default")
        out.print(shown)


def print_causes(lang: Lang, *, as_json: bool) -> None:
    """All known causes with group and title."""
    known = knowledge()
    rows = [(known.groups[slug], slug, said(cause.title, lang)) for slug, cause in known.causes.items()]
    if as_json:
        listed = [{"cause": slug, "group": group, "title": title} for group, slug, title in sorted(rows)]
        sys.stdout.write(msgspec.json.encode(listed).decode() + "\n")
        return
    table = Table(box=None, pad_edge=False)
    for column in ("group", "cause", "title"):
        table.add_column(column)
    for row in sorted(rows):
        table.add_row(*row)
    Console(highlight=False).print(table)
