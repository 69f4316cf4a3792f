"""Checks that let ranks talk to each other: sums with a deadline, sending between GPUs, clocks."""

import re
from collections.abc import Sequence
from typing import Any
from weakref import WeakKeyDictionary

import msgspec

from diagnostics.doctor.check import Answer, CannotCheck, Check, DoesNotApply, Ok
from diagnostics.doctor.checks import children
from diagnostics.doctor.checks.run_facts import machines, ranks, uses_gpus
from diagnostics.doctor.host import Host
from engine.findings import Finding, Fix

STAGES = ("absent", "starting", "joining", "adding", "passing on", "telling the time", "done")
"""Of a rank, in their order; `absent` has not said anything."""
DEADLINE_S = 20
LIMIT_S = 90.0
APART_S = 2.0
"""From which on the clocks of two machines differ too much to compare logs, and certificates may fail."""
SLOW = 2e9
"""Bytes per second between GPUs of one machine under which data goes around by its memory or its network."""


_CASCADE = re.compile(r"tim(e|ed) ?out|connection (closed|reset)|broken pipe|aborted", re.IGNORECASE)
"""Of a rank that waited for another, or lost it."""


class Rank(msgspec.Struct, frozen=True):
    """Where a rank of the probe got to, and what it found."""

    rank: int
    stage: str = "absent"
    node: int = 0
    host: str = ""
    pid: int = 0
    backend: str = ""
    device: str = ""
    error: str = ""
    wrong_sums: int = 0
    wrong_passed: int = 0
    bytes_per_second: float = 0.0
    clocks: tuple[tuple[int, str, float], ...] = ()

    @property
    def reached(self) -> int:
        return STAGES.index(self.stage)

    def words(self) -> str:
        """Where it is, for evidence."""
        where = f"rank {self.rank} ({self.device or 'no device yet'}): {self.stage}"
        return f"{where}: {self.error}" if self.error else where


class Outcome(msgspec.Struct, frozen=True):
    """All ranks of this machine, those that never came included, and the end of what they printed."""

    ranks: tuple[Rank, ...]
    seconds: float
    tail: tuple[str, ...] = ()

    @property
    def done(self) -> bool:
        return all(rank.stage == "done" for rank in self.ranks)


_outcomes: WeakKeyDictionary[Any, dict[tuple[str, ...], Outcome]] = WeakKeyDictionary()


def _together(host: Host, *arguments: str) -> Outcome:
    """The outcome of the probe with these arguments, run once for all checks that ask for it."""
    known = _outcomes.setdefault(host, {})
    if arguments not in known:
        seen = children.ask(host, "collective", *arguments, limit_s=LIMIT_S)
        there = {rank.rank: rank for rank in msgspec.convert(seen["ranks"], tuple[Rank, ...])}
        first = int(arguments[2]) * int(arguments[0]) if len(arguments) > 1 else 0
        numbers = range(first, first + seen["expected"])
        all_ranks = tuple(there.get(number, Rank(number)) for number in numbers)
        known[arguments] = Outcome(all_ranks, seen["seconds"], tuple(seen["tail"]))
    return known[arguments]


def _arguments(host: Host) -> tuple[str, ...]:
    """Of the probe with all ranks of all machines. Raises CannotCheck where a machine's place is not said."""
    count = machines(host)
    if count == 1:
        return (str(ranks(host)),)
    environ = host.environ
    node = environ.get("NODE_RANK") or environ.get("SLURM_NODEID", "")
    address, port = environ.get("MASTER_ADDR", ""), environ.get("MASTER_PORT", "29500")
    if not node.isdecimal() or not address:
        raise CannotCheck(
            f"{count} machines: start it on each, with NNODES={count}, NODE_RANK=0…{count - 1}, "
            "MASTER_ADDR and MASTER_PORT set"
        )
    return (str(ranks(host)), str(count), node, address, port)


