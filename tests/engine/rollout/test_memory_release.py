"""Training goes on only when the engine's memory has arrived."""

import pytest

from engine.findings import FindingsError
from engine.rollout.memory_release import GIB, wait_for_release


def test_it_waits_until_the_memory_is_there() -> None:
    free = iter([10, 10, 14, 19, 30])
    wait_for_release(lambda: next(free) * GIB, before=10 * GIB, released=10 * GIB, every_s=0)
    assert next(free, None) is None, "19 of 20 GiB are not all of it"


def test_memory_that_does_not_come_back_is_a_finding() -> None:
    with pytest.raises(FindingsError) as error:
        wait_for_release(lambda: 12 * GIB, before=10 * GIB, released=8 * GIB, timeout_s=0.01, every_s=0)
    (finding,) = error.value.findings
    assert finding.id == "engine.memory-not-released"
    assert "2.00 of its 8.00 GiB" in finding.cause
