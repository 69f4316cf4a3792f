"""Quantities in words, alike in everything a plan says."""

from collections.abc import Mapping

from engine.config.values import show

GB = 10**9


def gb(size: int | float) -> str:
    """Bytes as GB of 1e9."""
    return f"{size / GB:.1f} GB"


def count(number: int) -> str:
    """A number of parameters: `7.62 B`, `494 M`, `625 k`."""
    for size, unit in ((10**9, "B"), (10**6, "M"), (10**3, "k")):
        if number >= size:
            return f"{number / size:.3g} {unit}"
    return str(number)


def percent(change: float) -> str:
    """A relative change: `+14 %`."""
    return f"{change:+.0%}".replace("%", " %").replace("-", "−")


def flag(key: str) -> str:
    """`section.name` → `name`."""
    return key.partition(".")[2]


def setting(key: str, value: object) -> str:
    """`name = value`."""
    return f"{flag(key)} = {show(value)}"


def settings(values: Mapping[str, object]) -> str:
    """Several settings, separated by commas."""
    return ", ".join(setting(key, value) for key, value in values.items())


def duration(seconds: float) -> str:
    """Seconds, minutes, hours or days, whichever reads best."""
    for limit, unit, size in ((120, "s", 1), (7200, "min", 60), (172_800, "h", 3600)):
        if seconds < limit:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds / 86_400:.3g} days"
