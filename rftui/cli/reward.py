"""`rft reward`: try rewards on recorded responses before a run depends on them."""

from pathlib import Path
from statistics import fmean
from typing import Annotated, Any, NamedTuple

import msgspec
import typer

from engine.config.sections import RewardSection
from engine.data import textfiles
from engine.data.spec import parse_sources
from engine.data.validate import capped, check_rows
from engine.findings import Finding, FindingsError, Fix, raise_errors
from engine.rewards.base import Scorer, build_scorer
from rftui.cli.options import AsJson

app = typer.Typer(add_completion=False)

SHOWN = 20
FLAGS = {"reward.reward_rule": "--rule", "reward.reward_fn": "--fn"}
_TRUTHS = {"true": True, "1": True, "false": False, "0": False}


class Record(NamedTuple):
    """A recorded response and where it stands; `is_correct` is what someone else said of it."""

    line: int
    response: str
    answer: Any
    prompt: str
    reference: Any
    is_correct: bool | None


class Report(msgspec.Struct):
    """`agreement`: share of the rows with `is_correct` where it equals reward > 0.5; null without such rows.
    `disagreements`: the lines of the others."""

    n: int
    mean: float
    agreement: float | None
    disagreements: list[int]


@app.callback()
def reward() -> None:
    """Try rewards on recorded responses."""


@app.command()
def test(
    data: Annotated[
        Path, typer.Option(help="JSONL, JSON or CSV with columns response, answer and perhaps is_correct.")
    ],
    rule: Annotated[
        str | None, typer.Option(help="Built-in rules, comma separated, each with @weight if not 1.")
    ] = None,
    fn: Annotated[str | None, typer.Option(help="Own reward, file.py:function or module:function.")] = None,
    as_json: AsJson = False,
) -> None:
    """Score recorded responses; with an is_correct column, show where the reward disagrees with it.

    Own functions also get the columns prompt (or question) and reference, where there are any.
    """
    if not rule and not fn:
        fix = Fix("say what to test", command="--rule gsm8k")
        raise FindingsError(
            [Finding("reward.missing", "error", "Neither --rule nor --fn is given.", fixes=(fix,))]
        )
    records, scorer = _prepare(data, RewardSection(reward_rule=rule, reward_fn=fn))
    rewards = scorer.score(
        [r.response for r in records],
        [r.answer for r in records],
        [r.prompt for r in records],
        [r.reference for r in records],
    ).total
    report = _report(records, rewards)
    if as_json:
        typer.echo(msgspec.json.encode(report).decode())
    else:
        _print(report, records, rewards)


def _prepare(data: Path, reward: RewardSection) -> tuple[list[Record], Scorer]:
    """The records and what scores them; raises the findings on both at once."""
    findings: list[Finding] = []
    scorer = None
    try:
        scorer = build_scorer(reward)
    except FindingsError as error:
        findings += map(_in_own_flags, error.findings)
    try:
        records = _read(data)
    except FindingsError as error:
        findings += error.findings
    if findings or scorer is None:
        raise FindingsError(findings)
    return records, scorer


def _in_own_flags(finding: Finding) -> Finding:
    """The finding with its edits written as this command's flags."""
    fixes = []
    for fix in finding.fixes:
        flags = [f"{FLAGS[key]} {value}" for key, value in fix.set.items() if key in FLAGS]
        fixes.append(msgspec.structs.replace(fix, set={}, command=" ".join(flags) or fix.command))
    return msgspec.structs.replace(finding, fixes=tuple(fixes))


def _read(path: Path) -> list[Record]:
    """All records of a file; raises `FindingsError` naming every line that is none."""
    sources, findings = parse_sources(str(path), "")
    if sources and not (sources[0].kind == "file" and path.suffix.lower() in textfiles.SUFFIXES):
        fix = Fix(f"give a {', '.join(textfiles.SUFFIXES)} file")
        findings = [Finding("data.format", "error", f"{path} is not a file of records.", fixes=(fix,))]
    raise_errors(findings)
    rows = list(textfiles.rows(path))
    columns = {"response": "response", "answer": "answer"}
    findings, _ = check_rows(str(path), rows, columns, param="")
    wrong = [
        f"line {line}: {problem}"
        for line, row in rows
        if isinstance(row, dict) and (problem := _problem(row))
    ]
    if wrong:
        fix = Fix("write response as text and is_correct as true, false, 1 or 0")
        cause = f"{path} has {len(wrong)} rows with values of the wrong kind."
        findings.append(Finding("data.bad-value", "error", cause, capped(wrong), (fix,)))
    raise_errors(findings)
    return [_record(line, row) for line, row in rows if isinstance(row, dict)]


def _problem(row: dict[str, Any]) -> str:
    response, is_correct = row.get("response", ""), row.get("is_correct")
    if not isinstance(response, str | None):
        return f"response is not text: {response!r:.40}"
    if is_correct is not None and _truth(is_correct) is None:
        return f"is_correct is neither true nor false: {is_correct!r:.40}"
    return ""


def _truth(value: Any) -> bool | None:
    """A bool, 0 or 1, or the text of one; `None` for anything else."""
    return _TRUTHS.get(str(int(value) if value in (0, 1) else value).lower())


def _record(line: int, row: dict[str, Any]) -> Record:
    prompt = row.get("prompt", row.get("question", ""))
    given = row.get("is_correct")
    is_correct = None if given is None else _truth(given)
    return Record(line, row["response"], row["answer"], str(prompt), row.get("reference"), is_correct)


def _report(records: list[Record], rewards: list[float]) -> Report:
    judged = [(r, value > 0.5) for r, value in zip(records, rewards, strict=True) if r.is_correct is not None]
    wrong = [r.line for r, right in judged if right != r.is_correct]
    agreement = 1 - len(wrong) / len(judged) if judged else None
    return Report(len(records), fmean(rewards), agreement, wrong)


def _print(report: Report, records: list[Record], rewards: list[float]) -> None:
    typer.echo(f"responses    {report.n}\nmean reward  {report.mean:.4f}")
    if report.agreement is None:
        return
    typer.echo(f"agreement    {report.agreement:.4f}  ({len(report.disagreements)} disagree)")
    by_line = {record.line: (record, value) for record, value in zip(records, rewards, strict=True)}
    for line in report.disagreements[:SHOWN]:
        record, value = by_line[line]
        said = "correct" if record.is_correct else "wrong"
        typer.echo(
            f"line {line}: reward {value:g}, recorded as {said}; "
            f"the response ends {record.response[-60:]!r}, the answer {str(record.answer)[-30:]!r}"
        )
    if len(report.disagreements) > SHOWN:
        typer.echo(f"… and {len(report.disagreements) - SHOWN} more; all of them with --json")
