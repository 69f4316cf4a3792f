"""The terminal program `rftui`: areas side by side, each a mode with a stack of screens of its own."""

import asyncio
import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual import work
from textual.actions import ActionParseResult
from textual.binding import BindingType
from textual.command import Provider
from textual.dom import DOMNode
from textual.driver import Driver
from textual.message import Message
from textual.widget import Widget

from rftui.runs.rundir import RunDir
from rftui.tui.areas import AREAS, REPLAY, Area, area
from rftui.tui.context import Context, replay_clock
from rftui.tui.keys import APP_KEYS, Key, bindings
from rftui.tui.notify import WATCH_S, News, RunWatcher, desktop
from rftui.tui.palette import Palette
from rftui.tui.screens.help import HelpScreen
from rftui.tui.settings import Settings
from rftui.tui.stylesheet import OnceParsed
from rftui.tui.theming import ThemedApp

if TYPE_CHECKING:
    from rftui.tui.driver import SparingDriver
    from rftui.tui.notices import LogPlace


def _commands() -> type[Provider]:
    from rftui.tui.commands import RftCommands

    return RftCommands


class RftuiApp(ThemedApp):
    """Opens on a run when one is given, else at home."""

    TITLE = "rftui"
    BINDINGS: ClassVar[list[BindingType]] = bindings(APP_KEYS)
    COMMANDS: ClassVar[set[type[Provider] | Callable[[], type[Provider]]]] = {_commands}

    class Happened(Message):
        """What runs of the folder have done meanwhile."""

        def __init__(self, news: list[News]) -> None:
            super().__init__()
            self.news = news

    def __init__(
        self,
        runs_dir: Path,
        run: RunDir | None = None,
        *,
        settings: Settings | None = None,
        speed: float | None = None,
    ) -> None:
        """`speed`: replay the run that many times as fast as it happened; FindingsError if it cannot be."""
        super().__init__()
        settings = settings or Settings()
        self.context = Context(runs_dir, settings, run, clock=replay_clock(run, speed))
        self.stylesheet = OnceParsed(variables=self.get_css_variables())
        self.offer_themes(settings.theme)
        self.terminal: SparingDriver | None = None
        """The driver that writes to a terminal, where there is one."""
        self._opened: dict[str, str] = {}
        """area → the mode of its screen."""
        self._modes_made = 0
        self._moving = asyncio.Lock()
        """Keys are taken while an area is being opened: what else changes the stack of screens waits."""
        self._watcher = RunWatcher(runs_dir)
        self._watching = False

    def get_driver_class(self) -> type[Driver]:
        """On a terminal the driver that sends only what changes."""
        driver = super().get_driver_class()
        if driver.__module__ != "textual.drivers.linux_driver":
            return driver
        from rftui.tui.driver import SparingDriver

        return SparingDriver

    async def on_mount(self) -> None:
        """Open the first area."""
        await self.open_area("home" if self.context.run is None else "live")
        self.set_interval(WATCH_S, self._watch)
        self._watch()

    def _watch(self) -> None:
        if not self._watching:
            self._watching = True
            self.watch_runs()

    @work(thread=True, group="watch", exit_on_error=False)
    def watch_runs(self) -> None:
        """Look at all runs of the folder."""
        try:
            self.post_message(self.Happened(self._watcher.look()))
        finally:
            self._watching = False

    def on_rftui_app_happened(self, message: "RftuiApp.Happened") -> None:
        """Say it on the screen, ring, and tell the desktop."""
        settings = self.context.settings
        for news in message.news:
            if not self._on_the_screen(news.run):
                self.notify(news.text, title=news.title, severity=news.severity, timeout=10, markup=False)
            if settings.desktop and self.terminal is not None:
                self.terminal.write(desktop(news, os.environ))
        if message.news and settings.bell:
            self.bell()

    def _on_the_screen(self, run: str) -> bool:
        """Whether the dialog of its launch is shown: it tells the same, and nothing may cover it."""
        from rftui.tui.screens.launch import LaunchScreen

        return isinstance(self.screen, LaunchScreen) and self.screen.shows(run)

    async def run_action(
        self,
        action: "str | ActionParseResult",
        default_namespace: DOMNode | None = None,
        namespaces: Mapping[str, DOMNode] | None = None,
    ) -> bool:
        """Do what a key means, but not on a screen that is still being made: the key was meant for the one
        before, and what its actions look for is not there yet."""
        if isinstance(default_namespace, Widget) and not default_namespace.is_mounted:
            return False
        return await super().run_action(action, default_namespace, namespaces)

    @property
    def area_now(self) -> str:
        """Name of the area on the screen."""
        return self.current_mode.partition(":")[0]

    async def open_area(self, name: str) -> None:
        """Go to an area; its screen is as it was left."""
        wanted = area(name)
        if wanted.of_run and self.context.run is None:
            self.notify(f"{wanted.name} shows a run: open one first", severity="warning")
            return
        async with self._moving:
            if self._leaving:
                return
            mode = self._opened.get(name) or self._add(wanted)
            await self.switch_mode(mode)

    async def open_run(self, run: RunDir, name: str = "live") -> None:
        """Open a run in one of its areas; those of another run are closed."""
        if self.context.run is None or self.context.run.path != run.path or self.context.clock:
            self.context = replace(self.context, run=run, clock=None)
            await self._renew([each.name for each in AREAS if each.of_run], name)
        else:
            await self.open_area(name)

    async def open_log(self, place: "LogPlace") -> None:
        """Show what the open run's logs tell of something."""
        from rftui.tui.screens.logs import LogsScreen

        await self.open_area("logs")
        if isinstance(self.screen, LogsScreen):
            self.screen.show_place(place)

    async def open_plan(self, preset: str) -> None:
        """Open the plan of a preset or YAML file, in place of the one before; asks if that is not saved."""
        unsaved = self._unsaved()
        if not unsaved:
            await self._plan(preset)
            return
        from rftui.tui.screens.confirm import ConfirmScreen

        def answered(forget: bool | None) -> None:
            self.call_later(*((self._plan, preset) if forget else (self.open_area, "plan")))

        lost = f"{unsaved} value{'s' * (unsaved > 1)} that you gave to the open plan would be lost."
        ask = ConfirmScreen(f"Open {preset}?", [lost], "Open it, and forget them", "Stay with the open plan")
        async with self._moving:
            await self.push_screen(ask, answered)

    def _unsaved(self) -> int:
        """How many values of the open plan no file holds."""
        if "plan" not in self._opened:
            return 0
        from rftui.tui.screens.plan import PlanScreen

        plan = self.get_screen_stack(self._opened["plan"])[0]
        return plan.unsaved if isinstance(plan, PlanScreen) else 0

    async def _plan(self, preset: str) -> None:
        self.context = replace(self.context, preset=preset)
        await self._renew(["plan"], "plan")

    async def _renew(self, names: list[str], then: str) -> None:
        """Forget the screens of these areas, and go to one."""
        old = [self._opened.pop(name) for name in names if name in self._opened]
        await self.open_area(then)
        for mode in old:
            if not self._leaving:
                await self.remove_mode(mode)

    @property
    def _leaving(self) -> bool:
        """Whether the program ends: its screens are being closed then, and none may come or go."""
        return self.return_code is not None

    def _add(self, wanted: Area) -> str:
        context = self.context
        self._modes_made += 1
        mode = f"{wanted.name}:{self._modes_made}"
        shown = REPLAY if wanted.name == REPLAY.name and context.clock else wanted
        self.add_mode(mode, lambda: shown.make(context))
        self._opened[wanted.name] = mode
        return mode

    async def action_area(self, name: str) -> None:
        """Go to an area, but not from under a dialog."""
        if self.screen.is_modal:
            return
        await self.open_area(name)

    async def action_command_palette(self) -> None:  # type: ignore[override]  # Textual awaits any action
        """Open the palette, which must not be mounted over another area than it was opened on."""
        if not isinstance(self.screen, Palette):
            async with self._moving:
                await self.push_screen(Palette())

    def action_leave(self) -> None:
        """End the program, and say that a run goes on without it."""
        message = None
        run = self.context.run
        if run is not None and _goes_on(run):
            message = Text(
                f"{run.name} keeps running\n  watch: rft watch {run.in_commands}\n"
                f"  stop:  rft stop {run.in_commands}"
            )
        self.exit(message=message)

    def on_resize(self) -> None:
        """A terminal that was resized shows anything, also when it has its old size again."""
        self.action_redraw()

    def on_app_focus(self) -> None:
        """Somebody comes back to the terminal, and meanwhile others may have written to it."""
        self.action_redraw()

    def action_redraw(self) -> None:
        """Send the whole screen again: others write to a terminal too."""
        if self.terminal is not None:
            self.terminal.forget()
        self.refresh()

    def action_help(self) -> None:
        """Show the keys of this screen."""
        if not isinstance(self.screen, HelpScreen):
            self.push_screen(HelpScreen(self._keys()))

    def _keys(self) -> tuple[Key, ...]:
        """Of this screen; of a dialog those that work in it."""
        keys: tuple[Key, ...] = getattr(self.screen, "KEYS", ())
        if not self.screen.is_modal:
            return (*keys, *APP_KEYS)
        told = {key.action: key for key in keys}
        for _, binding, _, tooltip in self.screen.active_bindings.values():
            if binding.description and binding.action not in told:
                help, shown = tooltip or binding.description.lower(), self.get_key_display(binding)
                told[binding.action] = Key(binding.key, binding.action, binding.description, help, shown)
        return tuple(told.values())


def _goes_on(run: RunDir) -> bool:
    from rftui.runs.view import goes_on

    return goes_on(run, unreadable=False)


def run_app(
    runs_dir: Path, run: RunDir | None = None, *, settings: Settings | None = None, speed: float | None = None
) -> int:
    """Show the program until it is left; its exit code."""
    app = RftuiApp(runs_dir, run, settings=settings, speed=speed)
    app.run()
    return app.return_code or 0
