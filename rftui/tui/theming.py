"""The program's colours: its themes, which of them is used, and that a choice is kept."""

from textual import work
from textual.app import App

from engine.findings import FindingsError
from rftui.tui.settings import keep_setting
from rftui.tui.themes import DEFAULTS, THEMES, theme_name


class ThemedApp(App[None]):
    """Knows our themes, and the keys that choose among them."""

    def offer_themes(self, chosen: str) -> None:
        """Have our themes to choose from, and use the one of that name in the settings."""
        for theme in THEMES:
            self.register_theme(theme)
        self.theme = theme_name(chosen)

    def get_theme_variable_defaults(self) -> dict[str, str]:
        """Our own colours in themes that do not define them."""
        return DEFAULTS

    def action_next_theme(self) -> None:
        """Next of our themes."""
        names = [theme.name for theme in THEMES]
        at = names.index(self.theme) if self.theme in names else -1
        self.action_look(names[(at + 1) % len(names)])

    def action_look(self, theme: str) -> None:
        """Use a theme, from now on."""
        self.theme = theme
        self.keep_theme(theme)

    @work(thread=True, group="settings", exit_on_error=False)
    def keep_theme(self, theme: str) -> None:
        """Write it into the user's settings."""
        try:
            keep_setting("theme", theme)
        except FindingsError as error:
            self.notify(f"not kept: {error.findings[0].cause}", severity="warning", markup=False)
