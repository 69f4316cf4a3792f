"""What stands above and below the lines: whose they are, where one is, what is going on."""

import time
from collections.abc import Sequence
from typing import NamedTuple

from textual.content import Content

from rftui.tui.blocks import SEVERITIES
from rftui.tui.logs.page import Page
from rftui.tui.logs.query import LEVELS
from rftui.tui.replay_mark import replay_mark
from rftui.tui.text import size


class Chip(NamedTuple):
    """Something to choose: `name` says what, as a screen's action takes it."""

    text: str
    style: str
    action: str


def head(page: Page, run: str) -> Content:
    """The first line of the screen."""
    if page.following:
        state = ("▼ following", "$success")
    else:
        news = f", {page.news:,} new lines" if page.news else ""
        state = (f"■ held{news}: f follows", "$warning")
    return Content.assemble(
        _replay(page),
        ("rft ", "bold $primary"),
        ("▸ ", "$quiet"),
        (run, "bold"),
        ("  logs  ", "$quiet"),
        state,
        (f"  {len(page.writers)} logs {size(page.size)}", "$quiet"),
    )


def _replay(page: Page) -> Content:
    """Of a run that is played again: how far, since no later lines are shown."""
    replay = page.replay
    if replay is None:
        return Content("")
    now = time.strftime("%H:%M:%S", time.gmtime(replay.now))
    where = "at its end" if replay.ended else f"{now} step {replay.step}"
    return replay_mark(replay.speed, where) + " "


def chips(page: Page, width: int) -> list[Chip]:
    """Whose lines, which levels: as many writers around the chosen one as there is room for."""
    levels = [
        Chip(
            f"{SEVERITIES[level][0]} {level}" if level in page.filter.levels else f"  {level}",
            SEVERITIES[level][1] if level in page.filter.levels else "$quiet",
            f"level({level!r})",
        )
        for level in LEVELS
    ]
    if page.collapsed or not page.collapse:
        text = f"{page.collapsed} folded" if page.collapse else "none folded"
        levels.append(Chip(text, "$accent" if page.collapse else "$quiet", "collapse"))
    room = width - sum(len(chip.text) + 2 for chip in levels) - 2
    return [*_writers(page, room), Chip("│", "$frame", ""), *levels]


def _writers(page: Page, room: int) -> list[Chip]:
    names = ["all", *page.writers]
    chosen = 0 if page.writer is None else names.index(page.writer) if page.writer in names else 0
    all_of_them = [
        Chip(f"[{name}]", "bold $primary", _choose(at, name))
        if at == chosen
        else Chip(name, "$quiet", _choose(at, name))
        for at, name in enumerate(names)
    ]
    first, last = chosen, chosen + 1
    used = len(all_of_them[chosen].text) + 2
    while True:
        grown = False
        for at in (last, first - 1):
            if 0 <= at < len(all_of_them) and used + len(all_of_them[at].text) + 2 <= room - 6:
                used += len(all_of_them[at].text) + 2
                first, last, grown = min(first, at), max(last, at + 1), True
        if not grown:
            break
    before = [Chip("‹", "$quiet", "writer(-1)")] if first else []
    after = [Chip("›", "$quiet", "writer(1)")] if last < len(all_of_them) else []
    return [*before, *all_of_them[first:last], *after]


def _choose(at: int, name: str) -> str:
    return f"choose({name!r})" if at else "choose('')"


def state(page: Page, width: int) -> Content:
    """The last line: what is sought and hidden, what is going on; at its right where the cursor is."""
    left: list[tuple[str, str]] = []
    if page.filter.include:
        left.append((f"only {page.filter.include.text}", "$accent"))
    if page.filter.exclude:
        left.append((f"without {page.filter.exclude.text}", "$accent"))
    if not page.filter.open:
        looked = f", looked at {page.filtered:.0%}" if page.filtered is not None else ""
        left.append((f"{page.passing:,} lines pass{looked}", "$quiet"))
    if page.query:
        left.append((f"/{page.query.text.strip('/')}", "$primary"))
    if page.searched is not None:
        left.append((f"searching {page.searched:.0%}, esc ends it", "$warning"))
    if page.note:
        left.append((page.note, "$warning"))
    if not left and page.replay and page.replay.silent:
        left.append((f"lines of {_few(page.replay.silent)} tell no time: they come at the end", "$warning"))
    if not left and page.guessed:
        left.append((f"lines of {_few(page.guessed)} tell no time: their place is a guess", "$quiet"))
    right = Content.styled(_place(page), "$quiet")
    text = Content("  ").join(Content.styled(words, style) for words, style in left)
    room = width - right.cell_length - 2
    text = text.truncate(max(0, room), ellipsis=True)
    return Content.assemble(text, " " * max(1, width - text.cell_length - right.cell_length), right)


def _few(writers: Sequence[str]) -> str:
    return ", ".join(writers[:3]) + ("…" if len(writers) > 3 else "")


def _place(page: Page) -> str:
    row = page.row
    if row is None:
        return ""
    where = f"line {page.number:,}" if page.number else f"byte {row.start:,}"
    known = f"{page.lines:,} lines" if page.counted is None else f"counting {page.counted:.0%}"
    return f"{row.writer} {where} · {known} · {page.bottom:.0%}"
