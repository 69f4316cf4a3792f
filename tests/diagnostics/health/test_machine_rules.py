"""What machine and GPUs run out of, or suffer from."""

from collections.abc import Iterator
from typing import Any

import pytest

from engine.events import AnyEvent, Gpu, Host, Memory
from tests.diagnostics.health.said import T0, header, ids, monitor

GB = 10**9
NOW = T0 + 200


def host(**changed: Any) -> Host:
    values: dict[str, Any] = {
        "host": "node",
        "cpu": 50.0,
        "memory_used": 50 * GB,
        "memory_total": 100 * GB,
        "disk_free": 500 * GB,
        "disk_total": 1000 * GB,
        "oom_kills": 2,
        "shm_free": 60 * GB,
        "shm_total": 64 * GB,
    }
    return Host(t=NOW, **(values | changed))


def samples(count: int, index: int = 0, **changed: Any) -> Iterator[Gpu]:
    values: dict[str, Any] = {
        "host": "node",
        "index": index,
        "name": "NVIDIA H100",
        "memory_used": 40 * GB,
        "memory_total": 80 * GB,
        "utilization": 99.0,
        "power": 600.0,
        "power_limit": 700.0,
        "throttled": (),
        "ecc_errors": 1,
    }
    for number in range(count):
        yield Gpu(t=T0 + 2 * number, **(values | changed))


def test_a_healthy_machine_raises_nothing() -> None:
    assert ids(monitor(), NOW, [host(), *samples(60), *samples(60, 1)]) == set()


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"memory_used": 95 * GB}, "memory.host-nearly-full"),
        ({"memory_limit": 40 * GB, "memory_left": 2 * GB}, "memory.host-nearly-full"),
        ({"oom_kills": 3}, "memory.oom-killed"),
        ({"shm_free": GB}, "memory.shm-nearly-full"),
        ({"disk_free": 20 * GB}, "memory.disk-nearly-full"),
    ],
)
def test_what_a_host_runs_out_of(changed: dict[str, int], expected: str) -> None:
    watch = monitor()
    watch.take([host()])
    assert watch.look(NOW) == []
    assert ids(watch, NOW, [host(**changed)]) == {expected}
    assert (ids(watch, NOW, [host()]) == set()) is True


def test_the_containers_limit_counts_where_it_is_smaller() -> None:
    watch = monitor()
    watch.take([host(memory_limit=40 * GB, memory_left=2 * GB)])
    (found,) = watch.look(NOW)
    assert found.cause.startswith("node uses 38.0 of 40.0 GB, 95% of the container's limit")


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ([*samples(5, throttled=("heat (hardware)",))], {"gpu.throttled"}),
        ([*samples(4, throttled=("heat (hardware)",))], set()),
        ([*samples(9, throttled=("power limit",))], set()),
        ([*samples(5), *samples(1, ecc_errors=2)], {"gpu.ecc-errors"}),
        ([*samples(5), *samples(3, memory_used=None)], {"gpu.lost"}),
        ([*samples(3, memory_used=None)], set()),  # a GPU that never told
        ([*samples(5, memory_used=79 * GB)], {"memory.device-nearly-full"}),
        ([*samples(30, power=250.0), *samples(30, 1, power=250.0), *samples(30, 2)], {"gpu.spinning"}),
        ([*samples(30, power=250.0), *samples(30, 1)], set()),  # alone it may be memory-bound
    ],
)
def test_what_gpus_suffer_from(events: list[AnyEvent], expected: set[str]) -> None:
    assert ids(monitor(), NOW, events) == expected


def test_the_one_gpu_that_does_not_spin_is_the_suspect() -> None:
    watch = monitor()
    watch.take([*samples(30, power=250.0), *samples(30, 1, power=250.0), *samples(30, 2, utilization=0.0)])
    assert "; GPU 2 of node does not, and is the first suspect" in watch.look(NOW)[0].cause


def memory(sizes: list[int]) -> Iterator[AnyEvent]:
    yield header(0)
    for step, size in enumerate(sizes, 1):
        yield Memory(t=NOW, rank=0, step=step, phase="update", rss=size, rss_peak=size)


def test_memory_that_grows_step_after_step_is_told_with_what_is_left() -> None:
    watch = monitor()
    watch.take([host(), *memory([10 * GB + step * GB // 10 for step in range(20)])])
    (found,) = watch.look(NOW, live=False)
    assert found.id == "memory.grows" and "from 10.20 to 11.70 GB" in found.cause
    assert found.evidence == ("50.0 GB are left on node: 667 steps",)


@pytest.mark.parametrize(
    "sizes",
    [
        [10 * GB + (step % 5) * GB for step in range(40)],
        [10 * GB] * 30 + [20 * GB] * 10,
        [10 * GB + step * 10**6 for step in range(40)],
        [10 * GB + step * GB // 10 for step in range(15)],
    ],
)
def test_memory_that_varies_or_grew_once_is_no_leak(sizes: list[int]) -> None:
    watch = monitor()
    watch.take(memory(sizes))
    assert watch.look(NOW, live=False) == []
