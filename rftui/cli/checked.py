"""What `rft check` shows of one job: what it is, batches, memory, findings, and a count."""

from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

from rich.console import Console
from rich.text import Text

from engine.findings import Finding
from rftui.cli.report import finding_text

_COUNTED = {"error": ("error", "errors"), "warning": ("warning", "warnings"), "info": ("note", "notes")}
_STYLE = {"error": "red", "warning": "yellow", "info": "cyan"}


class Report(NamedTuple):
    """One job of a file. `arithmetic`, `memory`: lines of words."""

    file: str
    framework: str
    program: str = ""
    arithmetic: tuple[str, ...] = ()
    memory: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()

    def as_values(self) -> dict[str, Any]:
        """For `--json`."""
        return self._asdict()


def show(reports: Sequence[Report]) -> None:
    """Print reports one after the other, and what they add up to."""
    console = Console(highlight=False, soft_wrap=True)
    for report in reports:
        _show_one(console, report)
    console.print(_sum(reports))


def _show_one(console: Console, report: Report) -> None:
    name = " ".join(part for part in (report.framework, report.program) if part)
    console.print(Text.assemble((report.file, "bold"), f"  {name}" if name else ""))
    for title, lines in (("Batches", report.arithmetic), ("Memory", report.memory)):
        if lines:
            console.print(Text(title, "bold"))
            for line in lines:
                console.print(Text(f"  {line}"))
    if report.findings and (report.arithmetic or report.memory):
        console.print()
    for finding in report.findings:
        console.print(finding_text(finding))
    console.print()


def _sum(reports: Sequence[Report]) -> Text:
    counts = Counter(finding.severity for report in reports for finding in report.findings)
    if not counts:
        return Text("nothing is wrong", "green")
    text = Text()
    for severity, words in _COUNTED.items():
        number = counts[severity]  # type: ignore[index]
        if number:
            text.append(", " if text else "")
            text.append(f"{number} {words[number > 1]}", _STYLE[severity])
    return text
