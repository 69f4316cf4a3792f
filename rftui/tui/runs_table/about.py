"""What stands below the table about the run under the cursor: pure functions."""

import time

from textual.content import Content

from rftui.tui.blocks import cut, joined
from rftui.tui.panels import status_word
from rftui.tui.runs_table.row import Row
from rftui.tui.text import clean_line, duration, number


def about(row: Row | None, now: float, width: int) -> Content:
    """What says why it ended comes first; what comes last is out of sight where there is no room."""
    if row is None or width < 1:
        return Content("")
    lines = [_head(row, width), *_ending(row, width), *_written(row, width), *_facts(row, now, width)]
    return Content("\n").join(lines)


def _head(row: Row, width: int) -> Content:
    model = clean_line(row.model)
    parts = [Content.styled(clean_line(row.name), "bold"), status_word(row.status)]
    parts += [Content.styled(word, "$quiet") for word in (clean_line(row.summary.preset), model) if word]
    return joined(parts, width)


def _ending(row: Row, width: int) -> list[Content]:
    said = []
    if row.summary.problem:
        said.append(row.summary.problem)
    elif row.detail:
        said += [text for text in (row.detail.cause, row.detail.diagnosed) if text]
    glyph, colour = ("▲ ", "$warning") if row.status in ("stopped", "lost") else ("✖ ", "$error")
    return [
        Content.assemble((glyph, f"bold {colour}"), cut(clean_line(text), width - 2))
        for text in dict.fromkeys(said)
    ]


def _written(row: Row, width: int) -> list[Content]:
    """Tags and note."""
    tags = " ".join(f"#{tag}" for tag in row.notes.tags)
    text = clean_line(row.notes.text)
    if not tags and not text:
        return [Content.styled("no note: m writes one, # sets tags", "$quiet")]
    room = width - len(tags) - 2
    return [Content.assemble((tags, "$accent"), "  " if tags else "", cut(text, max(8, room)))]


def _facts(row: Row, now: float, width: int) -> list[Content]:
    if row.detail is None:
        return [Content.styled("reading", "$quiet italic")]
    digest = row.digest
    took = row.seconds(now)
    parts = [
        (
            "reward",
            f"{number(row.reward)}, best {number(digest.best)}" if row.reward is not None else "none yet",
        ),
        ("took", "—" if took is None else duration(took)),
        ("tok/s", number(digest.tokens_per_s)),
        ("lr", number(digest.lr)),
        ("created", time.strftime("%Y-%m-%d %H:%M", time.localtime(row.summary.created))),
        ("ranks", str(row.summary.nproc)),
        ("attempt", str(row.detail.attempt)),
    ]
    line = joined([Content.assemble((f"{label} ", "$quiet"), value) for label, value in parts], width)
    where = Content.assemble(("in ", "$quiet"), cut(clean_line(str(row.summary.path)), width - 3))
    return [line, where]
