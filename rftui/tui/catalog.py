"""Which metrics are charted in what order and colour, and which stand in the line of figures."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from rftui.tui.text import duration, number, percent


class Metric(NamedTuple):
    """A metric's chart: its title and the number of its colour."""

    name: str
    title: str
    hue: int


METRICS = (
    Metric("reward/mean", "reward", 1),
    Metric("kl/ref", "KL to reference", 2),
    Metric("policy/entropy", "entropy", 3),
    Metric("policy/clip_high", "clipped high", 5),
    Metric("response/length_mean", "response length", 4),
    Metric("throughput/tokens_per_s", "tokens/s", 6),
    Metric("eval/accuracy", "held-out accuracy", 1),
    Metric("grad/norm", "gradient norm", 2),
    Metric("reward/std", "reward std", 1),
    Metric("policy/clip_low", "clipped low", 5),
    Metric("response/truncated", "truncated share", 4),
    Metric("response/length_max", "longest response", 4),
    Metric("rollout/zero_variance_groups", "zero-variance groups", 3),
    Metric("kl/old", "KL to rollout policy", 2),
    Metric("policy/loss", "policy loss", 3),
    Metric("policy/ratio_max", "largest ratio", 5),
    Metric("sync/logprob_diff_mean", "engine−trainer log-prob", 5),
    Metric("time/step", "seconds per step", 6),
    Metric("lr/actor", "learning rate", 6),
)
_KNOWN = {metric.name: metric for metric in METRICS}
PLANNED = METRICS[:6]
"""What is charted, empty, before the first step."""


def charted(names: Iterable[str]) -> list[Metric]:
    """The charts for these metrics: the known ones in the order of the table, then the others by name."""
    present = set(names)
    known = [metric for metric in METRICS if metric.name in present or metric in PLANNED]
    return known + [Metric(name, name, 4) for name in sorted(present - _KNOWN.keys())]


def title_of(name: str) -> str:
    """What a chart of the metric is called."""
    return _KNOWN[name].title if name in _KNOWN else name


def figures(latest: Mapping[str, float]) -> list[tuple[str, str]]:
    """The line of figures, most telling first: (label, value) of those metrics that are there."""
    found: list[tuple[str, str]] = []

    def add(label: str, name: str, value: str) -> None:
        if name in latest:
            found.append((label, value))

    def get(name: str) -> float | None:
        return latest.get(name)

    spread = f"±{number(get('reward/std'))}" if "reward/std" in latest else ""
    add("reward", "reward/mean", number(get("reward/mean")) + spread)
    add("eval", "eval/accuracy", percent(get("eval/accuracy")))
    add("KL", "kl/ref", number(get("kl/ref")))
    cut = f" ({percent(get('response/truncated'))} cut)" if "response/truncated" in latest else ""
    add("len", "response/length_mean", f"{latest.get('response/length_mean', 0):.0f}{cut}")
    add("tok/s", "throughput/tokens_per_s", number(get("throughput/tokens_per_s")))
    add("step", "time/step", duration(latest.get("time/step", 0.0)))
    add("entropy", "policy/entropy", number(get("policy/entropy")))
    clipped = latest.get("policy/clip_low", 0.0) + latest.get("policy/clip_high", 0.0)
    add("clip", "policy/clip_high", percent(clipped))
    add("grad", "grad/norm", number(get("grad/norm")))
    add("lr", "lr/actor", number(get("lr/actor")))
    return found
