"""The plan screen's texts: status line, machine, findings, details, commands. Pure functions."""

import os
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from textual.content import Content

from diagnostics.hardware import Hardware
from engine.findings import Finding, Fix
from rftui.cli.report import how
from rftui.launch.command import Command, rank_command
from rftui.plan.words import gb
from rftui.runs.rundir import RunDir, auto_name, runs_dir_option
from rftui.tui.planning.consider import Considered, Ground
from rftui.tui.planning.fields import applicable, described
from rftui.tui.planning.rows import GLYPHS, ORIGINS, Field
from rftui.tui.text import clean_line


def status(now: Considered, ground: Ground, busy: bool, width: int) -> Content:
    """`rft ▸ plan gsm8k   ✔ fits   ✖ 2 errors   3 changed   8 × A100-80`, as much as fits."""
    head = Content.assemble(("rft ", "bold $primary"), ("▸ ", "$quiet"), ("plan ", "bold"))
    parts = [head + Content.styled(clean_line(ground.name), "bold"), verdict(now)]
    if now.errors:
        parts.append(Content.styled(f"✖ {now.errors} error{'s' * (now.errors != 1)}", "bold $error"))
    if warnings := sum(finding.severity == "warning" for finding in now.findings):
        parts.append(Content.styled(f"▲ {warnings} warning{'s' * (warnings != 1)}", "$warning"))
    if now.edits.values:
        parts.append(Content.styled(f"● {len(now.edits.values)} changed", "$accent"))
    if busy:
        parts.append(Content.styled("◌ checking", "$accent"))
    if now.edits.as_is:
        parts.append(Content.styled("as is: nothing is chosen", "$accent"))
    parts.append(Content.styled(where(now), "bold" if now.edits.gpus else "$quiet"))
    line = parts[0]
    for part in parts[1:]:
        if part.cell_length and line.cell_length + 3 + part.cell_length <= width:
            line = line + "   " + part
    return line


def verdict(now: Considered) -> Content:
    """Whether it fits."""
    if now.plan is None:
        return Content.styled("memory not predicted", "$quiet")
    if now.stale:
        return Content("")
    if not now.plan.fits:
        return Content.styled("✖ does not fit", "bold $error")
    return Content.styled("✔ fits", "bold $success")


def where(now: Considered) -> str:
    """What is planned for."""
    if now.edits.gpus is not None:
        machines = f" on each of {now.edits.nodes} machines" if now.edits.nodes > 1 else ""
        return f"what if: {now.edits.gpus}{machines}"
    if now.plan is None:
        return "this machine"
    place = now.plan.job.place
    if place.on_cpu:
        return f"this machine: {place.ranks} rank{'s' * (place.ranks != 1)} on the CPU"
    return f"this machine: {place.ranks} × {place.device.name}"


def machine(now: Considered, ground: Ground) -> Content:
    """What was found here: GPUs with their free memory, and who holds the rest."""
    found = ground.hardware
    ram = f"{gb(found.memory_available)} of {gb(found.memory_total)} of RAM available"
    lines = [Content.assemble((found.host, "bold"), f"  {found.cores} cores, {ram}")]
    if found.disk_free is not None:
        lines.append(Content(f"disk of {ground.runs_dir}: {gb(found.disk_free)} free"))
    lines += _gpus(found)
    for problem in found.problems:
        lines.append(Content.assemble(("▲ ", "$warning"), clean_line(problem.cause)))
    if now.edits.gpus is not None:
        what = f"Planned for {now.edits.gpus}, not for this machine; G and an empty line go back."
        lines += [Content(""), Content.styled(what, "bold $accent")]
    elif found.gpus and now.plan is not None and now.plan.job.place.on_cpu:
        lines.append(
            Content.styled("▲ the installed torch cannot use these GPUs: ranks run on the CPU", "$warning")
        )
    return Content("\n").join(lines)


def finding(one: Finding) -> Content:
    """A finding with evidence and fixes; the fix that `f` applies is marked."""
    glyph, colour = GLYPHS[one.severity]
    lines = [Content.assemble((f"{glyph} {one.severity} ", f"bold {colour}"), clean_line(one.cause))]
    lines += [Content.styled(f"    {clean_line(line)}", "$quiet") for line in one.evidence]
    edit = applicable(one)
    for fix in one.fixes:
        mark = ("  f ▸ ", "bold $accent") if fix is edit else ("    → ", "$quiet")
        lines.append(Content.assemble(mark, clean_line(fix.text), (_how(fix), "$quiet")))
    return Content("\n").join(lines)


