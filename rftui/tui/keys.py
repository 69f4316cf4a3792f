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
    priority: bool = False
    """It is obeyed at once, so that keys typed right behind it find what it has done."""

    @property
    def name(self) -> str:
        """The key as written for people."""
        return self.shown or self.key


_LOOKS = "dark, light, high contrast, colour-blind, no colours"

APP_KEYS = (
    *(Key(a.key, f"app.area('{a.name}')", a.name, f"go to {a.name}", footer=False) for a in AREAS),
    Key("q", "leave", "quit", "leave the program; a run keeps running"),
    Key("question_mark", "help", "help", "show these keys", shown="?"),
    Key("colon", "command_palette", "palette", "find a command, a run or a preset by name", shown=":"),
    Key("ctrl+p", "command_palette", "palette", "the same, also while typing", footer=False),
    Key("t", "next_theme", "theme", f"next theme: {_LOOKS}; kept for the next time", footer=False),
    Key(
        "ctrl+l",
        "redraw",
        "redraw",
        "draw the screen again, when others wrote over it",
        footer=False,
        priority=True,
    ),
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
            priority=key.priority,
            key_display=key.shown,
            tooltip=key.help,
            group=paging if key.label == "page" else None,
        )
        for key in keys
    ]
