"""The terminal driver: Textual's own, but what stands on the screen already is not sent again."""

import os
from threading import RLock
from typing import TYPE_CHECKING, Any

from textual.drivers.linux_driver import LinuxDriver

from rftui.tui.cells import Cells

if TYPE_CHECKING:
    from rftui.tui.app import RftuiApp

_BEGIN, _END = "\x1b[?2026h", "\x1b[?2026l"
"""Around a frame, for terminals that show it at once when it is complete."""


class SparingDriver(LinuxDriver):
    """Writes of each frame the cells that differ from what is there, in one piece; nothing for no change.

    The app is told which terminal it has.
    """

    def __init__(self, app: "RftuiApp", **options: Any) -> None:
        super().__init__(app, **options)
        self.cells_of = self._size_now()
        self.cells = Cells(self.cells_of.lines)
        self.held: list[str] | None = None
        """What has come of a frame that is not complete."""
        self.writing = RLock()
        """The thread that reads keys writes too; and so does a signal, amid a write of its own thread."""
        app.terminal = self

    def forget(self) -> None:
        """The terminal may show anything: all of the next frame is sent."""
        with self.writing:
            self.cells.forget()

    def write(self, data: str) -> None:
        """Write what `data` changes; a terminal that was resized may show anything."""
        with self.writing:
            size = self._size_now()
            if size != self.cells_of:
                self.cells_of, self.cells = size, Cells(size.lines)
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

    def _size_now(self) -> os.terminal_size:
        try:
            return os.get_terminal_size(self.fileno)
        except OSError:  # not a terminal
            return os.terminal_size((0, 0))
