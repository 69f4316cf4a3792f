"""Keys as data: bindings, footer and the help screen all come from these tables, so they cannot disagree."""

from dataclasses import dataclass

from textual.binding import Binding, BindingType

from rftui.tui.areas import AREAS


@dataclass(frozen=True)
class Key:
    """One key: what it is called in the footer, and the sentence about it on the help screen."""

    key: str
    action: str
    label: str
    help: str
    shown: str | None = None
    """How the key is written, when not as its name."""
    footer: bool = True

    @property
    def name(self) -> str:
        """The key as written for people."""
        return self.shown or self.key


APP_KEYS = (
    *(Key(a.key, f"app.area('{a.name}')", a.name, f"go to {a.name}", footer=False) for a in AREAS),
    Key("q", "leave", "quit", "leave the program; a run keeps running"),
    Key("question_mark", "help", "help", "show these keys", shown="?"),
    Key("t", "next_theme", "theme", "next theme: dark, light, colour-blind", footer=False),
    Key("ctrl+p", "command_palette", "palette", "find a command by name", footer=False),
)

LIVE_KEYS = (
    Key("space", "pause", "pause", "stop painting, go on reading; again to catch up"),
    Key("z", "zoom", "zoom", "one chart or the log over the whole screen; esc goes back"),
    Key("comma", "page(-1)", "page", "previous page of charts", shown=","),
    Key("full_stop", "page(1)", "page", "next page of charts", shown="."),
    Key("s", "smooth", "smooth", "moving average: 0.6, 0.9, off; the raw curve stays behind"),
    Key("l", "log_ranks", "log", "log of rank 0, or of all ranks and torchrun", footer=False),
    Key("tab", "app.focus_next", "next pane", "go to the next chart or the log", footer=False),
    Key("shift+tab", "app.focus_previous", "previous pane", "go to the previous one", footer=False),
    Key("K", "stop", "stop", "stop the run: after this step, or at once", shown="K"),
    Key("escape", "back", "runs", "out of the zoom, else back to the list of runs", shown="esc"),
)

LOG_KEYS = (
    Key("up", "scroll(1)", "up", "log with focus: one line back", footer=False),
    Key("down", "scroll(-1)", "down", "log with focus: one line on", footer=False),
    Key("pageup", "scroll_page(1)", "page up", "log with focus: one screen back", footer=False),
    Key("pagedown", "scroll_page(-1)", "page down", "log with focus: one screen on", footer=False),
    Key("end", "follow", "follow", "log with focus: follow the end again", footer=False),
)

PICKER_KEYS = (
    Key("enter", "open", "open", "open the run"),
    Key("r", "refresh", "refresh", "read the folder of runs again now"),
)


def bindings(keys: tuple[Key, ...]) -> list[BindingType]:
    """Textual bindings of a table."""
    paging = Binding.Group("page", compact=True)
    return [
        Binding(
            key.key,
            key.action,
            key.label,
            show=key.footer,
            key_display=key.shown,
            tooltip=key.help,
            group=paging if key.label == "page" else None,
        )
        for key in keys
    ]
