"""No check of the doctor without a recorded machine on which it finds something."""

import importlib

import pytest

from diagnostics.doctor.check import Check
from diagnostics.doctor.registry import all_checks
from rftui.cli.doctor_report import CATEGORIES

MODULES = ("gpu", "host", "network", "software", "environment", "active")
TRIED = {
    id
    for name in MODULES
    for id, *_ in importlib.import_module(f"tests.diagnostics.doctor.test_{name}_checks").BAD
}


def test_ids_are_unique_and_of_a_known_category() -> None:
    ids = [check.id for check in all_checks()]
    assert len(ids) == len(set(ids))
    assert {check.category for check in all_checks()} == set(CATEGORIES)


OTHERS = [check for check in all_checks() if check.category != "cfg"]  # these: test_config_checks.py


@pytest.mark.parametrize("check", OTHERS, ids=lambda check: check.id)
def test_every_check_has_found_something_on_a_recorded_machine(check: Check) -> None:
    assert check.id in TRIED
