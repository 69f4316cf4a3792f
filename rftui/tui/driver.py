"""The terminal driver: Textual's own, but what stands on the screen already is not sent again."""

import os
from typing import Any

from textual.drivers.linux_driver import LinuxDriver

from rftui.tui.cells import Cells

_BEGIN, _END = "\x1b[?2026h", "\x1b[?2026l"
"""Around a frame, for terminals that show it at once when it is complete."""


class SparingDriver(LinuxDriver):
    """Writes of each frame the cells that differ from what is there, in one piece; nothing for no change."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.cells = Cells()
        self.cells_of = self._terminal_size()
        self.held: list[str] | None = None
        """What has come of a frame that is not complete."""

    def write(self, data: str) -> None:
        """Write what `data` changes; a terminal that was resized may show anything."""
        size = self._terminal_size()
        if size != self.cells_of:
            self.cells.forget()
            self.cells_of = size
        if data == _BEGIN:
            self.held = self.held or []
        elif data == _END:
            held, self.held = "".join(self.held or ()), None
            if held:
                super().write(_BEGIN + held + _END)
        elif self.held is not None:
            self.held.append(self.cells.spared(data))
        elif spared := self.cells.spared(data):
            super().write(spared)

    def _terminal_size(self) -> os.terminal_size | None:
        try:
            return os.get_terminal_size(self.fileno)
        except OSError:  # not a terminal
            return None
