"""Which checks are to be run: by id, by category, by tier."""

import difflib
from collections.abc import Sequence

from diagnostics.doctor.check import Check
from engine.findings import Finding, FindingsError, Fix


def selected(checks: Sequence[Check], names: Sequence[str], *, deep: bool, active: bool) -> tuple[Check, ...]:
    """The checks of these ids and categories, by default all; in the order of `checks`.

    A check that is named by its id is run whatever its tier. Raises FindingsError for unknown names.
    """
    categories = dict.fromkeys(check.category for check in checks)
    ids = {check.id for check in checks}
    unknown = [name for name in names if name not in ids and name.rstrip(".") not in categories]
    if unknown:
        raise FindingsError([_unknown(name, [*categories, *ids]) for name in unknown])
    tiers = {"fast", *(["deep"] if deep else []), *(["active"] if active else [])}
    wanted = {name.rstrip(".") for name in names}
    return tuple(
        check
        for check in checks
        if check.id in wanted or (check.tier in tiers and (not names or check.category in wanted))
    )


def _unknown(name: str, known: Sequence[str]) -> Finding:
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    fixes = [Fix(f"did you mean {near[0]}?")] if near else []
    return Finding(
        id="doctor.unknown-check",
        severity="error",
        cause=f"there is no check and no category {name!r}.",
        fixes=(*fixes, Fix("see which there are", command="rft doctor --list --deep --active")),
    )
