"""Faults injected into four real ranks, and what the hang analysis makes of them.

    python benchmarks/diagnostics_hangs.py [--quick] [--only FAULT|none]

Each run trains a tiny model over gloo until one rank has its fault; once no rank has begun or ended a phase
for `STUCK_S` seconds the analysis is called, as the supervisor does. Healthy runs are watched the same way.
Then the dumps of our runs and two recorded sets are given to PyTorch's own analyzer too. The last line is
JSON.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

# engine.py in this folder would hide the package of that name, so the folder gives way to the checkout.
sys.path[0] = str(Path(__file__).resolve().parents[1])

import msgspec  # noqa: E402

from diagnostics.health.hang.analysis import Limits  # noqa: E402
from diagnostics.health.hang.dump_analysis import analyse_dumps  # noqa: E402
from diagnostics.health.hang.verdict import Verdict  # noqa: E402
from rftui.launch.processes import kill_processes_of  # noqa: E402
from tests.diagnostics.health.hang.faulty_runs import (  # noqa: E402
    EXPECTED,
    analysed_when_stuck,
    silent_server,
    started,
    write_inputs,
)

ROOT = Path(__file__).resolve().parents[1]
RECORDED = ROOT.parent / "shared" / "data" / "flight_recorder"
LIMITS = Limits(collect_s=6.0, round_s=2.0, rounds=3)
HEALTHY_STEPS = 25

INJECTED = {
    "skip": "skips a collective",
    "sleep": "sleeps in the update",
    "stop": "gets SIGSTOP",
    "kill": "gets SIGKILL",
    "shape": "reduces another shape",
    "exception": "raises an exception",
    "data": "reads data for ever",
    "reward": "all ask a silent server",
    "engine": "samples for ever",
}


class Row(msgspec.Struct):
    """One run: what was injected, what was found, and seconds from the last progress to the verdict."""

    fault: str
    expected_kind: str
    expected_ranks: tuple[int, ...]
    kind: str
    ranks: tuple[int, ...]
    confidence: str
    seconds: float
    said: str
    right: bool
    torch: str = ""


def run(quick: bool, only: str = "all") -> list[Row]:
    """One fault or all, then healthy runs (`none`): two if `quick`, else ten."""
    rows = []
    with tempfile.TemporaryDirectory(prefix="rftui-hangs-") as name, silent_server() as port:
        folder = Path(name)
        write_inputs(folder, port)
        for fault in EXPECTED:
            if only in ("all", fault):
                rows.append(with_fault(folder, fault))
                _print(rows[-1])
        for number in range(0 if only not in ("all", "none") else 2 if quick else 10):
            rows.append(healthy(folder, f"healthy-{number}"))
            _print(rows[-1])
    return rows


def with_fault(folder: Path, fault: str) -> Row:
    """A run with one fault, until there is a verdict."""
    run_dir = started(folder, fault, fault, 1000)
    try:
        found = analysed_when_stuck(run_dir, LIMITS)
        verdict, seconds = found.verdict, found.seconds
        theirs = torch_analyzer(run_dir.path / "flight_recorder", "rank_")
    finally:
        kill_processes_of(run_dir.path)
    kinds, ranks = EXPECTED[fault]
    right = verdict.kind in kinds and verdict.ranks == ranks
    if not right:
        kept = Path(tempfile.gettempdir()) / f"rftui-wrong-{fault}"
        shutil.copytree(run_dir.path, kept, dirs_exist_ok=True, ignore=shutil.ignore_patterns("*.pipe"))
        print(f"the run is kept in {kept}", file=sys.stderr)
    return _row(fault, verdict, kinds[0], ranks, seconds, right, theirs)


def healthy(folder: Path, name: str) -> Row:
    """A run without a fault, analysed as often as it seems stuck: a verdict before its end is wrong."""
    run_dir = started(folder, name, "none", HEALTHY_STEPS)
    try:
        found = analysed_when_stuck(run_dir, LIMITS)
    finally:
        kill_processes_of(run_dir.path)
    status = run_dir.read_info().status
    silent = Verdict(kind="no-hang", ranks=(), cause="unknown", said=f"no alarm, the run {status}")
    verdict = silent if found.over else found.verdict
    return _row("none", verdict, "no-hang", (), 0.0, found.over and status == "finished")


def _row(
    fault: str,
    verdict: Verdict,
    kind: str,
    ranks: tuple[int, ...],
    seconds: float,
    right: bool,
    theirs: str = "",
) -> Row:
    return Row(
        fault=fault,
        expected_kind=kind,
        expected_ranks=ranks,
        kind=verdict.kind,
        ranks=verdict.ranks,
        confidence=verdict.confidence,
        seconds=round(seconds, 1),
        said=verdict.said,
        right=right,
        torch=theirs,
    )


# --- PyTorch's analyzer -----------------------------------------------------------------------------------


def torch_analyzer(folder: Path, prefix: str) -> str:
    """What PyTorch's own analyzer says of a folder of dumps, in one line."""
    command = [sys.executable, "-m", "torch.distributed.flight_recorder.fr_trace", str(folder), "-p", prefix]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    lines = [line.strip() for line in (done.stdout + done.stderr).splitlines() if line.strip()]
    if done.returncode:
        return f"fails: {lines[-1] if lines else done.returncode}"
    culprits = [line for line in lines if "Culprit" in line or "mismatch" in line.lower()]
    missing = list(dict.fromkeys(line for line in lines if line.startswith("missing ranks")))
    return "; ".join([*culprits[:2], *missing]) or "names nobody"


