"""Findings on the terminal: coloured on standard error, or as one JSON object on standard output."""

import shlex
import sys
from collections.abc import Sequence
from typing import Any

import msgspec
from rich.console import Console
from rich.text import Text

from engine.findings import Finding, Fix

STYLE = {"error": "bold red", "warning": "yellow", "info": "cyan"}


def print_findings(findings: Sequence[Finding], *, as_json: bool = False) -> None:
    """Print all findings; with `as_json` as `{"findings": [...]}`, the last line of standard output."""
    if as_json:
        sys.stdout.write(msgspec.json.encode({"findings": list(findings)}).decode() + "\n")
        return
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    for finding in findings:
        console.print(finding_text(finding))


def finding_text(finding: Finding) -> Text:
    """A finding with its evidence and fixes."""
    text = Text.assemble(
        (finding.severity, STYLE[finding.severity]), (f" {finding.id}: ", "bold"), finding.cause
    )
    for line in finding.evidence:
        text.append(f"\n    {line}", style="dim")
    for fix in finding.fixes:
        text.append(f"\n  → {fix.text}")
        if hint := how(fix):
            text.append(f"  ({hint})", style="bold")
    return text


def how(fix: Fix) -> str:
    """The command of a fix, or its edits as flags."""
    if fix.command:
        return fix.command
    return " ".join(_edit(key, value) for key, value in fix.set.items())


def _edit(key: str, value: Any) -> str:
    """One setting on a command line; only `--set` can unset one of any kind."""
    if value is None:
        return f"--set {key}=null"
    return f"--{key.rpartition('.')[2].replace('_', '-')} {_argument(value)}"


def _argument(value: Any) -> str:
    """A value as a flag takes it on a shell's command line."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return ",".join(map(_argument, value))
    return shlex.quote(str(value))
