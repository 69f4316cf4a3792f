"""Asks every probe at once, each with a limit of its own, and keeps what they answer."""

import shutil
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec

from diagnostics.health.hang import processes, ras, stacks
from diagnostics.health.hang.dumps import Dumps, dump_files, read_all
from diagnostics.health.hang.failures import Failure, first_failure
from diagnostics.health.hang.processes import Process
from diagnostics.health.hang.ras import Report
from diagnostics.health.hang.stacks import Stack
from diagnostics.host_facts import oom_kills
from engine.health import flight_recorder
from engine.health.peers import Place, place_of

_POLL_S = 0.1


class Round(msgspec.Struct, frozen=True, kw_only=True):
    """What was seen at one moment."""

    processes: dict[int, Process]
    stacks: dict[int, Stack]
    dumps: Dumps
    places: dict[int, Place | None]


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that is known about a run that does not move."""

    world_size: int
    rounds: tuple[Round, ...]
    failure: Failure | None = None
    ras: Report = Report()
    oom_kills: int | None = None
    """How many processes the kernel ended for memory since the run began; None where that is not known."""

    @property
    def last(self) -> Round:
        return self.rounds[-1]


def collect(
    run_dir: Path,
    ranks: Mapping[int, int | None],
    world_size: int,
    *,
    limit_s: float,
    oom_kills_before: int | None,
) -> Evidence:
    """The first round, with the probes that are asked once."""
    with ThreadPoolExecutor(max_workers=2) as pool:
        report = pool.submit(ras.ask, min(ras.LIMIT_S, limit_s))
        first = look(run_dir, ranks, limit_s)
        return Evidence(
            world_size=world_size,
            rounds=(first,),
            failure=first_failure(run_dir, ranks),
            ras=report.result(),
            oom_kills=_oom_kills_since(oom_kills_before),
        )


def look(run_dir: Path, ranks: Mapping[int, int | None], limit_s: float) -> Round:
    """Processes, stacks, dumps and places now, within `limit_s` seconds.

    The signal that brings the stacks also makes a rank dump its flight recorder.
    """
    began = time.time()
    deadline = time.monotonic() + limit_s
    seen = processes.look(ranks)
    taken = stacks.take(run_dir, seen, limit_s / 3)
    asked = [rank for rank, stack in taken.items() if stack.asked]
    dumps = _dumps_since(run_dir / flight_recorder.FOLDER, began, asked, seen, deadline)
    places = {rank: place_of(run_dir, rank) for rank in ranks}
    return Round(processes=processes.look(ranks), stacks=taken, dumps=dumps, places=places)


def keep(evidence: Evidence, run_dir: Path, folder: Path) -> None:
    """Write the evidence: stacks of each round, processes, the RAS report, and copies of the dumps."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, seen in enumerate(evidence.rounds, 1):
        text = stacks.table(seen.stacks, stacks.vote(seen.stacks))
        (folder / f"stacks-{number}.txt").write_text(text)
    told = list(evidence.last.processes.values())
    (folder / "processes.json").write_bytes(msgspec.json.format(msgspec.json.encode(told)))
    (folder / "ras.txt").write_text(evidence.ras.text or f"{evidence.ras.absence}\n")
    for rank, file in dump_files(run_dir / flight_recorder.FOLDER).items():
        if rank in evidence.last.dumps.dumps:
            (folder / flight_recorder.FOLDER).mkdir(exist_ok=True)
            shutil.copy2(file, folder / flight_recorder.FOLDER / file.name)


def _dumps_since(
    folder: Path, began: float, asked: list[int], seen: Mapping[int, Process], deadline: float
) -> Dumps:
    """The dumps of those who were asked, once they are written, and those that ended ranks have left."""
    while time.monotonic() < deadline:
        files = dump_files(folder)
        if all(rank in files and _written(files[rank]) >= began for rank in asked):
            break
        time.sleep(_POLL_S)
    files = dump_files(folder)
    fresh = {
        rank: file
        for rank, file in files.items()
        if _written(file) >= began or (rank in seen and seen[rank].state == "ended")
    }
    return read_all(sorted(fresh.items()))


def _written(file: Path) -> float:
    try:
        return file.stat().st_mtime
    except OSError:
        return 0.0


def _oom_kills_since(before: int | None) -> int | None:
    now = oom_kills()
    return None if before is None or now is None else now - before
