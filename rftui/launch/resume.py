"""Prepares the next attempt of a run that has ended, by whatever means."""

from collections.abc import Sequence
from pathlib import Path

from diagnostics import preflight
from diagnostics.hardware import Hardware
from engine.checkpoint.layout import complete_steps
from engine.config.load import Layer, examine, layer_from_yaml
from engine.config.registry import find
from engine.config.sections import RunConfig
from engine.findings import Finding, FindingsError, Fix
from rftui.launch import outcome
from rftui.launch.prepare import Prepared, Problems, prepare
from rftui.launch.processes import kill_processes_of
from rftui.launch.sizing import record
from rftui.launch.start import not_written, write_config
from rftui.runs.info import answer_for
from rftui.runs.rundir import RunDir

CKPT_PATH = "checkpoint.ckpt_path"


def prepare_resume(run: RunDir, overrides: Sequence[Layer], hardware: Hardware) -> Prepared:
    """The run's own configuration with overrides, checked anew; no file is changed yet.

    The caller holds the run's lock, so its supervisor is gone, and what is left of it is killed.
    """
    kill_processes_of(run.path)
    info = run.read_info()
    if info.status == "finished" and not any(layer.values for layer in overrides):
        raise _finished(run, info.steps)
    problems = Problems()
    problems.gather(lambda: preflight.check_runs_dir(run.path), environment=True)
    own = layer_from_yaml(run.config_path)
    if not own.values:
        raise _config_lost(run, [finding.cause for finding in own.findings])
    continued = [] if _names_checkpoint(overrides) else _own_checkpoints(run, own)
    return prepare(
        [own, *continued, *overrides],
        preset=info.preset,
        hardware=hardware,
        problems=problems,
        nproc=info.nproc,
    )


def _names_checkpoint(layers: Sequence[Layer]) -> bool:
    """Whether one of these layers says which checkpoint to resume from."""
    matches = [find(name) for layer in layers for name in layer.values]
    return any(match is not None and match.parameter.key == CKPT_PATH for match in matches)


def _own_checkpoints(run: RunDir, own: Layer) -> list[Layer]:
    """A run that began from another's checkpoint goes on from its own, as soon as it has one."""
    config = examine([own]).resolved.config
    if config.checkpoint.ckpt_path is None or not saved_steps(run, config):
        return []
    return [Layer("resume", {CKPT_PATH: None})]


def open_attempt(run: RunDir, prepared: Prepared) -> None:
    """Make the run ready for its next supervisor; a directory that cannot be written to is a finding."""
    info = run.read_info()
    info.attempt += 1
    info.nproc = prepared.nproc
    info.status, info.exit, info.ended = "planned", None, None
    info.warnings = list(prepared.warnings)
    answer_for(info)
    try:
        run.control_path.unlink(missing_ok=True)
        outcome.forget_errors(run)
        write_config(run, prepared)
        if prepared.plan is not None:
            record(run, prepared.plan)
        run.write_info(info)
    except OSError as error:
        raise not_written(run, error) from error


def saved_steps(run: RunDir, config: RunConfig) -> dict[int, Path]:
    """The complete checkpoints of a run by step, the earliest first."""
    save_path = config.checkpoint.save_path
    folder = Path(run.read_info().cwd) / save_path if save_path else run.checkpoints_dir
    return complete_steps(folder)


def _finished(run: RunDir, steps: int) -> FindingsError:
    finding = Finding(
        id="run.finished",
        severity="error",
        cause=f"{run.name} has finished all of its {steps} steps: there is nothing to resume.",
        fixes=(
            Fix("train on", command=f"rft resume {run.in_commands} --max-steps {2 * steps}"),
            Fix("or pass over the data again with a larger --num-episodes"),
            Fix("get the model", command=f"rft export {run.in_commands} --to DIR"),
        ),
    )
    return FindingsError([finding])


def _config_lost(run: RunDir, why: list[str]) -> FindingsError:
    finding = Finding(
        id="run.config-unreadable",
        severity="error",
        cause=f"{run.config_path} does not hold the configuration of {run.name}.",
        evidence=tuple(why or ["it is empty"]),
        fixes=(
            Fix("correct it, or restore it from a copy"),
            Fix("or give a new run the same settings and its last checkpoint (--ckpt-path)"),
        ),
    )
    return FindingsError([finding])
