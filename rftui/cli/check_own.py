"""Our own YAML, checked without starting anything: settings, rules, batches, and memory by the planner."""

from pathlib import Path

import presets.loader
from diagnostics.hardware import detect
from diagnostics.places import described_place
from engine.config import load, rules
from engine.findings import Finding, FindingsError, Fix
from rftui.cli.checked import Report
from rftui.plan.ask import Subject, planned
from rftui.plan.words import gb
from rftui.runs.rundir import default_runs_dir


def check_own(path: Path, gpus: str | None) -> Report:
    """What is wrong with a file of ours. Without GPUs here or described, memory is not looked at."""
    try:
        preset = presets.loader.load(str(path))
    except FindingsError as error:
        return Report(str(path), "rftui", findings=error.findings)
    layers = [preset.layer]
    examined = load.examine(layers)
    config = examined.resolved.config
    here = gpus is None and bool(detect(folder=default_runs_dir()).gpus)
    if not examined.findings and config.model.pretrain and (gpus or here):
        return _with_plan(path, gpus, layers)
    ranks = described_place(gpus).ranks if gpus else config.parallel.nproc or 1
    found = rules.check(
        config,
        world_size=ranks,
        model_config=rules.read_model_config(config.model.pretrain or ""),
        broken=examined.broken,
    )
    wanted = [finding for finding in found if finding.param not in preset.needs]  # a preset says so itself
    findings = (*examined.findings, *wanted, *_not_looked_at(bool(config.model.pretrain), bool(gpus or here)))
    words = () if examined.findings else tuple(rules.batch_words(config, ranks).splitlines())
    return Report(str(path), "rftui", arithmetic=words, findings=findings)


def _with_plan(path: Path, gpus: str | None, layers: list[load.Layer]) -> Report:
    try:
        plan = planned(layers, Subject(gpus=gpus), as_is=True)
    except FindingsError as error:
        return Report(str(path), "rftui", findings=error.findings)
    worst, place = plan.footprint.worst, plan.job.place
    words = "fits" if plan.fits else "does not fit"
    memory = (
        f"{words}: {gb(worst.bytes)} of {gb(place.free)} on each {place.device.name} in {worst.phase}; "
        f"{gb(plan.footprint.host_bytes)} of {gb(place.host_memory)} of host memory.",
    )
    findings = plan.findings
    if not plan.fits and not any(finding.severity == "error" for finding in findings):
        fix = Fix("let the planner choose", command=f"rft plan {path}" + (f" --gpus {gpus}" if gpus else ""))
        findings = (Finding("check.does-not-fit", "error", memory[0], fixes=(fix,)), *findings)
    return Report(str(path), "rftui", "", tuple(plan.batch_words.splitlines()), memory, findings)


def _not_looked_at(model: bool, gpus: bool) -> tuple[Finding, ...]:
    """What could not be checked, and how it can be."""
    missing = []
    fixes = []
    if not model:
        missing.append("the model is not named")
        fixes.append(Fix("name it in the file as model.pretrain"))
    if not gpus:
        missing.append("no GPUs are here or described")
        fixes.append(Fix("describe them", command="--gpus 8xA100-80"))
    if not missing:
        return ()
    cause = f"memory and ranks are not checked: {' and '.join(missing)}."
    return (Finding("check.memory-not-checked", "info", cause, fixes=tuple(fixes)),)
