"""What is said when nothing fits: every change that is suggested does make it fit."""

import shlex
from dataclasses import replace

import pytest

from engine.findings import Finding
from engine.footprint.catalog import shape_of_size
from rftui.plan.conflicts import conflicting, without
from rftui.plan.planner import evaluate, make_plan
from rftui.plan.request import Request
from rftui.plan.suggest import changed
from tests.rftui.plan.asking import SEVEN, request

LARGE = "Qwen/Qwen2.5-32B-Instruct"
LONG = ("--max-len", "131072", "--generate-max-len", "130560")
TOO_LARGE = [
    (SEVEN, "1xA100-80", ()),
    (LARGE, "4xA100-40", ()),
    ("meta-llama/Llama-3.1-70B-Instruct", "1xA100-80", ()),
    (SEVEN, "8xA100-40", LONG),
    (SEVEN, "8xRTX4090", ()),
    (SEVEN, "8xA100-80", ("--engine-mem-util", "0.9", "--no-enable-engine-sleep")),
]


def finding(asked: Request, id: str) -> Finding:
    (found,) = [one for one in make_plan(asked).findings if one.id == id]
    return found


@pytest.mark.parametrize(("model", "gpus", "flags"), TOO_LARGE)
def test_every_suggestion_makes_it_fit(model: str, gpus: str, flags: tuple[str, ...]) -> None:
    asked = request(model, gpus, *flags)
    plan = make_plan(asked)
    assert not plan.fits
    (missing,) = [one for one in plan.findings if one.id == "plan.does-not-fit"]
    assert missing.severity == "error" and missing.fixes and missing.evidence
    for fix in missing.fixes:
        if fix.set:
            again = changed(asked, fix.set)
        else:
            options = dict(zip(*[iter(shlex.split(fix.command))] * 2, strict=True))
            host = options.get("--host-memory")
            again = request(
                model,
                options["--gpus"],
                *flags,
                nodes=int(options.get("--nodes", 1)),
                host_gb=int(host) if host else None,
            )
        assert make_plan(again).fits, fix


def test_lora_comes_first_and_gpus_after() -> None:
    fixes = finding(request(SEVEN, "1xA100-80"), "plan.does-not-fit").fixes
    assert fixes[0].set == {"model.lora_rank": 32}
    assert any(fix.command == "--gpus 2xA100-80" for fix in fixes[1:])


def test_shorter_is_the_longest_that_fits() -> None:
    asked = request(SEVEN, "8xA100-40", *LONG)
    (fix,) = [f for f in finding(asked, "plan.does-not-fit").fixes if "rollout.generate_max_len" in f.set]
    longer = {key: value + 64 for key, value in fix.set.items()}
    assert make_plan(changed(asked, fix.set)).fits and not make_plan(changed(asked, longer)).fits


def test_values_that_exclude_each_other_are_named() -> None:
    asked = request(
        SEVEN, "8xA100-80", "--engine-mem-util", "0.9", "--no-enable-engine-sleep", "--packing-samples"
    )
    values = conflicting(asked)
    assert values == {"rollout.engine_mem_util": 0.9, "rollout.enable_engine_sleep": False}
    for key in values:
        assert make_plan(without(asked, {key})).fits
    told = finding(asked, "plan.conflict")
    assert "engine_mem_util = 0.9 and enable_engine_sleep = false" in told.cause
    for fix in told.fixes:
        assert make_plan(changed(asked, fix.set)).fits


def test_no_conflict_where_nothing_fits_anyway() -> None:
    asked = request(LARGE, "4xA100-40", "--no-adam-offload")
    assert conflicting(asked) == {} and {f.id for f in make_plan(asked).findings} == {"plan.does-not-fit"}


def test_as_is_says_what_would_help() -> None:
    asked = request(SEVEN, "8xA100-80", "--engine-mem-util", "0.15")
    plan = evaluate(asked)
    assert not plan.fits
    (missing,) = [one for one in plan.findings if one.id == "plan.does-not-fit"]
    assert "KV cache" in missing.cause
    for fix in missing.fixes:
        if fix.set:
            assert evaluate(changed(asked, fix.set)).fits or make_plan(changed(asked, fix.set)).fits


def test_a_wider_engine_or_a_smaller_model_where_nothing_else_helps() -> None:
    fixes = finding(request(SEVEN, "8xRTX4090"), "plan.does-not-fit").fixes
    assert {"rollout.engine_tp_size": 2} in [fix.set for fix in fixes]
    fixes = finding(request("deepseek-ai/DeepSeek-V3", "1xL4"), "plan.does-not-fit").fixes
    (fix,) = [fix for fix in fixes if "--params" in fix.command]
    assert make_plan(replace(request(SEVEN, "1xL4"), shape=shape_of_size(fix.command.split()[1]))).fits
