"""Lines about steps and samples: pure functions from values to styled text."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isinf

from textual.content import Content

from rftui.runs.samples import Sample, StepSummary, Texts
from rftui.tui.blocks import cut, flowed, joined
from rftui.tui.table import Column, table
from rftui.tui.text import clean_line, number


def value(number_: float | None, sign: bool = False) -> str:
    """A reward or advantage in at most six characters."""
    if number_ is not None and isinf(number_):
        return "∞" if number_ > 0 else "-∞"
    text = number(number_)
    return f"+{text}" if sign and number_ is not None and number_ > 0 else text


def _spread(each: Sample, width: int) -> tuple[str, str]:
    if each.group.flat:
        return "flat", "$warning"
    return (f"±{each.group.spread:.2f}" if each.group.count > 1 else "—"), "$quiet"


MARKS_OFF = Content.styled("tokens are not marked: m marks them", "$quiet")

_STEP: Column[Sample] = Column("step", 6, lambda each, width: (str(each.step), "$quiet"), right=True)
_COLUMNS: tuple[Column[Sample], ...] = (
    Column("sample", 9, lambda each, width: each.name, right=True),
    Column("reward", 6, lambda each, width: (value(each.reward), "bold"), right=True),
    Column("adv", 6, lambda each, width: value(each.advantage, sign=True), rank=2, right=True),
    Column("tok", 5, lambda each, width: str(each.tokens), rank=1, right=True),
    Column("", 3, lambda each, width: ("cut" if each.truncated else "", "$warning"), rank=1),
    Column("group", 5, _spread, rank=3, right=True),
    Column("Δ logp", 6, lambda each, width: (value(each.logprob_diff), "$quiet"), rank=4, right=True),
)


def _columns(found: bool) -> Sequence[Column[Sample]]:
    return (_STEP, *_COLUMNS) if found else _COLUMNS


def heading(width: int, found: bool, note: str) -> Content:
    """The names of the columns, and in which order samples stand where there is room for it."""
    names = table(_columns(found), [], width)[0]
    return joined([names.rstrip(), Content.styled(f"▾ {note}", "$accent")], width)


def sample_line(each: Sample, width: int, found: bool) -> Content:
    """`17.3  0.612  +0.41   412 cut ±0.21`."""
    return table(_columns(found), [each], width, heading=False)[0]


def step_line(step: int, summary: StepSummary | None, width: int) -> Content:
    """`412  0.612  32  2 cut`."""
    if summary is None:
        return Content.assemble(f"{step:>7}", ("       …", "$quiet"))
    truncated = f"{summary.truncated} cut" if summary.truncated else ""
    line = Content.assemble(
        f"{step:>7} ",
        (f"{value(summary.mean):>7}", "bold"),
        (f" {summary.count:>5}", "$quiet"),
        (f" {truncated:>8}" if width >= 30 else "", "$warning"),
    )
    return line[:width]


def facts(each: Sample, texts: Texts, width: int) -> Content:
    """What is known of a sample besides its texts."""
    group = each.group
    if group.count < 2:
        of_group = Content.styled("only one of its group was kept", "$quiet")
    elif group.flat:
        of_group = Content.styled(f"▲ flat group of {group.count}: nothing to learn", "$warning")
    else:
        of_group = Content(f"group of {group.count}: {value(group.mean)} ±{value(group.spread)}")
    length = Content(f"{each.tokens} tokens")
    if each.truncated:
        length = Content.assemble(length, (", cut at the limit", "$warning"))
    difference = "n/a" if each.logprob_diff is None else f"{number(each.logprob_diff)} nats"
    parts = ", ".join(f"{clean_line(str(name))} {value(part)}" for name, part in texts.reward_parts.items())
    entries = [
        Content.assemble(("step ", "$quiet"), f"{each.step}", ("  prompt ", "$quiet"), f"{each.prompt_index}")
        + Content.assemble(("  sample ", "$quiet"), f"{each.sample}"),
        length,
        of_group,
        Content.assemble(("reward ", "$quiet"), (value(each.reward), "bold"), f" ({parts})" if parts else ""),
        Content.assemble(("advantage ", "$quiet"), (value(each.advantage, sign=True), "bold")),
        Content.assemble(("mean |Δ log-prob| ", "$quiet"), difference),
        Content.assemble(
            ("label ", "$quiet"), cut(clean_line(texts.label.replace("\n", "⏎")), max(8, width - 8))
        ),
    ]
    return Content("\n").join(flowed(entries, width, gap=" · "))


@dataclass(frozen=True)
class Where:
    """Where one is. `found`: how many samples a search has found; None while those of `step` are shown."""

    run: str
    step: int | None
    steps: Sequence[int]
    summary: StepSummary | None
    following: bool
    found: int | None
    query: str
    problem: str
    replay: Content


def status(where: Where, width: int) -> Content:
    """The run, the step or what is searched for, and whether new steps come by themselves."""
    head = Content.assemble(
        where.replay,
        ("rft ", "bold $primary"),
        ("▸ ", "$quiet"),
        (clean_line(where.run), "bold"),
        (" ▸ samples", "$quiet"),
    )
    if where.problem:
        return Content.assemble(head, (f"   ▲ {clean_line(where.problem)}", "$warning"))[:width]
    if where.found is not None:
        return Content.assemble(head, (f"   {where.found} found: ", "bold"), clean_line(where.query))[:width]
    if where.step is None or not where.steps:
        return head
    first, last = where.steps[0], where.steps[-1]
    entries = [head, Content.assemble("step ", (f"{where.step}", "bold"), (f" of {first}…{last}", "$quiet"))]
    entries.append(
        Content.styled("● follow", "$success") if where.following else Content.styled("○ f follows", "$quiet")
    )
    if where.summary is not None:
        summary = where.summary
        entries += [
            Content.assemble(f"{summary.count} samples, reward ", (value(summary.mean), "bold")),
            Content.styled(f"{summary.truncated} cut", "$warning" if summary.truncated else "$quiet"),
        ]
    return joined(entries, width)


def diff_title(sample: Sample, other: Sample, nth: int, of: int, *, changed: bool) -> str:
    """`step 12 → 40, reward 0.000 → 1.000 · 1 of 7`; within a step the samples are named."""
    before, after = (other, sample) if other.step <= sample.step else (sample, other)
    ends = f"step {before.step} → {after.step}"
    if before.step == after.step:
        ends = f"sample {before.name} → {after.name}"
    same = "" if changed else ", no change"
    return f"{ends}, reward {value(before.reward)} → {value(after.reward)}{same} · {nth % of + 1} of {of}"


def diff_legend() -> Content:
    """What the signs mean."""
    return Content.assemble(
        ("[-gone-]", "strike $error"),
        "  ",
        ("{+new+}", "bold underline $success"),
        ("   d compares with the next other step, esc ends it", "$quiet"),
    )
