"""Which checks are to be run: by id, by its beginning (`gpu`, `cfg.mem`), by tier."""

import difflib
from collections.abc import Sequence

from diagnostics.doctor.check import Check
from engine.findings import Finding, FindingsError, Fix


def selected(checks: Sequence[Check], names: Sequence[str], *, deep: bool, active: bool) -> tuple[Check, ...]:
    """The checks whose ids are `names` or begin with one of them, by default all; in the order of `checks`.

    A check that is named by its whole id is run whatever its tier. Raises FindingsError for unknown names.
    """
    unknown = [name for name in names if not any(_belongs(check, name) for check in checks)]
    if unknown:
        known = [*dict.fromkeys(check.category for check in checks), *(check.id for check in checks)]
        raise FindingsError([_unknown(name, known) for name in unknown])
    tiers = {"fast", *(["deep"] if deep else []), *(["active"] if active else [])}
    chosen = tuple(
        check
        for check in checks
        if check.id in names or (check.tier in tiers and (not names or _named(check, names)))
    )
    if not chosen:
        raise FindingsError([_other_tier(names, [check for check in checks if _named(check, names)])])
    return chosen


def _named(check: Check, names: Sequence[str]) -> bool:
    return any(_belongs(check, name) for name in names)


def _belongs(check: Check, name: str) -> bool:
    return check.id == name or check.id.startswith(f"{name.rstrip('.')}.")


def _unknown(name: str, known: Sequence[str]) -> Finding:
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    fixes = [Fix(f"did you mean {near[0]}?")] if near else []
    return Finding(
        id="doctor.unknown-check",
        severity="error",
        cause=f"there is no check and no category {name!r}.",
        fixes=(*fixes, Fix("see which there are", command="rft doctor --list")),
    )


def _other_tier(names: Sequence[str], checks: Sequence[Check]) -> Finding:
    tiers = dict.fromkeys(f"--{check.tier}" for check in checks)
    return Finding(
        id="doctor.other-tier",
        severity="error",
        cause=f"no check of {', '.join(names)} is quick: nothing would be checked.",
        evidence=tuple(f"{check.id}: {check.title}" for check in checks),
        fixes=(Fix("ask for them", command=f"rft doctor {' '.join([*names, *tiers])}"),),
    )
