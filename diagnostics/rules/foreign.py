"""A configuration of any trainer, as `rft check` reads it: settings with where each stands."""

from typing import Any, Literal

import msgspec

from engine.findings import Finding

Framework = Literal["rftui", "lightrft", "openrlhf", "verl", "trl", "trinity"]


class Setting(msgspec.Struct, frozen=True):
    """One value, and the line of the file that gives it (from 1; 0: unknown, or the framework's default)."""

    value: Any
    line: int = 0


class Foreign(msgspec.Struct, frozen=True, kw_only=True):
    """What a file says. `settings` by the framework's own names: `rollout_batch_size`, `trainer.nnodes`.

    `environ`: variables the file exports or sets for the command. `ranks`, `nodes`: from torchrun,
    `--num_processes`, `trainer.n_gpus_per_node` …; None where the file does not say. `problems`: what the
    reading itself found (an unset variable, a line that cannot be parsed).
    """

    framework: Framework
    path: str
    program: str = ""
    settings: dict[str, Setting]
    environ: dict[str, Setting] = {}
    ranks: int | None = None
    nodes: int | None = None
    problems: tuple[Finding, ...] = ()

    def get(self, name: str, default: Any = None) -> Any:
        """A setting's value, else `default`."""
        found = self.settings.get(name)
        return default if found is None else found.value


class Checked(msgspec.Struct, frozen=True, kw_only=True):
    """What a check found. `arithmetic`: the batches in words, a line each. `memory`: what a card needs."""

    foreign: Foreign
    findings: tuple[Finding, ...]
    arithmetic: tuple[str, ...] = ()
    memory: tuple[str, ...] = ()
