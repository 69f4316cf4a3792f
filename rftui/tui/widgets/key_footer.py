"""The keys of a screen in its last row."""

from textual.screen import Screen
from textual.widgets import Footer


class KeyFooter(Footer):
    """Made anew only when its keys are others: that takes longer than all the rest of most screens."""

    def __init__(self, *, compact: bool = False) -> None:
        super().__init__(show_command_palette=False, compact=compact)
        self._keys: list[tuple[str, str, bool]] = []

    def bindings_changed(self, screen: Screen[object]) -> None:
        """Show other keys, if they are others."""
        if screen is not self.screen or not screen.app.app_focus:
            return
        keys = [
            (active.binding.key, active.binding.description, active.enabled)
            for active in screen.active_bindings.values()
            if active.binding.show
        ]
        if keys != self._keys:
            self._keys = keys
            super().bindings_changed(screen)
