"""Running checks: limits, crashes, needs, order, what was found in which tier, exit codes."""

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from diagnostics.doctor.check import Answer, CannotCheck, Check, DoesNotApply, Ok, Result
from diagnostics.doctor.host import Host
from diagnostics.doctor.recorded import Recorded, RecordedHost
from diagnostics.doctor.runner import exit_code, run_checks
from diagnostics.doctor.select import selected
from engine.findings import Finding, FindingsError, Severity
from tests.diagnostics.doctor.eight_h100 import EIGHT_H100

HOST = RecordedHost(EIGHT_H100)


def saying(said: str) -> Callable[[Host], Answer]:
    return lambda host: Ok(said)


def raising(error: Exception) -> Callable[[Host], Answer]:
    def run(host: Host) -> Answer:
        raise error

    return run


def finding(*severities: Severity) -> Callable[[Host], Answer]:
    return lambda host: tuple(Finding("a.b", severity, "it is so.") for severity in severities)


def one(run: Callable[[Host], Answer], host: Host = HOST, **fields: Any) -> Result:
    (result,) = run_checks([Check("a.b", "title", "fast", run, **fields)], host)
    return result


def test_a_check_that_crashes_is_unchecked_with_the_error() -> None:
    result = one(raising(ZeroDivisionError("division by zero")))
    assert (result.status, result.said) == (
        "unchecked",
        "the check itself failed: ZeroDivisionError: division by zero",
    )


def test_a_check_that_cannot_look_is_unchecked_and_one_that_does_not_apply_is_not() -> None:
    assert one(raising(CannotCheck("no permission"))).status == "unchecked"
    assert one(raising(DoesNotApply("one GPU"))).status == "not-applicable"


def test_a_check_without_answer_is_unchecked() -> None:
    assert one(lambda host: ()).status == "unchecked"


def test_what_is_not_recorded_is_never_a_pass() -> None:
    result = one(lambda host: Ok(str(host.read("/proc/cpuinfo"))))
    assert (result.status, result.said) == ("unchecked", "read /proc/cpuinfo: not recorded")
    assert one(saying("fine"), RecordedHost(Recorded()), needs=("gpus",)).status == "unchecked"


def test_one_check_that_hangs_holds_up_no_other_and_is_unchecked() -> None:
    release = threading.Event()

    def hang(host: Host) -> Answer:
        release.wait(30)
        return Ok("late")

    checks = [Check("a.hangs", "t", "fast", hang, limit_s=0.3), Check("a.works", "t", "fast", saying("fine"))]
    started = time.monotonic()
    results = run_checks(checks, HOST)
    release.set()
    assert time.monotonic() - started < 2
    assert [(r.id, r.status) for r in results] == [("a.hangs", "unchecked"), ("a.works", "ok")]
    assert results[0].said == "it took more than 0.3 s"


def test_a_late_answer_does_not_replace_the_verdict() -> None:
    slow = Check("a.slow", "t", "fast", lambda host: time.sleep(0.2) or Ok("late"), limit_s=0.1)
    later = Check("a.later", "t", "fast", lambda host: time.sleep(0.4) or Ok("fine"))
    assert [r.status for r in run_checks([slow, later], HOST)] == ["unchecked", "ok"]


def test_checks_run_side_by_side_and_tiers_one_after_the_other() -> None:
    together = threading.Barrier(2, timeout=5)
    order: list[str] = []

    def meet(host: Host) -> Answer:
        together.wait()
        order.append("fast")
        return Ok("met")

    checks = [
        Check("a.deep", "t", "deep", lambda host: order.append("deep") or Ok("d")),
        Check("a.one", "t", "fast", meet),
        Check("a.two", "t", "fast", meet),
    ]
    told: list[str] = []
    results = run_checks(checks, HOST, lambda result: told.append(result.id))
    assert order == ["fast", "fast", "deep"]
    assert [r.id for r in results] == ["a.deep", "a.one", "a.two"]
    assert sorted(told) == ["a.deep", "a.one", "a.two"]
    assert told[-1] == "a.deep"


def test_active_checks_never_run_at_the_same_time() -> None:
    busy = threading.Lock()

    def alone(host: Host) -> Answer:
        assert busy.acquire(blocking=False)
        time.sleep(0.05)
        busy.release()
        return Ok("alone")

    checks = [Check(f"a.{i}", "t", "active", alone) for i in range(3)]
    assert [r.status for r in run_checks(checks, HOST)] == ["ok"] * 3


