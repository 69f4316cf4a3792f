"""Events that a run would write, for the health rules."""

from collections.abc import Iterable, Iterator

from diagnostics.health.monitor import Monitor
from engine.config.load import layer_from_sets, resolve
from engine.events import AnyEvent, Header, Metric, Phase

T0 = 1_000_000.0
STEP_S = 10.0
HEALTHY = {
    "reward/mean": 0.4,
    "reward/std": 0.3,
    "rollout/zero_variance_groups": 3.0,
    "response/truncated": 0.02,
    "response/length_mean": 200.0,
    "policy/entropy": 1.2,
    "kl/ref": 0.01,
    "grad/norm": 0.5,
}


def monitor(*sets: str) -> Monitor:
    return Monitor(resolve([layer_from_sets(["batch.rollout_batch_size=32", *sets])]).config, "a-run")


def metrics(steps: int, **changed: float | list[float] | None) -> Iterator[Metric]:
    """Healthy metrics of so many steps; `changed`: one value or all, by name with `__` for the slash."""
    for step in range(1, steps + 1):
        values: dict[str, float | None] = {**HEALTHY, "reward/mean": 0.4 + 0.001 * (step % 7)}
        for name, value in changed.items():
            values[name.replace("__", "/")] = value[step - 1] if isinstance(value, list) else value
        yield Metric(t=T0 + STEP_S * step, rank=0, step=step, values=values)


def phase(rank: int, step: int, name: str, begin: float, seconds: float) -> list[AnyEvent]:
    return [
        Phase(t=begin, rank=rank, step=step, name=name, state="begin"),
        Phase(t=begin + seconds, rank=rank, step=step, name=name, state="end", seconds=seconds),
    ]


def header(rank: int, t: float = T0) -> Header:
    return Header(t=t, rank=rank, pid=100 + rank, host="node", world_size=4, device="cpu")


def ids(monitor: Monitor, now: float, events: Iterable[AnyEvent] = ()) -> set[str]:
    monitor.take(events)
    return {finding.id for finding in monitor.look(now)}
