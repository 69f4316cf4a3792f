"""The line of keys: the same keys as are bound, pressed by a click, none out of reach."""

from typing import ClassVar

from conftest import screen_text, until
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.events import MouseScrollDown

from rftui.tui.widgets.footer import Footer

PAGE = Binding.Group("page", compact=True)


class Keys(App[None]):
    """Says which keys were pressed."""

    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("a", "say('a')", "first", tooltip="the first"),
        Binding("b", "say('b')", "second"),
        Binding("x", "say('b')", "the same"),
        Binding("comma", "say('back')", "page", key_display=",", group=PAGE),
        Binding("full_stop", "say('on')", "page", key_display=".", group=PAGE),
        Binding("c", "say('hidden')", "hidden", show=False),
        Binding("d", "never", "gone"),
        Binding("e", "maybe", "not now"),
    ]

    def __init__(self, compact: bool = False) -> None:
        super().__init__()
        self.said: list[str] = []
        self.allowed: bool | None = None
        self.compact = compact

    def compose(self) -> ComposeResult:
        yield Footer(compact=self.compact)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return False if action == "never" else self.allowed if action == "maybe" else True

    def action_say(self, what: str) -> None:
        self.said.append(what)

    def action_maybe(self) -> None:
        self.said.append("maybe")


def line(app: Keys) -> str:
    return screen_text(app).split("\n")[-1]


async def test_each_action_once_groups_together_and_only_what_is_bound() -> None:
    app = Keys()
    async with app.run_test(size=(60, 3)) as pilot:
        await until(pilot, lambda: line(app) == " a first  b second  ,. page  e not now")
    app = Keys(compact=True)
    async with app.run_test(size=(60, 3)) as pilot:
        await until(pilot, lambda: line(app) == "a first b second  ,. page e not now")


async def test_a_click_presses_the_key_that_stands_there() -> None:
    app = Keys()
    async with app.run_test(size=(60, 3)) as pilot:
        await until(pilot, lambda: "not now" in line(app))
        for column in (1, 8, 10, 20, 21, 25, 50, 28):
            await pilot.click(Footer, offset=(column, 0))
        await until(pilot, lambda: app.said == ["a", "a", "b", "back", "on"])
        app.allowed = True
        app.screen.refresh_bindings()
        await pilot.pause()
        await pilot.click(Footer, offset=(28, 0))
        await until(pilot, lambda: app.said[-1] == "maybe")


async def test_the_tooltip_is_of_the_key_under_the_mouse() -> None:
    app = Keys()
    async with app.run_test(size=(60, 3)) as pilot:
        await until(pilot, lambda: "not now" in line(app))
        footer = app.query_one(Footer)
        await pilot.hover(Footer, offset=(1, 0))
        assert footer.tooltip == "the first"
        await pilot.hover(Footer, offset=(50, 0))
        assert footer.tooltip is None


async def test_the_wheel_brings_keys_into_sight_that_do_not_fit() -> None:
    app = Keys()
    async with app.run_test(size=(20, 3)) as pilot:
        await until(pilot, lambda: line(app) == " a first  b second")
        footer = app.query_one(Footer)
        for _ in range(9):
            footer.post_message(MouseScrollDown(footer, 1, 0, 0, 1, 0, False, False, False))
        await until(pilot, lambda: line(app) == " ,. page  e not now")
        await pilot.click(Footer, offset=(1, 0))
        await until(pilot, lambda: app.said == ["back"])
        await pilot.resize_terminal(60, 3)
        await until(pilot, lambda: line(app).startswith(" a first"))
