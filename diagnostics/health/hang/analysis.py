"""Why a run makes no progress: probes every rank, decides, and keeps the evidence."""

from collections.abc import Mapping
from pathlib import Path

import msgspec

from diagnostics.health.hang.verdict import Verdict


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds of an analysis. Each probe has its own limit within `collect_s`.

    Stacks are taken again every `round_s`, up to `rounds` times in all, until they move: then it is slow.
    """

    collect_s: float = 15.0
    round_s: float = 10.0
    rounds: int = 5


LIMITS = Limits()


def analyse_run(
    run_dir: Path, ranks: Mapping[int, int | None], world_size: int, *, limits: Limits = LIMITS
) -> Verdict:
    """What the ranks of a run on this machine wait for.

    `ranks`: pid of each rank, None where it is not known or has ended. Blocks for up to `limits.collect_s`
    plus the rounds; call it in a thread. Writes `<run_dir>/diag/<time>/`. Signals only processes that
    registered for it, and changes nothing about the run.
    """
    raise NotImplementedError


def ranks_of(run_dir: Path) -> dict[int, int | None]:
    """Pid of each rank as the last header of its event file tells; None where that process is gone."""
    raise NotImplementedError