def _pair(host: Host) -> Answer:
    if uses_gpus(host) and len(host.hardware.gpus) < 2:
        raise DoesNotApply("there is one GPU only")
    return _judged("comm.pair", _together(host, "2"))


def _all(host: Host) -> Answer:
    arguments = _arguments(host)
    if len(arguments) == 1 and int(arguments[0]) <= 2:
        raise DoesNotApply(f"there are no more than 2 ranks ({arguments[0]}): comm.pair")
    return _judged("comm.all", _together(host, *arguments))


def _judged(id: str, outcome: Outcome) -> Answer:
    """What the sums say: who did not come, what came out wrong, how fast it was."""
    reports = outcome.ranks
    if not outcome.done:
        return _late(id, outcome)
    wrong = [rank for rank in reports if rank.wrong_sums]
    if wrong:
        return _wrong(
            f"{id}.wrong-sum", "a sum over all ranks is wrong", wrong, [r.wrong_sums for r in wrong]
        )
    speed, backend = min(rank.bytes_per_second for rank in reports), reports[0].backend
    words = f"{len(reports)} ranks over {backend} add right, {speed / 1e9:.2f} GB/s"
    alone = len({rank.node for rank in reports}) == 1
    if backend == "nccl" and alone and speed < SLOW:
        return Finding(
            id=f"{id}.slow",
            severity="warning",
            cause=f"{words}: GPUs of one machine reach 10 GB/s over PCIe and 100 and more over NVLink.",
            fixes=(
                Fix(
                    "see which way NCCL takes (P2P, SHM or NET)",
                    command="NCCL_DEBUG=INFO rft doctor --active",
                ),
                Fix("let it use the direct ways", command="unset NCCL_P2P_DISABLE NCCL_SHM_DISABLE"),
                Fix("see how the GPUs are joined", command="nvidia-smi topo -m"),
            ),
        )
    return Ok(words)


def _late(id: str, outcome: Outcome) -> Finding:
    """Names who is behind; where nobody is, what joins them is at fault."""
    unfinished = [rank for rank in outcome.ranks if rank.stage != "done"]
    least = min(rank.reached for rank in unfinished)
    behind = [rank for rank in unfinished if rank.reached == least]
    others = [rank for rank in outcome.ranks if rank.reached > least]
    gpus = any(rank.backend == "nccl" for rank in outcome.ranks)
    if failed := [rank for rank in unfinished if rank.error and not _CASCADE.search(rank.error)]:
        cause = f"{_names(failed)} failed at '{failed[0].stage}': {failed[0].error}."
    elif others or len(outcome.ranks) == 1:
        did = "did not start" if least <= 1 else f"stayed at '{STAGES[least]}'"
        cause = f"{_names(behind)} {did} within {outcome.seconds:.0f} s"
        cause += f", and {_names(others)} waited." if others else "."
    else:
        cause = (
            f"no rank got beyond '{STAGES[least]}' within {outcome.seconds:.0f} s: nobody is behind, so what "
        )
        cause += "joins them does not work."
    fixes = [Fix("see what they set up and where they stop", command="NCCL_DEBUG=INFO rft doctor --active")]
    if gpus:
        fixes.append(
            Fix(
                "try without direct access between GPUs, which a virtual machine or the IOMMU may break",
                command="NCCL_P2P_DISABLE=1 rft doctor --active",
            )
        )
    fixes.append(
        Fix(
            "name the interface that joins them", command="export GLOO_SOCKET_IFNAME=lo NCCL_SOCKET_IFNAME=lo"
        )
    )
    told = [rank.words() for rank in outcome.ranks]
    said = [line.strip() for line in outcome.tail if "Error" in line][-3:]
    return Finding(f"{id}.deadline", "error", cause, (*told, *said), tuple(fixes))


