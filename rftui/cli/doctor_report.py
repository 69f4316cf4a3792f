"""What the doctor found, on the terminal: a line per category, and details only of what is not well."""

import shutil
import sys
import textwrap
from collections import Counter
from collections.abc import Iterator, Sequence
from types import TracebackType

from rich.console import Console
from rich.text import Text

from diagnostics.doctor.check import Check, Result, Status
from engine.findings import Finding
from rftui.cli.report import STYLE, how

CATEGORIES = {
    "gpu": "GPUs",
    "drv": "driver",
    "host": "host",
    "net": "network",
    "ras": "NCCL's RAS service",
    "py": "Python packages",
    "env": "environment variables",
    "cfg": "configuration",
    "comm": "communication",
}
MARKS: dict[Status, tuple[str, str]] = {
    "error": ("✗", "bold red"),
    "warning": ("!", "yellow"),
    "unchecked": ("?", "magenta"),
    "info": ("i", "cyan"),
    "ok": ("✓", "green"),
    "not-applicable": ("–", "dim"),
}
"""The first that a category has is its mark."""
WORDS: dict[Status, str] = {
    "error": "error",
    "warning": "warning",
    "unchecked": "not checked",
    "info": "note",
}
WIDEST = 100


def counts(results: Sequence[Result]) -> dict[Status, int]:
    """How many checks ended in each way."""
    counted = Counter(result.status for result in results)
    return {status: counted[status] for status in MARKS}


def show_results(results: Sequence[Result]) -> None:
    """Print the results by category."""
    console = Console(highlight=False, soft_wrap=True)
    by_category: dict[str, list[Result]] = {}
    for result in results:
        by_category.setdefault(result.category, []).append(result)
    for category, members in by_category.items():
        console.print(_heading(CATEGORIES.get(category, category), members))
        for line in _details(members):
            console.print(line)
    if len(by_category) > 1:
        console.print()
        console.print(_verdict(results))


def _heading(name: str, members: Sequence[Result]) -> Text:
    counted = counts(members)
    worst = next(status for status in MARKS if counted[status])
    mark, style = MARKS[worst]
    if worst == "not-applicable":
        words = _cut(f"does not apply: {members[0].said}", len(name) + 4)
    elif wrong := [_number(counted[status], WORDS[status]) for status in WORDS if counted[status]]:
        words = f"{', '.join(wrong)} in {_number(len(members) - counted['not-applicable'], 'check')}"
    else:
        words = f"{_number(counted['ok'], 'check')}, all fine"
    return Text.assemble((mark, style), " ", (name, "bold"), ": ", words)


def _details(members: Sequence[Result]) -> Iterator[Text]:
    for result in members:
        for finding in result.findings:
            yield from _finding(finding)
        if result.status == "unchecked":
            yield from _unchecked(result)
    if len(members) == 1 and members[0].status == "ok":
        yield from _wrapped(members[0].said, "    ", "    ", "dim")


def _finding(finding: Finding) -> Iterator[Text]:
    style = STYLE[finding.severity]
    lines = list(_wrapped(f"{finding.severity} {finding.id}: {finding.cause}", "  ", "    "))
    if lines[0].plain.startswith(f"  {finding.severity} {finding.id}:"):
        lines[0].stylize(style, 2, 2 + len(finding.severity))
        lines[0].stylize("bold", 3 + len(finding.severity), 4 + len(finding.severity) + len(finding.id))
    yield from lines
    for line in finding.evidence:
        yield from _wrapped(line, "      ", "        ", "dim")
    for fix in finding.fixes if finding.severity != "info" else ():
        yield from _wrapped(f"→ {fix.text}", "    ", "      ")
        if command := how(fix):
            yield Text(f"        {command}", "bold")


def _unchecked(result: Result) -> Iterator[Text]:
    essential = ", which is essential" if result.essential else ""
    yield from _wrapped(
        f"not checked {result.id}: {result.title}{essential}: {result.said}", "  ", "    ", ""
    )


def _verdict(results: Sequence[Result]) -> Text:
    counted = counts(results)
    ran = len(results) - counted["not-applicable"]
    wrong = [_number(counted[status], WORDS[status]) for status in WORDS if counted[status]]
    fine = {0: "nothing was checked", 1: "the one check is fine"}.get(ran, f"all {ran} checks are fine")
    words = f"{', '.join(wrong)} in {_number(ran, 'check')}" if wrong else fine
    others = counted["not-applicable"]
    aside = f" ({others} more do{'es' * (others == 1)} not apply here)" if others else ""
    style = next((MARKS[status][1] for status in WORDS if counted[status]), "green")
    return Text.assemble((words, style), aside)


def _number(count: int, word: str) -> str:
    plural = "" if count == 1 or word == "not checked" else "s"
    return f"{count} {word}{plural}"


def _wrapped(text: str, first: str, others: str, style: str = "") -> Iterator[Text]:
    """Lines of words; commands are on lines of their own, which are never broken."""
    lines = textwrap.wrap(
        text,
        _width(),
        initial_indent=first,
        subsequent_indent=others,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return (Text(line, style) for line in lines)


def _cut(text: str, taken: int) -> str:
    return textwrap.shorten(text, max(20, _width() - taken), placeholder=" …")


def _width() -> int:
    return min(WIDEST, shutil.get_terminal_size().columns)


class Progress:
    """Says on a terminal's standard error which slow checks are still running."""

    def __init__(self, checks: Sequence[Check]) -> None:
        self._waiting = [check.id for check in checks]
        slow = any(check.tier != "fast" for check in checks)
        self._shown = slow and sys.stderr.isatty()

    def __enter__(self) -> "Progress":
        return self

    def told(self, result: Result) -> None:
        """A check has ended."""
        self._waiting.remove(result.id)
        if self._shown and self._waiting:
            line = f"checking {', '.join(self._waiting)}"
            sys.stderr.write(f"\r\x1b[K{_cut(line, 1)}")
            sys.stderr.flush()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._shown:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
