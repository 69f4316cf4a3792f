"""The areas of the program, a key and a screen each; a screen's module is imported as it is opened."""

import importlib
from dataclasses import dataclass

from textual.screen import Screen

from rftui.tui.context import Context


@dataclass(frozen=True)
class Area:
    """One area. `of_run`: it shows the run that is open, and needs one."""

    key: str
    name: str
    module: str
    screen: str
    of_run: bool = False

    def make(self, context: Context) -> Screen[None]:
        """Its screen."""
        return getattr(importlib.import_module(self.module), self.screen)(context)


_SCREENS = "rftui.tui.screens"
AREAS = (
    Area("1", "home", f"{_SCREENS}.home", "HomeScreen"),
    Area("2", "plan", f"{_SCREENS}.plan", "PlanScreen"),
    Area("3", "live", f"{_SCREENS}.live", "LiveScreen", of_run=True),
    Area("4", "logs", f"{_SCREENS}.logs", "LogsScreen", of_run=True),
    Area("5", "samples", f"{_SCREENS}.samples", "SamplesScreen", of_run=True),
    Area("6", "runs", f"{_SCREENS}.runs", "RunsScreen"),
    Area("7", "doctor", f"{_SCREENS}.doctor", "DoctorScreen"),
)
REPLAY = Area("3", "live", f"{_SCREENS}.replay", "ReplayScreen", of_run=True)
"""In place of the live screen while a run is played again."""


def area(name: str) -> Area:
    """The area of that name."""
    return next(each for each in AREAS if each.name == name)
