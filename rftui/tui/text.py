"""Numbers as people read them, and foreign text made harmless for a terminal."""

import re

from rftui.tui.scale import si

MAX_LINE = 4096
_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-_])")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2066-\u2069]")


def clean_line(line: str, most: int = MAX_LINE) -> str:
    """One printable line: no escape sequences or control characters, at most `most` characters.

    Of a progress bar that redraws itself with carriage returns only the last state is kept.
    """
    line = line[-most * 4 :] if "\r" in line else line[: most * 4]
    line = _ESCAPES.sub("", line.rstrip("\r\n").rpartition("\r")[2])
    return _CONTROL.sub("", line.expandtabs(4))[:most]


def duration(seconds: float) -> str:
    """A time span in its two largest units: `42ms`, `3.2s`, `48s`, `12m05s`, `3h41m`, `2d04h`."""
    if seconds < 0.0995:
        return f"{seconds * 1000:.0f}ms"
    if seconds < 10:
        return f"{seconds:.1f}s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    minutes, hours, days = whole // 60, whole // 3600, whole // 86400
    if hours == 0:
        return f"{minutes}m{whole % 60:02d}s"
    return f"{hours}h{minutes % 60:02d}m" if days == 0 else f"{days}d{hours % 24:02d}h"


def size(n_bytes: float) -> str:
    """Bytes in binary units with three digits: `512M`, `1.25G`, `121G`."""
    for limit, suffix in ((1 << 40, "T"), (1 << 30, "G"), (1 << 20, "M"), (1 << 10, "K")):
        if n_bytes >= limit:
            scaled = n_bytes / limit
            return f"{scaled:.3g}{suffix}" if scaled < 999.5 else f"{scaled:.0f}{suffix}"
    return f"{n_bytes:.0f}B"


def number(value: float | None) -> str:
    """A measured value in three digits; `n/a` when there is none."""
    if value is None or value != value:
        return "n/a"
    if value and abs(value) < 1e-3:
        mantissa, exponent = f"{value:.1e}".split("e")
        return f"{mantissa.removesuffix('.0')}e{int(exponent)}"
    return f"{value:.3f}" if abs(value) < 10 else si(value)


def percent(share: float | None) -> str:
    """A share as whole per cent; tiny ones as `<1%`."""
    if share is None or share != share:
        return "n/a"
    return "<1%" if 0 < share < 0.005 else f"{share:.0%}"
