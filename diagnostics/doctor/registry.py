"""All checks, in the order in which they are shown."""

import importlib
import itertools
from collections.abc import Sequence

from diagnostics.doctor.check import Check

MODULES = (
    *("gpu", "gpu_kind", "gpu_health", "gpu_joins", "driver", "memory", "machine", "storage"),
    *("network", "software", "software_deep", "environment"),
    *("config_batch", "config_model", "config_memory", "config_data", "active"),
)
"""Of `diagnostics.doctor.checks`; each has its checks in `CHECKS`."""


def all_checks(modules: Sequence[str] = MODULES) -> tuple[Check, ...]:
    """The checks of `modules`. Importing them imports no package that they look at."""
    found = [importlib.import_module(f"diagnostics.doctor.checks.{name}").CHECKS for name in modules]
    return tuple(itertools.chain.from_iterable(found))
