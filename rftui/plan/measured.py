"""What runs on this machine needed, against what was predicted: it corrects the next prediction.

Measurements are kept beside the user's other data, one JSON line per run; `RFTUI_DATA_DIR` moves them.
"""

import os
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import msgspec

from engine.footprint.job import Job
from engine.footprint.margin import Measured, ratio
from rftui.runs import planned
from rftui.runs.compared import MEASURED_AS, Compared, compare, predicted_phases
from rftui.runs.planned import Subject, subject_of
from rftui.runs.rundir import RunDir

CPU = "cpu"
NEWEST = 10
"""Runs of one kind that count; older ones are passed over."""
PLAUSIBLE = (0.25, 4.0)
"""Ratios outside are no correction but a formula that does not apply, or another program on the device."""


class Measurement(msgspec.Struct, frozen=True):
    """One run. `ratios`: measured to predicted memory of torch's allocator, per phase of PHASES."""

    run: str
    t: float
    subject: Subject
    ratios: dict[str, float]


def store_path() -> Path:
    """The file of measurements."""
    given = os.environ.get("RFTUI_DATA_DIR")
    if given:
        return Path(given) / "measurements.jsonl"
    import platformdirs

    return Path(platformdirs.user_data_dir("rftui")) / "measurements.jsonl"


def any_measured() -> bool:
    """Whether there is a file of measurements; one that cannot be reached is none."""
    try:
        return store_path().is_file()
    except OSError:
        return False


def record(run: RunDir) -> list[Compared]:
    """Add a run that has ended to the measurements, if it was planned; returns what was compared."""
    from rftui.runs.view import RunView

    plan = planned.read(run)
    if plan is None:
        return []
    compared = compare(plan, RunView(run).load().state.phase_memory)
    predicted = predicted_phases(plan.footprint)
    ratios = {
        name: round(ratio(predicted[line.phase], line.measured, on_cpu=plan.subject.device == CPU), 4)
        for line in compared
        for name in MEASURED_AS[line.phase]
    }
    if ratios:
        _append(Measurement(str(run.path), time.time(), plan.subject, ratios))
    return compared


def lookup(job: Job) -> Measured | None:
    """How far off predictions were for the newest runs of this family, device and settings; None: no runs."""
    subject = subject_of(job)
    latest: dict[str, Measurement] = {}
    for measurement in _read(store_path()):
        if measurement.subject == subject:
            latest[measurement.run] = measurement  # a run that was resumed counts as it ended
    if not latest:
        return None
    newest = sorted(latest.values(), key=lambda measurement: measurement.t)[-NEWEST:]
    ratios: dict[str, float] = {}
    plausible = [_plausible(measurement) for measurement in newest]
    for phase, value in (item for each in plausible for item in each.items()):
        ratios[phase] = max(value, ratios.get(phase, 0.0))
    words = f"{subject.family} models on {subject.device} with {subject.strategy}"
    return Measured(ratios, sum(map(bool, plausible)), words) if ratios else None


def _plausible(measurement: Measurement) -> dict[str, float]:
    low, high = PLAUSIBLE
    return {phase: value for phase, value in measurement.ratios.items() if low <= value <= high}


def _append(measurement: Measurement) -> None:
    path = store_path()
    path.parent.mkdir(parents=True, exist_ok=True)
    line = msgspec.json.encode(measurement) + b"\n"
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        os.write(fd, line)  # one write: lines of runs that end at the same time do not mix
    finally:
        os.close(fd)


def _read(path: Path) -> Iterator[Measurement]:
    decoder = msgspec.json.Decoder(Measurement)
    with suppress(OSError):
        for line in path.read_bytes().splitlines():
            with suppress(msgspec.DecodeError):  # torn, or of another version
                yield decoder.decode(line)
