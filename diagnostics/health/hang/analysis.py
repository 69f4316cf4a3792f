"""Why a run makes no progress: probes every rank, decides, and keeps the evidence."""

import socket
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import msgspec
import psutil

from diagnostics.health.hang import evidence
from diagnostics.health.hang.decide import decide
from diagnostics.health.hang.verdict import Verdict
from engine.events import Header

FOLDER = "diag"
_HEADER = msgspec.json.Decoder(Header)


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds of an analysis. Each probe has its own limit within `collect_s`.

    Stacks are taken again every `round_s`, up to `rounds` times in all, until two agree on the ranks at fault
    and do not move.
    """

    collect_s: float = 15.0
    round_s: float = 10.0
    rounds: int = 5


LIMITS = Limits()


def analyse_run(
    run_dir: Path,
    ranks: Mapping[int, int | None],
    world_size: int,
    *,
    limits: Limits = LIMITS,
    oom_kills_before: int | None = None,
) -> Verdict:
    """What the ranks of a run on this machine wait for.

    `ranks`: pid of each rank, None where it is not known or has ended. `oom_kills_before`: what
    `host_facts.oom_kills` told when the run began. Blocks for up to `limits.collect_s` plus the rounds; call
    it in a thread. Writes `<run_dir>/diag/<time>/`. Signals only processes that registered for it, and
    changes nothing about the run.
    """
    stamp = time.strftime("%Y%m%d-%H%M%S")
    known = {rank: ranks.get(rank) for rank in range(world_size)}
    seen = evidence.collect(
        run_dir, known, world_size, limit_s=limits.collect_s, oom_kills_before=oom_kills_before
    )
    verdict = decide(seen)
    for _ in range(limits.rounds - 1):
        if verdict.kind in ("dead-process", "host-oom", "stopped-process", "no-hang"):
            break
        time.sleep(limits.round_s)
        again = evidence.look(run_dir, known, limits.collect_s)
        seen = msgspec.structs.replace(seen, rounds=(*seen.rounds, again))
        before, verdict = verdict, decide(seen)
        if verdict.confidence != "low" and (verdict.kind, verdict.ranks) == (before.kind, before.ranks):
            break
    _keep(seen, verdict, run_dir, run_dir / FOLDER / stamp)
    return verdict


def ranks_of(run_dir: Path) -> dict[int, int | None]:
    """Pid of each rank as the last header of its event file tells, whether it lives or not.

    None for a rank of another machine, one without events, and where the number went to a later process.
    """
    headers = {}
    for file in sorted((run_dir / "events").glob("rank-*.jsonl")):
        if header := _last_header(file):
            headers[header.rank] = header
    world_size = max((header.world_size for header in headers.values()), default=0)
    return {rank: _pid(headers[rank]) if rank in headers else None for rank in range(world_size)}


def _last_header(file: Path) -> Header | None:
    try:
        data = file.read_bytes()
        start = data.rfind(b'{"kind":"header"')
        return _HEADER.decode(data[start : data.index(b"\n", start)]) if start >= 0 else None
    except (OSError, ValueError):
        return None


def _pid(header: Header) -> int | None:
    if header.host and header.host != socket.gethostname():
        return None
    try:
        began = psutil.Process(header.pid).create_time()
    except psutil.Error:
        return header.pid
    return header.pid if began <= header.t + 1.0 else None


def _keep(seen: evidence.Evidence, verdict: Verdict, run_dir: Path, folder: Path) -> None:
    """Evidence that cannot be written (a full disk may be the cause) must not cost the verdict."""
    try:
        evidence.keep(seen, run_dir, folder)
        (folder / "verdict.json").write_bytes(msgspec.json.format(msgspec.json.encode(verdict)))
    except OSError as error:
        print(f"the evidence could not be kept in {folder}: {error}", file=sys.stderr)
