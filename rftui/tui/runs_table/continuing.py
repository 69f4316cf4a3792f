"""What resuming a run would do, in words, and the arguments of `rft` that do it."""

from dataclasses import dataclass
from pathlib import Path

from engine.config.load import load_resolved
from engine.config.values import show
from engine.findings import FindingsError
from rftui.launch.resume import saved_steps
from rftui.runs import diagnosis
from rftui.runs.rundir import RunDir


@dataclass(frozen=True)
class Way:
    """One way to go on. `arguments` follow `rft resume NAME`."""

    words: str
    arguments: tuple[str, ...] = ()


def checkpoints(run: RunDir) -> dict[int, Path]:
    """Complete checkpoints by step, the earliest first; raises FindingsError where the run cannot be read."""
    return saved_steps(run, load_resolved(run.config_path).config)


def ways(run: RunDir) -> list[Way]:
    """The ways there are, the plain one first; raises FindingsError where the run cannot be read."""
    info = run.read_info()
    steps = checkpoints(run)
    start = (
        f"from the checkpoint of step {max(steps)}" if steps else "from the start, as it has no checkpoint"
    )
    if info.status == "finished":
        more = 2 * max(info.steps, 1)
        words = f"It has finished its {info.steps} steps. Train on to step {more}, {start}"
        return [Way(words, ("--max-steps", str(more)))]
    found = [Way(f"Go on {start}, with the settings it had")]
    said = diagnosis.read(run)
    fix = diagnosis.applicable(said) if said else None
    if said and fix:
        values = ", ".join(f"{key} = {show(value)}" for key, value in fix.set.items())
        words = f"Go on {start}, with what mends “{said.findings[0].title}”: {values} ({fix.text})"
        found.append(Way(words, ("--apply-fix",)))
    return found


def refusal(error: FindingsError) -> str:
    """The causes of a refusal and what helps, as lines."""
    return "\n".join(
        line
        for finding in error.findings
        for line in (finding.cause, *(f"→ {f.text}" for f in finding.fixes))
    )
