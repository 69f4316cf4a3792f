"""What every screen is told when it is made: where runs are, which one is open, how the user likes it."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from rftui.runs.rundir import RunDir
from rftui.tui.settings import Settings

if TYPE_CHECKING:
    from rftui.runs.replay import ReplayClock


@dataclass(frozen=True)
class Context:
    """Screens of a run get one with that `run`; the plan screen one with the `preset`: its name or file."""

    runs_dir: Path
    settings: Settings = field(default_factory=Settings)
    run: RunDir | None = None
    preset: str = ""
    clock: "ReplayClock | None" = None
    """Of a replay of the run; None: the run as it is now."""

    @property
    def speed(self) -> float | None:
        """Of a replay: times as fast as it happened."""
        return self.clock.speed if self.clock else None

    @property
    def the_run(self) -> RunDir:
        """The run of a run's screen."""
        assert self.run is not None
        return self.run


def replay_clock(run: RunDir | None, speed: float | None) -> "ReplayClock | None":
    """Of a replay of that run; None without one. FindingsError where it cannot be played."""
    if run is None or speed is None:
        return None
    from rftui.runs.replay import ReplayClock

    return ReplayClock.of(run, speed)
