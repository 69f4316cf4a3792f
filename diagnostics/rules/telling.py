"""What a rule over another trainer's configuration is, and how it says what it found."""

import json
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from diagnostics.rules.foreign import Foreign
from diagnostics.rules.job import MOST, Job
from engine.findings import Finding, Fix, Severity

Rule = Callable[[Foreign, Job], Iterator[Finding]]
ORDER = {"error": 0, "warning": 1, "info": 2}


def run(rules: Iterable[Rule], foreign: Foreign, job: Job) -> list[Finding]:
    """All that the rules find, errors first."""
    return in_order([finding for rule in rules for finding in rule(foreign, job)])


def in_order(findings: Iterable[Finding]) -> list[Finding]:
    """Errors, warnings, information; otherwise as they came."""
    return sorted(findings, key=lambda finding: ORDER[finding.severity])


def told(
    foreign: Foreign,
    id: str,
    severity: Severity,
    setting: str,
    cause: str,
    *fixes: Fix,
    also: Sequence[str] = (),
    evidence: Sequence[str] = (),
) -> Finding:
    """A finding about `setting`, with the lines that give it and the settings in `also`."""
    lines = [line for name in (setting, *also) if (line := place(foreign, name))]
    return Finding(id, severity, cause, (*lines, *evidence), fixes, setting)


def place(foreign: Foreign, setting: str) -> str:
    """`run.sh line 12: data.train_batch_size = 1000`; empty where the file does not give it."""
    found = foreign.settings.get(setting)
    if found is None:
        return ""
    where = f"{Path(foreign.path).name} line {found.line}: " if found.line else ""
    return f"{where}{setting} = {shown(found.value)}"


def use(foreign: Foreign, setting: str, value: Any, why: str = "") -> Fix:
    """The fix that gives a setting another value, spelled as the framework takes it."""
    text = f"set {setting} to {shown(value)}" + (f", {why}" if why else "")
    return Fix(text, command=spelled(foreign, setting, value))


def drop(foreign: Foreign, setting: str, why: str = "") -> Fix:
    """The fix that takes a setting out."""
    found = foreign.settings.get(setting)
    line = f" (line {found.line})" if found and found.line else ""
    return Fix(f"leave out {setting}{line}" + (f", {why}" if why else ""))


def spelled(foreign: Foreign, setting: str, value: Any) -> str:
    """`a.b=8` for Hydra, `--name 8` for flags, `a.b: 8` in YAML, `name=8` in Python."""
    if Path(foreign.path).suffix in (".yaml", ".yml"):
        return f"{setting}: {shown(value)}"
    if foreign.framework == "verl":
        return f"{setting}={shown(value)}"
    if Path(foreign.path).suffix == ".py":
        return f"{setting}={value!r}"
    if value is True:
        return f"--{setting}"
    return f"--{setting} {shown(value)}"


def shown(value: Any) -> str:
    """A value as one would write it."""
    if value is None or isinstance(value, bool | list | dict):
        return json.dumps(value, ensure_ascii=False, default=str)
    return f"{value:g}" if isinstance(value, float) else str(value)


def given(foreign: Foreign, *settings: str) -> list[str]:
    """Those of `settings` that the file gives."""
    return [setting for setting in settings if setting in foreign.settings]


def number(foreign: Foreign, setting: str, default: float | None = None) -> float | None:
    """A setting as a finite number; None where it is none, such as a variable that nobody set."""
    value = foreign.get(setting, default)
    if isinstance(value, bool):
        return None
    try:
        found = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return found if math.isfinite(found) else None


def count(foreign: Foreign, setting: str, default: int | None = None) -> int | None:
    """A setting as a whole number that a job can have; 0 and less are left to the rules."""
    value = number(foreign, setting, default)
    return int(value) if value is not None and value.is_integer() and abs(value) <= MOST else None


def flag(foreign: Foreign, setting: str, default: bool = False) -> bool:
    """A setting as a switch: true, "True", "yes", 1."""
    value = foreign.get(setting, default)
    if isinstance(value, str):
        return value.strip().lower() in ("true", "yes", "on", "1")
    return bool(value)


def text(foreign: Foreign, setting: str, default: str = "") -> str:
    """A setting as text; null counts as empty."""
    value = foreign.get(setting, default)
    return "" if value is None else str(value)


def divisors(number: int) -> list[int]:
    """All divisors, in order."""
    low = [d for d in range(1, math.isqrt(max(0, number)) + 1) if number % d == 0]
    return [*low, *(number // d for d in reversed(low) if d * d != number)]


def near(value: int, step: int, most: int | None = None) -> list[int]:
    """The multiples of `step` next to `value`: below and above, positive, up to `most`."""
    below, above = value // step * step, -(-value // step) * step
    return [each for each in dict.fromkeys((below, above)) if each > 0 and (most is None or each <= most)]
