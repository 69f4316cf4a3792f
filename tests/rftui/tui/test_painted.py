"""Rows that look the same are not rendered again."""

from collections.abc import Sequence
from typing import Any

import pytest
from rich.segment import Segment
from rich.style import Style
from textual.app import App, ComposeResult
from textual.geometry import Region
from textual.strip import Strip

from rftui.tui.widgets.painted import Painted, compact


class Lines(Painted):
    """Shows lines, and notes what it has rendered again."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: Sequence[str] = ("one", "two", "three")
        self.refreshed: list[tuple[Region, ...]] = []

    def paint(self, width: int, height: int) -> list[Strip]:
        return [Strip([Segment(line)]) for line in self.lines]

    def refresh(self, *regions: Region, **options: Any) -> "Lines":
        if hasattr(self, "refreshed"):
            self.refreshed.append(regions)
        return super().refresh(*regions, **options)


class Shown(App[None]):
    CSS = "Lines { width: 10; height: 4; }"

    def compose(self) -> ComposeResult:
        yield Lines()


def texts(lines: Lines) -> list[str]:
    return [lines.render_line(y).text for y in range(4)]


async def test_only_rows_that_differ_are_rendered_again() -> None:
    app = Shown()
    async with app.run_test() as pilot:
        lines = app.query_one(Lines)
        await pilot.pause()
        assert texts(lines) == ["one       ", "two       ", "three     ", " " * 10]
        lines.refreshed.clear()
        lines.repaint()
        assert lines.refreshed == []
        lines.lines = ("one", "2", "three", "four")
        lines.repaint()
        assert lines.refreshed == [(Region(0, 1, 10, 1), Region(0, 3, 10, 1))]
        assert texts(lines) == ["one       ", "2         ", "three     ", "four      "]
        lines.lines = ("one", "2")
        lines.repaint()
        assert lines.refreshed[-1] == (Region(0, 2, 10, 1), Region(0, 3, 10, 1))
        assert texts(lines) == ["one       ", "2         ", " " * 10, " " * 10]


async def test_all_is_painted_again_in_another_size() -> None:
    app = Shown()
    async with app.run_test() as pilot:
        lines = app.query_one(Lines)
        await pilot.pause()
        lines.lines = ("ten", "two", "three")
        lines.styles.width = 5
        await pilot.pause()
        assert texts(lines) == ["ten  ", "two  ", "three", "     "]


@pytest.mark.parametrize("seen", ["underline", "reverse", "strike", "underline2", "overline"])
def test_spaces_join_what_is_before_them_unless_their_style_is_seen(seen: str) -> None:
    before = Segment("step", Style(bgcolor="blue"))
    joined = compact(Strip([before, Segment("  ", Style(bgcolor="blue", bold=True, color="red"))]))
    assert [text for text, *_ in joined] == ["step  "]
    line = Style(bgcolor="blue", **{seen: True})  # type: ignore[arg-type]
    assert [text for text, *_ in compact(Strip([before, Segment("  ", line)]))] == ["step", "  "]
