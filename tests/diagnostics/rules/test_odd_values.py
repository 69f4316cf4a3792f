"""Odd values in any setting are told or left alone: nothing that a file says makes a check fall over."""

import random
from pathlib import Path
from typing import Any

import msgspec
import pytest

from diagnostics.places import described_place
from diagnostics.rules.checking import check
from diagnostics.rules.convert import convert
from diagnostics.rules.foreign import Setting
from diagnostics.rules.read import open_source, read
from diagnostics.rules.rulesets import job_of
from diagnostics.rules.trinity_defaults import DEFAULTS as TRINITY
from diagnostics.rules.trl_defaults import DEFAULTS as TRL
from diagnostics.rules.verl_defaults import DEFAULTS as VERL

CONFIGS = Path(__file__).parent / "configs"
ODD: tuple[Any, ...] = (
    0,
    -1,
    1,
    3,
    7.5,
    10**12,
    "",
    "abc",
    "${X}",
    None,
    True,
    [],
    [1],
    {},
    "nan",
    "inf",
    float("nan"),
)
KNOWN = {"verl": VERL, "trl": TRL, "trinity": TRINITY}


@pytest.mark.parametrize("name", sorted(path.name for path in CONFIGS.iterdir() if "_" in path.stem))
def test_odd_values(name: str) -> None:
    if name in ("shared_model.yaml", "trl_zero3.yaml"):
        pytest.skip("a part of another one")
    (foreign,) = read(open_source(CONFIGS / name))
    random.seed(name)
    place = described_place("8xA100-80")
    names = sorted({*foreign.settings, *KNOWN.get(foreign.framework, {})})
    for _ in range(20):
        odd = {each: Setting(random.choice(ODD), 1) for each in random.sample(names, min(3, len(names)))}
        changed = msgspec.structs.replace(
            foreign, settings={**foreign.settings, **odd}, ranks=random.choice((foreign.ranks, None, 1, 7))
        )
        found = check(changed, place)
        assert all(finding.cause for finding in found.findings)
        convert(changed, job_of(changed))
