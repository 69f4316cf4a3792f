"""What is said when nothing fits: every change that is suggested does make it fit."""

import shlex
from dataclasses import replace

import pytest

from diagnostics.places import described_place
from engine.config.load import layer_from_flags
from engine.findings import Finding
from engine.footprint.catalog import shape_of_size
from rftui.plan.ask import Subject, ask, preset_layers
from rftui.plan.commands import place_options, plan_command
from rftui.plan.conflicts import conflicting, without
from rftui.plan.knobs import CACHE, TP
from rftui.plan.planner import evaluate, make_plan
from rftui.plan.request import Request
from rftui.plan.suggest import changed
from tests.rftui.plan.asking import SEVEN, request

LARGE = "Qwen/Qwen2.5-32B-Instruct"
LONG = ("--max-len", "131072", "--generate-max-len", "130560")
TP_BEYOND = "plan.tp-beyond-link"
TOO_LARGE = [
    (SEVEN, "1xA100-80", ()),
    (LARGE, "4xA100-40", ()),
    ("meta-llama/Llama-3.1-70B-Instruct", "1xA100-80", ()),
    (SEVEN, "8xA100-40", LONG),
    (SEVEN, "8xRTX4090", ()),
    (SEVEN, "8xA100-80", ("--engine-mem-util", "0.9", "--no-enable-engine-sleep")),
]


def asked_by(command: str) -> Request:
    """The request that `rft plan …` makes."""
    words = shlex.split(command)
    assert words[:2] == ["rft", "plan"]
    preset = [word for word in words[2:3] if not word.startswith("-")]
    options = dict(zip(*[iter(words[2 + len(preset) :])] * 2, strict=True))
    own = {name: options.pop(f"--{name}", None) for name in ("gpus", "nodes", "host-memory", "params")}
    host = None if own["host-memory"] is None else int(own["host-memory"]) * 10**9
    subject = Subject(own["gpus"], int(own["nodes"] or 1), host, own["params"])
    flags = [word for pair in options.items() for word in pair]
    return ask([*preset_layers(*preset), layer_from_flags(flags)], subject)[0]


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
        again = changed(asked, fix.set) if fix.set else asked_by(fix.command)
        assert make_plan(again).fits, fix


@pytest.mark.parametrize("preset", [["gsm8k"], []])
def test_a_command_says_the_whole_question(preset: list[str]) -> None:
    layers = [*preset_layers(*preset), layer_from_flags(["--pretrain", SEVEN, "--lora-rank", "8"])]
    asked = ask(layers, Subject("2xA100-80", host_memory=10**11))[0]
    there = described_place("4xL4", 2, 10**11)
    command = plan_command(asked, *place_options(there))
    again = asked_by(command)
    assert again.job == replace(asked, place=there).job and again.resolved == asked.resolved
    assert asked_by(plan_command(replace(asked, shape=shape_of_size("3B")), "--gpus L4")).shape.name == "3B"


def test_a_command_of_a_launch_names_its_engine_and_no_ranks_that_are_not_there() -> None:
    asked = replace(request(SEVEN, "2xA100-80", "--nproc", "2"), described=False)
    there = replace(asked, place=described_place("4xA100-80"))
    again = asked_by(plan_command(there, *place_options(there.place)))
    assert again.place == there.place and again.job.engine == asked.job.engine


def test_commands_name_no_flag_of_another_verb() -> None:
    for asked in (request(SEVEN, "1xA100-80"), request("deepseek-ai/DeepSeek-V3", "1xL4")):
        commands = [fix.command for fix in finding(asked, "plan.does-not-fit").fixes if fix.command]
        assert commands and all(command.startswith("rft plan gsm8k --") for command in commands)


def test_more_gpus_and_ram_are_suggested_only_where_the_rules_let_them() -> None:
    flags = ("--gradient-checkpointing", "false", "--micro-train-batch-size", "64")
    fixes = finding(request(SEVEN, "8xA100-80", *flags), "plan.does-not-fit").fixes
    for fix in fixes:
        assert not fix.command or make_plan(asked_by(fix.command)).fits, fix


def test_what_the_host_lacks_is_told_of_the_plan_that_lacks_least() -> None:
    told = finding(request(SEVEN, "8xA100-80", host_gb=50), "plan.does-not-fit")
    (fix,) = [fix for fix in told.fixes if "--host-memory" in fix.command]
    needed = float(told.cause.split("needs ")[1].split(" GB")[0])
    assert 50 < needed <= int(fix.command.rpartition(" ")[2]) < needed + 1


def test_a_narrower_engine_is_suggested_where_it_fits() -> None:
    told = finding(request(SEVEN, "8xRTX4090", "--engine-tp-size", "2", "--lora-rank", "32"), TP_BEYOND)
    assert "no NVLink joins" in told.cause and [fix.set for fix in told.fixes] == [{TP: 1}]
    assert finding(request(SEVEN, "8xRTX4090", "--engine-tp-size", "2"), TP_BEYOND).fixes == ()
    two = request(SEVEN, "8xA100-80", "--engine-tp-size", "8")
    joined = replace(two, place=replace(two.place, island=2))
    told = finding(joined, TP_BEYOND)
    assert "the 2 GPUs that NVLink joins" in told.cause and told.fixes[0].set == {TP: 2}


def test_lora_comes_first_and_gpus_after() -> None:
    fixes = finding(request(SEVEN, "1xA100-80"), "plan.does-not-fit").fixes
    assert fixes[0].set == {"model.lora_rank": 32}
    assert any(fix.command.endswith("--gpus 2xA100-80") for fix in fixes[1:])


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


@pytest.mark.parametrize(
    ("given", "flags"),
    [
        ({"rollout.engine_kv_cache_gb": 70.0}, ("--engine-kv-cache-gb", "70")),
        ({"rollout.engine_kv_cache_gb": 0.01}, ("--engine-kv-cache-gb", "0.01")),
        ({"rollout.generate_max_len": 262_000}, ("--max-len", "262144", "--generate-max-len", "262000")),
    ],
)
def test_a_value_that_the_planner_never_chooses_is_named_too(given: dict, flags: tuple[str, ...]) -> None:
    asked = request(SEVEN, "8xA100-80", *flags, "--prompt-max-len", "128")
    assert conflicting(asked) == given
    fixes = finding(asked, "plan.conflict").fixes
    assert fixes and all(fix.set.keys() & given.keys() for fix in fixes)
    assert all(make_plan(changed(asked, fix.set)).fits for fix in fixes)


def test_the_cache_is_lowered_to_the_most_that_fits() -> None:
    asked = request(SEVEN, "8xA100-80", "--engine-kv-cache-gb", "70")
    (fix,) = finding(asked, "plan.conflict").fixes
    (most,) = fix.set.values()
    assert not make_plan(changed(asked, {CACHE: most + 1})).fits


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
    assert make_plan(asked_by(fix.command)).fits


def test_as_it_is_says_what_the_planner_would_choose_where_that_fits() -> None:
    given = ("--engine-tp-size", "2", "--micro-train-batch-size", "64")
    plan = evaluate(request(SEVEN, "8xA100-80", *given))
    (missing,) = [found for found in plan.findings if found.severity == "error"]
    assert not plan.fits and missing.id == "plan.does-not-fit"
    (fix,) = missing.fixes
    chosen = [f"--{key.rpartition('.')[2]}={value}".lower() for key, value in fix.set.items()]
    assert "memory.gradient_checkpointing" in fix.set
    assert evaluate(request(SEVEN, "8xA100-80", *given, *chosen)).fits