def test_all_missing_needs_are_told() -> None:
    bare = RecordedHost(
        EIGHT_H100.but(
            files={"/proc/1/cgroup": "0::/\n"}, globs={"/.dockerenv": (), "/run/.containerenv": ()}
        )
    )
    result = one(
        saying("fine"), bare, needs=("vllm", "config", "container", "infiniband", "gpus", "nvidia", "torch")
    )
    assert result.status == "not-applicable"
    assert result.said == (
        "vllm is not installed; no configuration was given (--preset or --config); this is not a container; "
        "there is no InfiniBand"
    )


def test_a_container_is_told_by_its_file_or_its_control_group() -> None:
    globs: dict[str, tuple[str, ...]] = {"/.dockerenv": ("/.dockerenv",)}
    assert one(saying("fine"), RecordedHost(EIGHT_H100.but(globs=globs)), needs=("container",)).status == "ok"
    globs = {"/.dockerenv": (), "/run/.containerenv": ()}
    pod = EIGHT_H100.but(globs=globs, files={"/proc/1/cgroup": "0::/kubepods.slice/x\n"})
    assert one(saying("fine"), RecordedHost(pod), needs=("container",)).status == "ok"


@pytest.mark.parametrize(
    ("severities", "status"),
    [(("info", "error", "warning"), "error"), (("info", "warning"), "warning"), (("info",), "info")],
)
def test_the_worst_finding_is_the_status(severities: tuple[Severity, ...], status: str) -> None:
    assert one(finding(*severities)).status == status


def result(id: str, status: Any, essential: bool = False) -> Result:
    return Result(id=id, title="t", tier="fast", status=status, essential=essential)


@pytest.mark.parametrize(
    ("results", "strict", "code"),
    [
        ([result("gpu.a", "ok"), result("gpu.b", "info"), result("gpu.c", "not-applicable")], True, 0),
        ([result("gpu.a", "warning")], False, 0),
        ([result("gpu.a", "warning")], True, 1),
        ([result("gpu.a", "unchecked")], True, 0),
        ([result("gpu.a", "unchecked", essential=True)], False, 3),
        ([result("gpu.a", "error"), result("gpu.b", "warning")], True, 3),
        ([result("cfg.a", "error")], False, 2),
        ([result("cfg.a", "error"), result("gpu.a", "error")], False, 2),
    ],
)
def test_exit_codes(results: list[Result], strict: bool, code: int) -> None:
    assert exit_code(results, strict=strict) == code


CHECKS = [
    Check("gpu.a", "t", "fast", saying("")),
    Check("gpu.mem.b", "t", "fast", saying("")),
    Check("gpu.deep", "t", "deep", saying("")),
    Check("comm.all", "t", "active", saying("")),
]


@pytest.mark.parametrize(
    ("names", "deep", "active", "expected"),
    [
        ([], False, False, ["gpu.a", "gpu.mem.b"]),
        ([], True, True, ["gpu.a", "gpu.mem.b", "gpu.deep", "comm.all"]),
        (["gpu"], True, False, ["gpu.a", "gpu.mem.b", "gpu.deep"]),
        (["gpu.mem"], False, False, ["gpu.mem.b"]),
        (["gpu.deep", "gpu.a"], False, False, ["gpu.a", "gpu.deep"]),
    ],
)
def test_checks_are_chosen_by_id_beginning_and_tier(
    names: list[str], deep: bool, active: bool, expected: list[str]
) -> None:
    assert [check.id for check in selected(CHECKS, names, deep=deep, active=active)] == expected


def test_unknown_names_are_all_told_with_the_nearest() -> None:
    with pytest.raises(FindingsError) as caught:
        selected(CHECKS, ["gpu.aa", "gpu", "zzz"], deep=False, active=False)
    assert [f.id for f in caught.value.findings] == ["doctor.unknown-check"] * 2
    assert caught.value.findings[0].fixes[0].text == "did you mean gpu.a?"


def test_a_name_whose_checks_are_all_slow_is_no_pass() -> None:
    with pytest.raises(FindingsError) as caught:
        selected(CHECKS, ["comm"], deep=True, active=False)
    assert caught.value.findings[0].fixes[0].command == "rft doctor comm --active"