def recorded_sets() -> list[dict[str, str]]:
    """The two recorded sets with known ranks, ours beside PyTorch's."""
    rows = []
    for folder in sorted(RECORDED.iterdir()) if RECORDED.is_dir() else []:
        if not folder.is_dir():
            continue
        began = time.perf_counter()
        verdict = analyse_dumps([folder])
        seconds = time.perf_counter() - began
        injected = (folder / "fault_injection.log").read_text().splitlines()[0].partition(": ")[2]
        rows.append(
            {
                "set": folder.name,
                "injected": injected,
                "ours": f"{verdict.kind} {list(verdict.ranks)} in {seconds * 1000:.0f} ms",
                "torch": torch_analyzer(folder, "_dump_"),
            }
        )
    return rows


# --- output -----------------------------------------------------------------------------------------------


def print_report(quick: bool, only: str = "all") -> dict[str, Any]:
    """Print the tables; the figures. `only`: one fault, or `none` for healthy runs alone."""
    print(f"{'fault':<12}{'injected':<26}{'found':<18}{'ranks':<10}{'sure':<8}{'seconds':>8}  right")
    rows = run(quick, only)
    print("\nPyTorch's own analyzer on the dumps of these runs")
    for row in rows:
        if row.torch:
            print(f"  {row.fault:<12}{row.torch[:140]}")
    print("\nrecorded sets of 16 ranks")
    sets = recorded_sets()
    for known in sets:
        print(
            f"  {known['set']}: injected {known['injected']}; ours {known['ours']}; torch: {known['torch']}"
        )
    faults = [row for row in rows if row.fault != "none"]
    quiet = [row for row in rows if row.fault == "none"]
    return {
        "right": sum(row.right for row in faults),
        "faults": len(faults),
        "slowest_s": max((row.seconds for row in faults), default=0.0),
        "healthy": len(quiet),
        "false_alarms": sum(not row.right for row in quiet),
        "recorded": sets,
    }


def main() -> int:
    """Print the report; returns 1 if one answer was wrong or came late."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="two healthy runs instead of ten")
    parser.add_argument(
        "--only", default="all", choices=("all", "none", *EXPECTED), help="one fault, or none"
    )
    args = parser.parse_args()
    figures = print_report(args.quick, args.only)
    print(json.dumps(figures))
    right = figures["right"] == figures["faults"] and figures["false_alarms"] == 0
    return 0 if right and figures["slowest_s"] <= 30 else 1


def _print(row: Row) -> None:
    injected = INJECTED.get(row.fault, "nothing")
    ranks = ", ".join(map(str, row.ranks)) or ("all" if row.expected_kind == row.kind == "reward" else "-")
    print(
        f"{row.fault:<12}{injected:<26}{row.kind:<18}{ranks:<10}{row.confidence:<8}{row.seconds:>8.1f}  "
        f"{'yes' if row.right else 'NO'}\n            {row.said[:200]}",
        flush=True,
    )


if __name__ == "__main__":
    sys.exit(main())
