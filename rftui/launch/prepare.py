"""From layers of settings to a run that can start: resolve, look at the machine, collect every finding."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import presets.loader
from diagnostics import preflight
from diagnostics.hardware import Hardware
from engine.config import load, rules
from engine.config.load import Layer, Resolved
from engine.config.sections import RunConfig
from engine.data.validate import check_source
from engine.findings import EXIT_BAD_INPUT, EXIT_UNFIT, Finding, FindingsError
from engine.libraries import check_libraries
from engine.rewards.base import parse_rules
from rftui.launch.sizing import size
from rftui.plan.result import Plan
from rftui.runs import rundir


@dataclass(frozen=True)
class Prepared:
    """A run that passed all checks. `warnings` are the findings that do not stop it."""

    preset: str
    resolved: Resolved
    nproc: int
    warnings: tuple[Finding, ...]
    plan: Plan | None = None


class Problems:
    """Collects the findings of many checks, to tell all of them at once."""

    def __init__(self) -> None:
        self.input: list[Finding] = []
        self.environment: list[Finding] = []

    def gather(self, check: Callable[[], Iterable[Finding] | None], *, environment: bool = False) -> None:
        """Run a check; findings that it returns and findings that it raises count the same."""
        found = self.environment if environment else self.input
        try:
            found.extend(check() or ())
        except FindingsError as error:
            found.extend(error.findings)

    def settle(self) -> tuple[Finding, ...]:
        """The warnings; raises everything if there is an error (exit code 3 if only the machine is unfit)."""
        everything = (*self.input, *self.environment)
        if any(f.severity == "error" for f in self.input):
            raise FindingsError(everything, EXIT_BAD_INPUT)
        if any(f.severity == "error" for f in self.environment):
            raise FindingsError(everything, EXIT_UNFIT)
        return everything


def prepare_new(
    preset: str,
    overrides: Sequence[Layer],
    *,
    runs_dir: Path,
    name: str | None,
    hardware: Hardware,
    as_is: bool = False,
) -> Prepared:
    """Resolve a preset with overrides, plan what they leave open, and check all of it; nothing is created.

    `as_is`: leave open what is open.
    Raises FindingsError with every finding on configuration, data, model, run name and machine together.
    """
    problems = Problems()
    if name:
        problems.gather(lambda: rundir.check_free(runs_dir, name))
    problems.gather(lambda: preflight.check_runs_dir(runs_dir), environment=True)
    try:
        loaded = presets.loader.load(preset)
    except FindingsError as error:
        problems.input.extend(error.findings)
        problems.settle()
        raise
    layers = [loaded.layer, *overrides]
    return prepare(layers, preset=loaded.name, hardware=hardware, problems=problems, choose=not as_is)


def prepare(
    layers: Sequence[Layer],
    *,
    preset: str,
    hardware: Hardware,
    problems: Problems,
    nproc: int | None = None,
    choose: bool = False,
) -> Prepared:
    """Resolve layers and check the result against data, model and machine; raises all findings at once.

    `nproc`: ranks where the configuration does not say, default one per GPU. `choose`: plan what is open.
    """
    examined = load.examine(layers)
    resolved, config, plan = examined.resolved, examined.resolved.config, None
    ranks = config.parallel.nproc or nproc or default_ranks(hardware)
    sizes: list[int] = []
    problems.input.extend(examined.findings)
    problems.environment.extend(hardware.problems)
    if config.model.pretrain and "model.pretrain" not in examined.broken:
        problems.gather(lambda: preflight.check_model(config.model.pretrain))
    if config.data.apply_chat_template:
        problems.gather(lambda: preflight.check_chat_template(config.model.pretrain))
    problems.gather(lambda: parse_rules(config.reward.reward_rule or "")[1])
    problems.gather(lambda: preflight.check_reward_fn(config.reward.reward_fn))
    problems.gather(lambda: _check_data(config, sizes))
    dataset_size = sizes[0] if sizes else None
    if not any(finding.severity == "error" for finding in problems.input):
        plan, found = size(resolved, ranks, hardware, dataset_size, as_is=not choose)
        problems.environment.extend(found)
    if plan is not None and plan.fits:
        resolved, config = plan.resolved, plan.resolved.config
    problems.gather(
        lambda: rules.check(
            config,
            world_size=ranks,
            dataset_size=dataset_size,
            model_config=rules.read_model_config(config.model.pretrain),
            broken=examined.broken,
        )
    )
    problems.gather(lambda: check_libraries(config), environment=True)
    problems.gather(lambda: preflight.check_port(config.parallel.master_port), environment=True)
    problems.gather(
        lambda: preflight.check_ranks(ranks, hardware, config.parallel.dist_backend), environment=True
    )
    return Prepared(preset, resolved, ranks, problems.settle(), plan)


def default_ranks(hardware: Hardware) -> int:
    """One rank per GPU that torch can use, else one."""
    return max(1, len(hardware.gpus)) if preflight.torch_uses_gpus() else 1


def _check_data(config: RunConfig, sizes: list[int]) -> list[Finding]:
    """Findings on training and held-out data; the number of training rows, where known, goes to `sizes`."""
    findings: list[Finding] = []
    for what, spec in (("prompt_data", config.data.prompt_data), ("eval_data", config.eval.eval_data)):
        if not spec:
            continue
        found, rows = check_source(spec, config.data, what)
        findings += found
        if what == "prompt_data" and rows is not None:
            sizes.append(rows)
    return findings
