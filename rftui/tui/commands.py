"""The command palette: areas, keys of the screen, runs, presets and themes, all by name."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, cast

from textual.actions import parse
from textual.command import DiscoveryHit, Hit, Hits, Provider
from textual.content import Content
from textual.dom import DOMNode

from rftui.runs.rundir import RunDir, names
from rftui.tui.areas import AREAS
from rftui.tui.keys import APP_KEYS, Key
from rftui.tui.screens.dialog import EVERYWHERE
from rftui.tui.themes import THEMES

if TYPE_CHECKING:
    from rftui.tui.app import RftuiApp

_NOT_OFFERED = ("app.area(", "command_palette", "app.command_palette")
"""Areas are offered by their names; the palette is open."""


class Command(NamedTuple):
    """A line of the palette. `offered`: it stands there before anything is typed."""

    name: str
    help: str
    run: Callable[[], Awaitable[object]]
    offered: bool = True


class RftCommands(Provider):
    """What can be done now."""

    async def startup(self) -> None:
        """Names of runs and presets, read in a thread."""
        self._named = await asyncio.to_thread(_names, self.rft)

    async def discover(self) -> Hits:
        """Everything but the many runs."""
        for command in self._commands():
            if command.offered:
                yield DiscoveryHit(Content(command.name), command.run, command.name, command.help)

    async def search(self, query: str) -> Hits:
        """Commands whose name or explanation has the letters of `query`."""
        matcher = self.matcher(query)
        for command in self._commands():
            score = max(matcher.match(command.name), matcher.match(command.help) * 0.8)
            if score > 0:
                shown = matcher.highlight(command.name)
                yield Hit(score, shown, command.run, command.name, command.help)

    @property
    def rft(self) -> "RftuiApp":
        """The program."""
        return cast("RftuiApp", self.app)

    def _commands(self) -> Iterator[Command]:
        rft = self.rft
        modal = self.screen.is_modal  # a dialog has to be answered before anything else is opened
        keys: tuple[Key, ...] = getattr(self.screen, "KEYS", ())
        node = self.focused or self.screen
        for key in _distinct((*keys, *(EVERYWHERE if modal else APP_KEYS))):
            target = _target(node, key)
            if target is not None and not key.action.startswith(_NOT_OFFERED):
                run = partial(rft.run_action, key.action, target)
                yield Command(key.label, f"{key.help}  ({key.name})", run)
        for area in () if modal else AREAS:
            if not area.of_run or rft.context.run is not None:
                yield Command(f"go to {area.name}", f"({area.key})", partial(rft.open_area, area.name))
        for theme in THEMES:
            run = partial(rft.run_action, f"app.look('{theme.name}')")
            yield Command(f"theme {theme.name}", "use these colours from now on", run)
        presets, runs = ([], []) if modal else self._named
        for preset in presets:
            yield Command(f"open preset {preset}", "plan it", partial(rft.open_plan, preset))
        for run_dir in runs:
            opened = partial(rft.open_run, run_dir)
            yield Command(f"open run {run_dir.name}", "watch it", opened, offered=False)


def _names(rft: "RftuiApp") -> tuple[list[str], list[RunDir]]:
    from presets import loader

    folder = rft.context.runs_dir
    return loader.names(), [RunDir(folder / name) for name in names(folder)]


def _distinct(keys: tuple[Key, ...]) -> Iterator[Key]:
    """Keys that do the same thing, once."""
    seen: set[str] = set()
    for key in keys:
        if key.action not in seen:
            seen.add(key.action)
            yield key


def _target(node: DOMNode, key: Key) -> DOMNode | None:
    """Whose action it is: of the pane with the focus, its screen, or the program; None if not now."""
    namespace, name, parameters = parse(key.action)
    nodes = [node.app] if namespace == "app" else [*node.ancestors_with_self, node.app]
    found = next((each for each in nodes if hasattr(each, f"action_{name}")), None)
    return found if found is not None and found.check_action(name, parameters) else None
