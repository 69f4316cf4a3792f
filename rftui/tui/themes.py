"""The looks: dark, light, high contrast, for colour-blind eyes (Okabe and Ito, 2008), without colours."""

import os
from collections.abc import Mapping

from textual.theme import Theme

HUES = 6
"""How many `$hue-…` colours there are for curves and phases."""


def _hues(*colours: str) -> dict[str, str]:
    return {f"hue-{number}": colour for number, colour in enumerate(colours, 1)}


DARK = Theme(
    name="rft-dark",
    primary="#5eb1f0",
    secondary="#a78bfa",
    accent="#f5b14c",
    success="#6fcf8b",
    warning="#f5b14c",
    error="#f2777a",
    foreground="#d6dde8",
    background="#0e1219",
    surface="#141a24",
    panel="#1c2432",
    dark=True,
    variables=_hues("#4fd6be", "#f5b14c", "#a78bfa", "#5eb1f0", "#f28fad", "#9ccf6b")
    | {"frame": "#303b4d", "quiet": "#8390a5", "grid": "#242d3b", "ink": "#0e1219"},
)

LIGHT = Theme(
    name="rft-light",
    primary="#1d5fa8",
    secondary="#6b45c6",
    accent="#a85b00",
    success="#1e7a3c",
    warning="#a85b00",
    error="#b3261e",
    foreground="#252b34",
    background="#faf9f6",
    surface="#f1efe9",
    panel="#e6e3da",
    dark=False,
    variables=_hues("#0c7d6d", "#a85b00", "#6b45c6", "#1d5fa8", "#b0336b", "#4b7a12")
    | {"frame": "#c4c0b4", "quiet": "#6a6f78", "grid": "#e0dcd2", "ink": "#ffffff"},
)

COLOUR_BLIND = Theme(
    name="rft-cb",
    primary="#56b4e9",
    secondary="#cc79a7",
    accent="#f0e442",
    success="#56b4e9",
    warning="#e69f00",
    error="#ff8a4c",
    foreground="#e4e4e4",
    background="#101010",
    surface="#181818",
    panel="#242424",
    dark=True,
    variables=_hues("#56b4e9", "#e69f00", "#cc79a7", "#f0e442", "#2bb58f", "#d9d9d9")
    | {"frame": "#454545", "quiet": "#9a9a9a", "grid": "#2c2c2c", "ink": "#101010"},
)

MONO = Theme(
    name="rft-mono",
    primary="#ffffff",
    secondary="#ffffff",
    accent="#ffffff",
    success="#ffffff",
    warning="#ffffff",
    error="#ffffff",
    foreground="#ffffff",
    background="#000000",
    surface="#000000",
    panel="#262626",
    dark=True,
    variables=_hues(*["#ffffff"] * HUES)
    | {"frame": "#9a9a9a", "quiet": "#bcbcbc", "grid": "#444444", "ink": "#000000"},
)

CONTRAST = Theme(
    name="rft-contrast",
    primary="#66d9ff",
    secondary="#ffb3ff",
    accent="#ffe100",
    success="#5cff7a",
    warning="#ffb000",
    error="#ff7a7a",
    foreground="#ffffff",
    background="#000000",
    surface="#000000",
    panel="#1a1a1a",
    dark=True,
    variables=_hues("#5cfff0", "#ffb000", "#c9a6ff", "#66d9ff", "#ff9ecf", "#a6ff4d")
    | {"frame": "#ffffff", "quiet": "#d0d0d0", "grid": "#5a5a5a", "ink": "#000000"},
)
"""Words of every colour stand out from the background by at least 7 to 1 (WCAG 2.1, level AAA)."""

THEMES = (DARK, LIGHT, CONTRAST, COLOUR_BLIND, MONO)
DEFAULTS = DARK.variables
"""What `$hue-…`, `$frame`, `$quiet`, `$grid` and `$ink` are in themes that are not ours."""


def theme_name(wanted: str, environ: Mapping[str, str] = os.environ) -> str:
    """The theme of the settings; `auto` is without colours where NO_COLOR is set, else dark."""
    if wanted != "auto":
        return wanted
    return MONO.name if environ.get("NO_COLOR") else DARK.name
