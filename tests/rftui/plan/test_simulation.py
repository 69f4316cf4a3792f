"""Simulated against planned memory."""

from dataclasses import replace

from engine.footprint.training import training_phases
from rftui.plan.planner import make_plan
from rftui.plan.simulation import DISAGREE, agreements
from tests.rftui.plan.asking import SEVEN, request


def test_differences_above_five_per_cent_are_marked() -> None:
    plan = make_plan(request(SEVEN, "8xA100-80"))
    place = replace(plan.job.place, ranks=64)
    logprob, update, step = training_phases(replace(plan.job, place=place))
    device = [
        {"phase": "load", "bytes": 1},
        {"phase": "logprob", "bytes": logprob.allocated},
        {"phase": "update", "bytes": int(update.allocated / (1 + DISAGREE + 0.01))},
        {"phase": "step", "bytes": int(step.allocated / (1 - DISAGREE + 0.01))},
    ]
    told = agreements(plan, 64, {"device": device})
    assert [(line.phase, line.agrees) for line in told] == [
        ("logprob", True),
        ("update", False),
        ("step", True),
    ]
    assert told[0].error == 0 and round(told[1].error, 2) == 0.06
