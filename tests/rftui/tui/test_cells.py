"""What is not sent again is on the terminal already: two terminals, one of which gets the spared frames."""

import random

import pyte
import pytest

from rftui.tui.cells import Cells
from rftui.tui.sgr import change, on_space, pen

WIDTH, HEIGHT = 40, 12
GROUND, PANEL = "48;2;14;18;25", "48;2;28;36;50"
STYLES = [
    "",
    GROUND,
    f"38;2;94;177;240;{GROUND}",
    f"1;38;2;94;177;240;{GROUND}",
    f"38;2;214;221;232;{PANEL}",
    f"3;4;38;2;214;221;232;{GROUND}",
    f"7;38;5;214;{PANEL}",
    "1;2",
]
TEXTS = [
    "step 412",
    "  ",
    "⢀⡀⣿",
    "──╮",
    "0.612±.21",
    "日本",
    "e\u0301",
    "🎉 ",
    " ",
    "▁▂▃",
    "Übergröße",
    "≈ 3",
]
TOLD = "\x1bPtmux;\x1b\x1b]777;notify;run;ended\x1b\x1b\\\x1b\\"
"""A notification to the desktop, through tmux."""


class Twins:
    """A terminal that gets all of every frame, and one that gets what is spared of it."""

    def __init__(self) -> None:
        self.cells = Cells(HEIGHT)
        self.screens = pyte.Screen(WIDTH, HEIGHT), pyte.Screen(WIDTH, HEIGHT)
        self.streams = tuple(pyte.Stream(screen) for screen in self.screens)

    def show(self, frame: str) -> str:
        spared = self.cells.spared(frame)
        for stream, data in zip(self.streams, (frame, spared), strict=True):
            stream.feed(data)
        whole, sparing = map(looks, self.screens)
        assert whole == sparing
        return spared


def looks(screen: pyte.Screen) -> list[tuple[object, ...]]:
    """What one sees of every cell: on a space neither ink nor boldness."""
    cells = [screen.buffer[y][x] for y in range(HEIGHT) for x in range(WIDTH)]
    return [(screen.cursor.x, screen.cursor.y)] + [
        (cell.data, cell.bg, cell.reverse, cell.underscore)
        + (() if cell.data == " " and not cell.reverse else (cell.fg, cell.bold, cell.italics))
        for cell in cells
    ]


def styled(text: str, style: str) -> str:
    return f"\x1b[{style}m{text}\x1b[0m" if style else text


def at(y: int, x: int) -> str:
    return f"\x1b[{y + 1};{x + 1}H"


def frame(*rows: tuple[int, int, str]) -> str:
    return "\n".join(at(y, x) + text for y, x, text in rows) + at(0, 0)


def full(text: str) -> str:
    return frame(*((y, 0, styled(text.ljust(WIDTH), GROUND)) for y in range(HEIGHT)))


@pytest.mark.parametrize("seed", range(8))
def test_both_terminals_show_the_same(seed: int) -> None:
    chance, twins = random.Random(seed), Twins()
    twins.show(full("a run"))
    for _ in range(40):
        rows = []
        for y in sorted(chance.sample(range(HEIGHT), chance.randint(1, HEIGHT))):
            x, text = chance.randint(0, 8), ""
            for _ in range(chance.randint(1, 4)):
                text += styled(chance.choice(TEXTS), chance.choice(STYLES))
            rows.append((y, x, text))
        twins.show(frame(*rows))
        if chance.random() < 0.1:
            twins.show(full("again"))


def test_only_what_changed_is_sent() -> None:
    twins = Twins()
    twins.show(full("step 411/2000  reward 0.612"))
    spared = twins.show(frame((3, 0, styled("step 412/2000  reward 0.615".ljust(WIDTH), GROUND))))
    assert spared == f"\x1b[4;8H\x1b[{GROUND}m2\x1b[18C5\x1b[m" + at(0, 0)


