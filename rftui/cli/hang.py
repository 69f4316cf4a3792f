"""`rft diagnose --hang NAME`: what a run that is on waits for, now."""

import sys
from pathlib import Path
from typing import Any

import msgspec

from diagnostics.health.hang.analysis import FOLDER, LIMITS, analyse_run, ranks_of
from diagnostics.health.hang.finding import hang_finding
from diagnostics.health.hang.verdict import Verdict
from diagnostics.knowledge.dumped import diagnosed
from diagnostics.knowledge.load import knowledge
from diagnostics.knowledge.wording import Lang
from engine.findings import EXIT_OK, EXIT_RUN_FAILED, Finding, FindingsError, Fix
from rftui.cli.report import print_findings
from rftui.runs.info import ACTIVE
from rftui.runs.rundir import RunDir, find
from rftui.runs.view import present_status


def diagnose_hang(runs_dir: Path, name: str, lang: Lang, *, as_json: bool) -> int:
    """Analyse the run, print the verdict, and return the exit code: 1 if it hangs, 0 if it goes on.

    Raises `hang.not-running` for a run that has ended, and `hang.no-ranks` for one that has not begun.
    """
    run = find(runs_dir, name)
    status = present_status(run)
    if status not in ACTIVE:
        raise FindingsError([_not_running(run, status)])
    ranks = ranks_of(run.path)
    if not ranks:
        raise FindingsError([_no_ranks(run)])
    most = LIMITS.collect_s + (LIMITS.rounds - 1) * (LIMITS.collect_s + LIMITS.round_s)
    print(f"asking {len(ranks)} ranks of {run.name}, {most:.0f} s at most …", file=sys.stderr, flush=True)
    verdict = analyse_run(run.path, ranks, len(ranks))
    if as_json:
        sys.stdout.write(msgspec.json.encode(_as_values(run, verdict, lang)).decode() + "\n")
    else:
        print_findings([hang_finding(verdict, run.in_commands)])
        print(f"evidence: {run.path / FOLDER}", file=sys.stderr)
    return EXIT_OK if verdict.kind == "no-hang" else EXIT_RUN_FAILED


def _as_values(run: RunDir, verdict: Verdict, lang: Lang) -> dict[str, Any]:
    """The form that every diagnosis has, and the verdict itself."""
    goes_on = verdict.kind == "no-hang"
    found = () if goes_on else (diagnosed(verdict, str(run.path / FOLDER), knowledge(), lang, by="hang"),)
    return {"path": str(run.path), "findings": found, "ranks": verdict.ranks, "verdict": verdict}


def _not_running(run: RunDir, status: str) -> Finding:
    return Finding(
        id="hang.not-running",
        severity="error",
        cause=f"{run.name} is not running, it is {status}: nothing can be asked of its ranks.",
        fixes=(Fix("see why it ended", command=f"rft diagnose {run.path}"),),
    )


def _no_ranks(run: RunDir) -> Finding:
    return Finding(
        id="hang.no-ranks",
        severity="error",
        cause=f"no rank of {run.name} has begun to write events: it is still importing, or waits for others.",
        fixes=(Fix("see what the ranks print", command=f"tail -n 20 {run.path}/logs/*.log"),),
    )
