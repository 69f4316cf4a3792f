"""What a run that ended badly died of, with fixes whose values are those of this run."""

import contextlib
from collections.abc import Iterator
from typing import Any

import msgspec

from diagnostics.hardware import detect
from diagnostics.health.hang.analysis import FOLDER
from diagnostics.health.hang.verdict import Verdict
from diagnostics.knowledge.diagnose import diagnose
from diagnostics.knowledge.diagnosis import UNKNOWN, Diagnosed, Diagnosis
from diagnostics.knowledge.dumped import diagnosed
from diagnostics.knowledge.load import knowledge
from diagnostics.knowledge.wording import Lang
from engine.config.load import Resolved, load_resolved
from engine.config.registry import Parameter, find, value_of
from engine.config.values import check_value, parse_text
from engine.findings import FindingsError, Fix
from rftui.plan.after_failure import RanOut, what_would_fit
from rftui.runs.rundir import RunDir

OUT_OF_MEMORY: dict[str, RanOut] = {
    "cuda-oom-train": "device",
    "cuda-oom-rollout": "device",
    "host-oom-killed": "host",
}
"""Causes for which the planner knows what would fit. An engine's share that is wrong has its own remedies."""
TENTH = 0.1


def examine(run: RunDir, lang: Lang = "en", hung: Verdict | None = None) -> Diagnosis:
    """Diagnose a run from its folder; sources.Unreadable where it left nothing to read.

    `hung`: what it is ended for, if it hung; of a run that has ended, what was kept of that.
    """
    found = diagnose(str(run.path), lang)
    hung = hung or _hung(run)
    if hung is not None:
        cause = diagnosed(hung, str(run.path / FOLDER), knowledge(), lang, by="hang")
        others = (each for each in found.findings if each.cause not in (cause.cause, UNKNOWN))
        found = msgspec.structs.replace(found, findings=(cause, *others), ranks=hung.ranks)
    try:
        resolved, nproc = load_resolved(run.config_path), run.read_info().nproc
    except FindingsError:
        return found
    findings = tuple(_for_this_run(each, run, resolved, nproc) for each in found.findings)
    return msgspec.structs.replace(found, findings=findings)


def why_it_hung(verdict: Verdict | None) -> str:
    """The exit cause of a run that was ended because it hung."""
    return f"it hung: {verdict.said if verdict else 'it made no progress.'}"


def _hung(run: RunDir) -> Verdict | None:
    """The verdict that an ended run was ended for, from the evidence that was kept."""
    for file in sorted(run.path.glob(f"{FOLDER}/*/verdict.json"), reverse=True):
        with contextlib.suppress(OSError, ValueError, FindingsError):  # msgspec's errors are ValueErrors
            verdict = msgspec.json.decode(file.read_bytes(), type=Verdict)
            ended = run.read_info().exit
            if ended is not None and ended.cause == why_it_hung(verdict):
                return verdict
    return None


def _for_this_run(cause: Diagnosed, run: RunDir, resolved: Resolved, nproc: int) -> Diagnosed:
    """The same cause with fixes that name this run's values: the planner's first, where memory ran out."""
    fixes = [_with_values(fix, resolved) for fix in cause.fixes]
    ran_out = OUT_OF_MEMORY.get(cause.cause)
    if ran_out:
        fitting = what_would_fit(resolved, nproc, detect(folder=run.path), ran_out)
        fixes = [fitting, *fixes] if fitting else fixes
    return msgspec.structs.replace(cause, fixes=tuple(fixes))


def _with_values(fix: Fix, resolved: Resolved) -> Fix:
    """`smaller` and `larger` as numbers, texts as the parameters' types; what cannot be is left out."""
    return msgspec.structs.replace(fix, set=dict(_typed(fix.set, resolved)))


def _typed(wanted: dict[str, Any], resolved: Resolved) -> Iterator[tuple[str, Any]]:
    for key, text in wanted.items():
        match = find(key)
        if match is None:
            continue
        present = value_of(resolved.config, match.parameter.key)
        value = (
            _moved(present, text, match.parameter)
            if text in ("smaller", "larger")
            else _parsed(text, match.parameter)
        )
        value, problem = check_value(value, match.parameter)
        if value is not None and problem is None and value != present:
            yield match.parameter.key, value


def _parsed(text: Any, parameter: Parameter) -> Any:
    return parse_text(text, parameter) if isinstance(text, str) else text


def _moved(present: Any, direction: str, parameter: Parameter) -> int | float | None:
    """Half or twice a number, a share a tenth more or less; None where none is there, or left."""
    if isinstance(present, bool) or not isinstance(present, int | float):
        return None
    if parameter.bounds.get("le") == 1:
        share = round(present + (TENTH if direction == "larger" else -TENTH), 2)
        return share if 0 < share < 1 else None
    if isinstance(present, int):
        return present * 2 if direction == "larger" else present // 2 or None
    return present * 2 if direction == "larger" else present / 2