def test_nothing_is_sent_for_nothing() -> None:
    twins = Twins()
    twins.show(full("step 411"))
    assert twins.show(frame((3, 0, styled("step 411", GROUND)))) == ""
    assert twins.show(frame((3, 0, styled("step 411", f"1;{GROUND}")))) != "", "it is bold now"


def test_a_whole_frame_mends_the_screen() -> None:
    twins = Twins()
    twins.show(full("step 411"))
    for stream in twins.streams:
        stream.feed(at(5, 3) + "a message of the system")
    twins.show(full("step 411"))
    assert "message" not in twins.screens[1].display[5]


def test_a_whole_frame_mends_the_screen_of_which_only_a_part_is_known() -> None:
    twins = Twins()
    twins.cells.forget()
    twins.show(frame((0, 0, styled("step 411".ljust(WIDTH), GROUND))))
    for stream in twins.streams:
        stream.feed(at(0, 3) + "a message of the system")
    twins.show(full("step 411"))
    assert "message" not in twins.screens[1].display[0]


@pytest.mark.parametrize("odd", ["co\u00adoperate", "\u0600 12", "\u0e33", "\U0001f1e9"])
def test_rows_with_characters_of_doubtful_width_are_sent_in_full(odd: str) -> None:
    cells = Cells(HEIGHT)
    cells.spared(full(""))
    row = frame((3, 0, styled(f"{odd} step 411", GROUND)))
    assert [cells.spared(row).count(f"{odd} step 411") for _ in range(2)] == [1, 1]


@pytest.mark.parametrize("left", ["\x1b[?1049h", "something else", "\x1b[2J"])
def test_what_it_does_not_understand_is_sent_and_makes_it_forget(left: str) -> None:
    cells = Cells(HEIGHT)
    cells.spared(full("step 411"))
    assert cells.spared(left) == left
    assert "step 411" in cells.spared(frame((3, 0, "step 411")))


@pytest.mark.parametrize(
    "kept", ["\x1b[?2026h", "\x1b[?2026$p", "\x07", "\x1b]2;title\x07", "\x1b]52;c;eA==\x1b\\", TOLD]
)
def test_modes_titles_and_the_bell_change_no_cell(kept: str) -> None:
    cells = Cells(HEIGHT)
    cells.spared(full("step 411"))
    assert cells.spared(kept) == kept
    assert cells.spared(frame((3, 0, styled("step 411", GROUND)))) == ""


def test_after_wide_characters_a_row_is_sent_in_full() -> None:
    twins = Twins()
    twins.show(full(""))
    wide = frame((3, 0, styled("日本語 step 411", GROUND)))
    assert twins.show(wide).count("日本語 step 411") == 1
    assert twins.show(wide).count("日本語 step 411") == 1
    assert "step" in twins.show(frame((3, 2, styled("step", GROUND))))


@pytest.mark.parametrize(
    ("before", "after", "sent"),
    [
        ("", GROUND, f"\x1b[{GROUND}m"),
        (f"38;5;1;{GROUND}", f"38;5;2;{GROUND}", "\x1b[38;5;2m"),
        (f"1;38;5;1;{GROUND}", f"38;5;1;{GROUND}", "\x1b[22m"),
        (f"1;2;31;{GROUND}", f"1;31;{GROUND}", "\x1b[22;1m"),
        (f"4;31;{GROUND}", f"31;{GROUND}", f"\x1b[0;31;{GROUND}m"),
        ("31;42", "31", "\x1b[0;31m"),
        ("91;102", "", "\x1b[m"),
        ("1;31", "31;1", ""),
    ],
)
def test_the_shortest_way_between_two_styles(before: str, after: str, sent: str) -> None:
    assert change(before, after) == sent


def test_styles_are_taken_apart() -> None:
    assert pen("1;38;2;1;2;3;48;5;7") == ({"1"}, "38;2;1;2;3", "48;5;7")
    assert pen("3;97;107") == ({"3"}, "97", "107")
    assert pen("9;4") == ({"9", "4"}, "", "")
    assert on_space("1;38;5;2;48;5;3") == "48;5;3"
    assert on_space("4;38;5;2") == "4;38;5;2"