def _wrong(id: str, what: str, wrong: Sequence[Rank], counts: Sequence[int]) -> Finding:
    return Finding(
        id=id,
        severity="error",
        cause=f"{what} on {_names(wrong)}: data are damaged on the way, or in the memory of a card.",
        evidence=tuple(
            f"rank {rank.rank} ({rank.device}): {count:,} wrong elements"
            for rank, count in zip(wrong, counts, strict=True)
        ),
        fixes=(
            Fix("try the plain protocol", command="NCCL_PROTO=Simple rft doctor --active"),
            Fix("try without direct access between GPUs", command="NCCL_P2P_DISABLE=1 rft doctor --active"),
            Fix("test the hardware (GPUs must be idle)", command="dcgmi diag -r 3"),
        ),
    )


def _ipc(host: Host) -> Answer:
    if not uses_gpus(host) or len(host.hardware.gpus) < 2:
        raise DoesNotApply("there are no two GPUs that torch can use")
    outcome = _together(host, "2")
    wrong = [rank for rank in outcome.ranks if rank.wrong_passed]
    if wrong:
        counts = [rank.wrong_passed for rank in wrong]
        return _wrong("gpu.ipc", "what one GPU sends another arrives damaged", wrong, counts)
    if outcome.done:
        return Ok("GPUs 0 and 1 send and receive")
    if min(rank.reached for rank in outcome.ranks) < STAGES.index("passing on"):
        raise CannotCheck("the ranks did not come so far: comm.pair")
    return Finding(
        id="gpu.ipc",
        severity="error",
        cause=f"GPUs 0 and 1 add numbers, but do not send them to each other within {DEADLINE_S} s: direct "
        "access is reported and does not work.",
        evidence=tuple(rank.words() for rank in outcome.ranks),
        fixes=(
            Fix("have access control (ACS) of the PCIe bridges, or the IOMMU, turned off in the BIOS"),
            Fix("or go around it by host memory, which is slower", command="export NCCL_P2P_DISABLE=1"),
        ),
    )


def _clock(host: Host) -> Answer:
    if machines(host) == 1:
        raise DoesNotApply("one machine has one clock")
    outcome = _together(host, *_arguments(host))
    told = next((rank.clocks for rank in outcome.ranks if rank.clocks), None)
    if told is None:
        raise CannotCheck("the ranks did not come so far: comm.all")
    of_node = {node: (name, clock) for node, name, clock in told}
    times = sorted((clock, name, node) for node, (name, clock) in of_node.items())
    apart = times[-1][0] - times[0][0]
    if apart <= APART_S:
        return Ok(f"the clocks of {len(times)} machines agree within {apart:.1f} s")
    return Finding(
        id="host.clock",
        severity="warning",
        cause=f"the clocks of the machines are {apart:.1f} s apart: {times[0][1]} is the slowest, "
        f"{times[-1][1]} the fastest. Their logs cannot be put in order by time.",
        evidence=tuple(
            f"machine {node}, {name}: {clock - times[0][0]:+.1f} s" for clock, name, node in times
        ),
        fixes=(
            Fix(
                "synchronise them, on each", command="sudo systemctl enable --now chronyd && chronyc makestep"
            ),
            Fix("see whether a clock is synchronised", command="timedatectl status"),
        ),
    )


def _names(which: Sequence[Rank]) -> str:
    return f"rank{'s' if len(which) > 1 else ''} {', '.join(str(rank.rank) for rank in which)}"


CHECKS: tuple[Check, ...] = (
    Check("comm.pair", "two ranks add right and in time", "active", _pair, ("torch",), 2 * LIMIT_S),
    Check("comm.all", "all ranks add right and in time", "active", _all, ("torch",), 2 * LIMIT_S),
    Check("gpu.ipc", "GPUs send to each other directly", "active", _ipc, ("gpus", "torch"), 2 * LIMIT_S),
    Check("host.clock", "the machines' clocks agree", "active", _clock, ("torch",), 2 * LIMIT_S),
)
