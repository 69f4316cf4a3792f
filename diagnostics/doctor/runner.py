"""Runs checks side by side, each with a limit of its own. What crashes or takes too long is unchecked."""

import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence

from diagnostics.doctor.check import CannotCheck, Check, DoesNotApply, Ok, Result, Status, Tier
from diagnostics.doctor.host import Host
from diagnostics.doctor.needs import missing
from engine.findings import EXIT_BAD_INPUT, EXIT_OK, EXIT_RUN_FAILED, EXIT_UNFIT, Finding

TIERS: tuple[Tier, ...] = ("fast", "deep", "active")
RANK: dict[Status, int] = {"error": 0, "warning": 1, "info": 2, "ok": 3}

OnResult = Callable[[Result], None]


def run_checks(checks: Sequence[Check], host: Host, on_result: OnResult | None = None) -> tuple[Result, ...]:
    """Results in the order of `checks`; `on_result` is told of each in this thread as it comes.

    The tiers run one after the other, so that heavy child processes do not slow the quick checks down; and
    active checks one by one, as each uses all GPUs.
    """
    results: dict[str, Result] = {}
    for together in _groups(checks):
        for result in _side_by_side(together, host):
            results[result.id] = result
            if on_result:
                on_result(result)
    return tuple(results[check.id] for check in checks)


def _groups(checks: Sequence[Check]) -> Iterator[Sequence[Check]]:
    for tier in TIERS:
        together = [check for check in checks if check.tier == tier]
        yield from ([check] for check in together) if tier == "active" else [together]


def _side_by_side(checks: Sequence[Check], host: Host) -> Iterator[Result]:
    """Results as they come. A check that exceeds its limit is left behind: a thread cannot be ended."""
    answers: queue.SimpleQueue[Result] = queue.SimpleQueue()
    started = time.monotonic()
    for check in checks:
        threading.Thread(target=lambda c=check: answers.put(run_check(c, host)), daemon=True).start()
    waiting = {check.id: check for check in checks}
    while waiting:
        first = min(waiting.values(), key=lambda check: check.limit_s)
        try:
            result = answers.get(timeout=max(0.0, started + first.limit_s - time.monotonic()))
        except queue.Empty:
            result = _result(first, "unchecked", f"it took more than {first.limit_s:g} s", first.limit_s)
        if waiting.pop(result.id, None):
            yield result


def run_check(check: Check, host: Host) -> Result:
    """One check, without its limit."""
    started = time.monotonic()

    def ended(status: Status, said: str = "", findings: tuple[Finding, ...] = ()) -> Result:
        return _result(check, status, said, time.monotonic() - started, findings)

    try:
        if reasons := [reason for need in check.needs if (reason := missing(need, host))]:
            return ended("not-applicable", "; ".join(reasons))
        answer = check.run(host)
    except DoesNotApply as reason:
        return ended("not-applicable", str(reason))
    except CannotCheck as reason:
        return ended("unchecked", str(reason))
    except Exception as error:
        return ended("unchecked", f"the check itself failed: {type(error).__name__}: {error}")
    if isinstance(answer, Ok):
        return ended("ok", answer.said)
    findings = (answer,) if isinstance(answer, Finding) else answer
    if not findings:
        return ended("unchecked", "the check itself failed: it gave no answer")
    worst = min((finding.severity for finding in findings), key=lambda severity: RANK[severity])
    return ended(worst, findings=findings)


def _result(
    check: Check, status: Status, said: str, seconds: float, findings: tuple[Finding, ...] = ()
) -> Result:
    return Result(
        id=check.id,
        title=check.title,
        tier=check.tier,
        status=status,
        said=said,
        findings=findings,
        seconds=round(seconds, 4),
        essential=check.essential,
    )


CONFIGURATION = "cfg"
"""Category of checks whose errors are of the configuration; those of all others are of the environment."""


def exit_code(results: Sequence[Result], *, strict: bool = False) -> int:
    """0 fine, 1 warnings with `strict`, 2 errors of the configuration, 3 of the environment.

    Something essential that could not be checked counts as an error of the environment.
    """
    failed = [
        result
        for result in results
        if result.status == "error" or (result.status == "unchecked" and result.essential)
    ]
    if any(result.category == CONFIGURATION for result in failed):
        return EXIT_BAD_INPUT
    if failed:
        return EXIT_UNFIT
    return EXIT_RUN_FAILED if strict and any(result.status == "warning" for result in results) else EXIT_OK