def details(field: Field | None) -> Content:
    """What there is to know of the parameter under the cursor; what is wrong with it comes first."""
    if field is None:
        return Content.styled("no parameter of this name", "$quiet italic")
    lines = []
    if field.problem and field.severity:
        glyph, colour = GLYPHS[field.severity]
        lines.append(Content.styled(f"{glyph} {field.problem}", colour))
        if field.fix:
            lines.append(Content.assemble(("f ▸ ", "bold $accent"), clean_line(field.fix)))
    glyph, colour, _ = ORIGINS[field.origin]
    lines.append(Content.assemble((f"{glyph} {field.key} ", colour), (described(field), "")))
    lines.append(Content.styled(_origin(field), "$quiet"))
    if field.reason and field.origin != "user":
        lines.append(Content.assemble(("why: ", "$quiet"), field.reason))
    return Content("\n").join(lines)


def _origin(field: Field) -> str:
    """Where the value comes from, and what it would be without."""
    if field.refused:
        return "not available in this version"
    if field.origin == "user":
        return f"set by you; u goes back to the {field.without}"
    if field.origin == "planner":
        return f"chosen by the planner ({field.without} without it); space pins it"
    if field.origin == "preset":
        return f"from the preset; the default is {field.default}"
    return "the default"


def launch_line(now: Considered, ground: Ground) -> str:
    """The `rft launch` that starts the same; of a described machine the `rft plan` that says the same."""
    if ground.preset is None:
        named = "FILE.yaml"
    else:
        named = ground.preset.name if ground.preset.origin != "file" else str(ground.preset.path)
    words = ["rft launch" if now.edits.gpus is None else "rft plan", shlex.quote(named)]
    if flags := how(Fix("", set=dict(now.edits.values))):
        words.append(flags)
    if now.edits.as_is:
        words.append("--as-is")
    if now.edits.gpus is not None:
        words.append(f"--gpus {shlex.quote(now.edits.gpus)}")
        words += [f"--nodes {now.edits.nodes}"] * (now.edits.nodes > 1)
        return " ".join(words)
    return " ".join(words) + runs_dir_option(ground.runs_dir)


def rank_line(now: Considered, ground: Ground, port: int, environ: Mapping[str, str] = os.environ) -> Command:
    """The torchrun command, with the name that a run started now would get."""
    run = RunDir(ground.runs_dir.resolve() / auto_name(ground.name))
    config = now.resolved.config
    return rank_command(
        run.path,
        nproc=now.ranks,
        master_port=config.parallel.master_port or port,
        cores=ground.hardware.cores,
        resume=False,
        environ=environ,
    )


def commands(now: Considered, ground: Ground, port: int) -> Content:
    """Both commands."""
    lines = [Content.styled("the same from a shell  (y copies)", "bold")]
    if ground.preset is None:
        lines.append(Content.styled("without a preset: write the file with w first", "$quiet"))
    lines.append(Content(launch_line(now, ground)))
    lines += [Content(""), Content.styled("what the supervisor starts  (Y copies)", "bold")]
    if now.edits.gpus is not None:
        lines.append(Content.styled("nothing here: this plan is for another machine (G)", "$quiet"))
        return Content("\n").join(lines)
    command = rank_line(now, ground, port)
    lines += [Content.styled(f"{key}={shlex.quote(value)}", "$quiet") for key, value in command.env.items()]
    lines.append(Content(shlex.join(command.argv)))
    if not now.resolved.config.parallel.master_port:
        lines.append(Content.styled("the port and the run's name are chosen at the start", "$quiet italic"))
    return Content("\n").join(lines)


def _gpus(found: Hardware) -> list[Content]:
    if not found.gpus:
        return [Content.styled("no GPU found: ranks run on the CPU", "$quiet")]
    lines = []
    for gpu in found.gpus:
        free = "free memory not told" if gpu.memory_free is None else f"{gb(gpu.memory_free)} free"
        lines.append(Content(f"GPU {gpu.index} {clean_line(gpu.name)}: {free} of {gb(gpu.memory_total)}"))
        for process in gpu.processes or ():
            held = "" if process.memory is None else f" {gb(process.memory)}"
            words = f"    {process.user} pid {process.pid}{held} {clean_line(process.command)}"
            lines.append(Content.styled(words, "$quiet"))
    if found.topology.islands:
        joined = " | ".join(",".join(map(str, island)) for island in found.topology.islands)
        lines.append(Content.styled(f"NVLink joins {joined}", "$quiet"))
    return lines


def _how(fix: Fix) -> str:
    text: Any = how(fix)
    return f"  ({clean_line(text)})" if text else ""


def order(findings: Sequence[Finding]) -> list[Finding]:
    """Errors first."""
    return sorted(findings, key=lambda one: ("error", "warning", "info").index(one.severity))
