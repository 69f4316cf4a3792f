"""One `Finding` for everything that is wrong, from a configuration rule to a post-mortem.

Imports neither torch nor transformers, so the front end can raise and print findings at once.
"""

from collections.abc import Iterable
from typing import Any, Literal

import msgspec

Severity = Literal["error", "warning", "info"]

EXIT_OK = 0
EXIT_RUN_FAILED = 1
EXIT_BAD_INPUT = 2
EXIT_UNFIT = 3
EXIT_INTERRUPTED = 130


class Fix(msgspec.Struct, frozen=True, omit_defaults=True):
    """One thing to do about a finding: a sentence, and where possible the edit or command that does it."""

    text: str
    set: dict[str, Any] = {}
    """Configuration edits, `{"batch.train_batch_size": 64}`."""
    command: str = ""
    safe: bool = False
    """`command` is local and does no harm: it may be run, without a shell, for a user who has agreed."""


class Finding(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is wrong, the numbers that show it, and what to do, in the order to try it.

    `id` is stable (`batch.tbs-indivisible`); `cause` is one sentence with the actual values.
    """

    id: str
    severity: Severity
    cause: str
    evidence: tuple[str, ...] = ()
    fixes: tuple[Fix, ...] = ()
    param: str = ""
    """The parameter at fault, `section.key`, where there is one."""


class FindingsError(Exception):
    """Raised for a user's mistake or an unfit machine: carries every finding at once, and the exit code."""

    def __init__(self, findings: Iterable[Finding], exit_code: int = EXIT_BAD_INPUT) -> None:
        self.findings = tuple(findings)
        self.exit_code = exit_code
        super().__init__("\n".join(render(f) for f in self.findings))

    def __reduce__(self) -> tuple[Any, ...]:
        return (type(self), (self.findings, self.exit_code))


def render(finding: Finding) -> str:
    """Plain text of a finding: `severity id: cause`, its evidence and its fixes, one line each."""
    lines = [f"{finding.severity} {finding.id}: {finding.cause}"]
    lines += [f"    {line}" for line in finding.evidence]
    lines += [f"  → {fix.text}" + (f"  ({fix.command})" if fix.command else "") for fix in finding.fixes]
    return "\n".join(lines)


def raise_errors(findings: Iterable[Finding], exit_code: int = EXIT_BAD_INPUT) -> None:
    """Raise FindingsError with all of `findings` if one of them is an error."""
    findings = tuple(findings)
    if any(f.severity == "error" for f in findings):
        raise FindingsError(findings, exit_code)
