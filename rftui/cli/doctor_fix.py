"""`rft doctor --fix`: does what is safe and local, after asking, and says what it did."""

import shlex
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import typer

from diagnostics.doctor.check import Result
from diagnostics.doctor.host import Host
from engine.config.yamlfile import dump_scalar
from engine.findings import Finding, FindingsError, Fix
from presets.edit import set_values

COMMAND_S = 30.0
OF_THE_SHELL = ("export ", "unset ", "ulimit ")
"""Commands that change the shell they are typed in: no program can do that for it."""


class Proposal(NamedTuple):
    """A fix that can be done here: a command that its finding marks as safe, or edits of `file`."""

    finding: Finding
    fix: Fix
    file: Path | None

    @property
    def words(self) -> str:
        if self.file is None:
            return self.fix.command
        edits = ", ".join(f"{key}: {dump_scalar(value)}" for key, value in self.fix.set.items())
        return f"write {edits} into {self.file}"


def mend(results: Sequence[Result], host: Host, file: Path | None, *, ask: bool) -> bool:
    """Offer and do what can be done, and say what cannot; whether anything was done.

    `file`: the configuration that may be edited.
    """
    done = False
    offered = list(proposals(results, file))
    for proposal in offered:
        _say(f"{proposal.finding.id}: {proposal.finding.cause}\n  → {proposal.words}")
        if ask and not typer.confirm("  do it?", default=False, err=True):
            _say("  left as it is")
            continue
        error = apply(proposal, host)
        _say(f"  done: {proposal.words}" if error is None else f"  it did not work: {error}")
        done = done or error is None
    _say_rest([finding for finding in _wrong(results) if all(finding != p.finding for p in offered)])
    return done


def proposals(results: Sequence[Result], file: Path | None) -> Iterator[Proposal]:
    """Of every error and warning the first fix that can be done; the same thing once only."""
    offered: set[str] = set()
    for finding in _wrong(results):
        for fix in finding.fixes:
            if not (fix.safe and fix.command) and not (fix.set and file):
                continue
            proposal = Proposal(finding, fix, None if fix.safe and fix.command else file)
            if proposal.words not in offered:
                offered.add(proposal.words)
                yield proposal
            break


def apply(proposal: Proposal, host: Host) -> str | None:
    """Do it; what went wrong in words, None where it worked."""
    if proposal.file is None:
        ran = host.run(shlex.split(proposal.fix.command), COMMAND_S)
        return None if ran.code == 0 else ran.err.strip() or f"exit code {ran.code}"
    try:
        set_values(proposal.file, proposal.fix.set)
    except FindingsError as error:
        return error.findings[0].cause
    return None


def _say_rest(rest: Sequence[Finding]) -> None:
    if rest:
        _say("for you to do:")
    for finding in rest:
        command = next((fix.command for fix in finding.fixes if fix.command), "")
        why = (
            " (a program cannot change the shell it is started from)"
            if command.startswith(OF_THE_SHELL)
            else ""
        )
        _say(f"  {finding.id}: {command or (finding.fixes[0].text if finding.fixes else finding.cause)}{why}")


def _wrong(results: Sequence[Result]) -> list[Finding]:
    return [finding for result in results for finding in result.findings if finding.severity != "info"]


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
