"""Lines about steps and samples: pure functions from values to styled text."""

from collections.abc import Sequence
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


_STEP: Column[Sample] = Column("step", 6, lambda each, width: (str(each.step), "$quiet"), right=True)
_COLUMNS: tuple[Column[Sample], ...] = (
    Column("sample", 7, lambda each, width: each.name, right=True),
    Column("reward", 6, lambda each, width: (value(each.reward), "bold"), right=True),
    Column("adv", 6, lambda each, width: value(each.advantage, sign=True), rank=2, right=True),
    Column("tok", 5, lambda each, width: str(each.tokens), rank=1, right=True),
    Column("", 3, lambda each, width: ("cut" if each.truncated else "", "$warning"), rank=1),
    Column("group", 5, _spread, rank=3, right=True),
    Column("Δ logp", 6, lambda each, width: (value(each.logprob_diff), "$quiet"), rank=4, right=True),
)


def _columns(found: bool) -> Sequence[Column[Sample]]:
    return (_STEP, *_COLUMNS) if found else _COLUMNS


def heading(width: int, found: bool, order: str) -> Content:
    """The names of the columns, and the order where there is room for it."""
    names = table(_columns(found), [], width)[0]
    return joined([names.rstrip(), Content.styled(f"▾ {order}", "$accent")], width)


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
        of_group = Content.styled(
            f"▲ flat group: all {group.count} rewards are equal, nothing to learn", "$warning"
        )
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
        Content.assemble(("reward ", "$quiet"), (value(each.reward), "bold"), f" ({parts})" if parts else ""),
        Content.assemble(("advantage ", "$quiet"), (value(each.advantage, sign=True), "bold")),
        of_group,
        Content.assemble(("mean |Δ log-prob| ", "$quiet"), difference),
        Content.assemble(
            ("label ", "$quiet"), cut(clean_line(texts.label.replace("\n", "⏎")), max(8, width - 8))
        ),
    ]
    return Content("\n").join(flowed(entries, width, gap=" · "))
