"""What a run has to say for itself: why it ended, what is wrong now; each a line with a finding behind it."""

from dataclasses import dataclass
from typing import NamedTuple

from engine.findings import Finding, Fix
from rftui.runs import diagnosis
from rftui.runs.view import RunView
from rftui.tui.text import clean_line


class LogPlace(NamedTuple):
    """Where the logs tell of something: a line of a file, from 1, else what a rank wrote at a Unix time."""

    file: str = ""
    line: int = 0
    rank: int = 0
    time: float = 0.0


@dataclass(frozen=True, slots=True)
class Notice:
    """A line of the alert strip, the finding behind it, and the step that it belongs to (−1: none)."""

    text: str
    finding: Finding
    step: int = -1
    logged: LogPlace | None = None

    @property
    def severity(self) -> str:
        """As of findings."""
        return self.finding.severity


def notices_of(view: RunView) -> tuple[Notice, ...]:
    """Why the run ended or cannot be read, then failed saves, then alerts, errors first."""
    found = [*_about_the_end(view)]
    if view.state.failed_checkpoint is not None:
        failed = view.state.failed_checkpoint
        cause = f"checkpoint of step {failed.step} failed: {failed.message}"
        found.append(_plain(Finding("checkpoint.failed", "warning", cause), failed.step))
    alerts = sorted(view.alerts.values(), key=lambda alert: alert.finding.severity != "error")
    found += [_of(a.finding, a.step, LogPlace(rank=a.rank, time=a.t)) for a in alerts]
    if view.skipped:
        cause = f"{view.skipped} damaged or unknown event lines passed over"
        found.append(_plain(Finding("events.damaged", "info", cause)))
    return tuple(found)


def _about_the_end(view: RunView) -> list[Notice]:
    if view.info_problem:
        cause = view.info_problem.replace(f"{view.run_dir.path}/", "")
        return [_plain(Finding("run.info-unreadable", "error", cause))]
    info, found = view.info, []
    if view.status == "lost":
        resume = f"rft resume {view.run_dir.in_commands}"
        finding = Finding(
            "run.lost", "error", "the supervisor is gone", fixes=(Fix("resume it", command=resume),)
        )
        found.append(Notice(f"the supervisor is gone: {resume}", finding))
    if info.exit is None or view.status == "finished":
        return found
    if view.status == "failed":
        found += _diagnosed(view)
    severity = "info" if view.status == "stopped" else "error"
    said = tuple(f"rank {rank}: {words}" for rank, words in info.exit.ranks.items())
    ended = Finding(f"run.{view.status}", severity, info.exit.cause, evidence=said)  # type: ignore[arg-type]
    found.append(_plain(ended, info.steps))
    found += [
        Notice(clean_line(line.replace("\n", " ")), ended, info.steps)
        for line in said
        if not info.exit.cause.startswith(line.partition(":")[0] + ":")
    ]
    return found


def _diagnosed(view: RunView) -> list[Notice]:
    """The likeliest cause of the failure, as the post-mortem found it."""
    found = diagnosis.read(view.run_dir)
    if found is None or not found.findings:
        return []
    best = found.findings[0]
    where = tuple(f"{seen.file}:{seen.line}: {seen.text}" for seen in best.evidence)
    logged = next((LogPlace(seen.file, seen.line) for seen in best.evidence), None)
    finding = Finding(best.cause, "error", f"{best.title}. {best.meaning}", where, best.fixes)
    return [_of(finding, view.step, logged)]


def _plain(finding: Finding, step: int = -1) -> Notice:
    return Notice(clean_line(finding.cause.replace("\n", " ")), finding, step)


def _of(finding: Finding, step: int, logged: LogPlace | None) -> Notice:
    """The id, the cause and the first thing to do."""
    todo = f" → {finding.fixes[0].text}" if finding.fixes else ""
    text = clean_line(f"{finding.id}: {finding.cause}{todo}".replace("\n", " "))
    return Notice(text, finding, step, logged)
