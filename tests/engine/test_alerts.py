"""Alerts are raised once and cleared when over, each source for itself."""

from pathlib import Path

import torch

from engine.alerts import Alerts
from engine.config.sections import RunConfig
from engine.events import Alert
from engine.findings import Finding
from engine.recorder import say_on_rank_0
from engine.strategy import get_strategy
from engine.telemetry import Telemetry
from tests.engine.training import read_events

A, B = (Finding(id=name, severity="warning", cause=name) for name in ("a", "b"))


def test_raised_once_cleared_once(tmp_path: Path) -> None:
    strategy = get_strategy(RunConfig())
    telemetry = Telemetry(tmp_path, 0, 1, torch.device("cpu"))
    alerts = Alerts(say_on_rank_0(strategy, telemetry))
    for step, found in enumerate([[], [A], [A, B], [B], [A], []]):
        alerts.update("step", found, step)
        alerts.update("disk", [B] if step >= 4 else [], step)
    telemetry.close()
    strategy.close()
    said = [(e.step, e.state, e.finding.id) for e in read_events(tmp_path) if isinstance(e, Alert)]
    assert said == [
        (1, "raised", "a"),
        (2, "raised", "b"),
        (3, "cleared", "a"),
        (4, "raised", "a"),
        (4, "cleared", "b"),
        (4, "raised", "b"),
        (5, "cleared", "a"),
    ]
