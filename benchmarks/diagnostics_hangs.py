"""Faults injected into four real ranks, and what the hang analysis makes of them.

    python benchmarks/diagnostics_hangs.py [--quick] [--only FAULT]

Each run trains a tiny model over gloo until one rank has its fault; once no rank has begun or ended a phase
for `STUCK_S` seconds the analysis is called, as the supervisor does. Healthy runs are watched the same way.
Then the dumps of our runs and two recorded sets are given to PyTorch's own analyzer too. The last line is
JSON.
"""

import argparse
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# engine.py in this folder would hide the package of that name, so the folder gives way to the checkout.
sys.path[0] = str(Path(__file__).resolve().parents[1])

import msgspec  # noqa: E402

from diagnostics.health.hang.analysis import Limits, analyse_run, ranks_of  # noqa: E402
from diagnostics.health.hang.dump_analysis import analyse_dumps  # noqa: E402
from diagnostics.health.hang.verdict import Verdict  # noqa: E402
from engine.config.load import dump_resolved, layer_from_sets, resolve  # noqa: E402
from engine.events import Phase  # noqa: E402
from rftui.launch.processes import kill_processes_of  # noqa: E402
from rftui.launch.start import start_detached  # noqa: E402
from rftui.launch.stop import is_over  # noqa: E402
from rftui.runs.follow import EventFollower  # noqa: E402
from rftui.runs.info import RunInfo  # noqa: E402
from rftui.runs.rundir import RunDir, create  # noqa: E402

ROOT = Path(__file__).resolve().parents[1]
MODULE_FOLDER = ROOT / "tests" / "diagnostics" / "health" / "hang"
RECORDED = ROOT.parent / "shared" / "data" / "flight_recorder"
RANKS, FAULTY, STEP = 4, 2, 3
STUCK_S = 8.0
LIMITS = Limits(collect_s=6.0, round_s=2.0, rounds=3)
GIVE_UP_S = 180.0
HEALTHY_STEPS = 25

EXPECTED: dict[str, tuple[tuple[str, ...], tuple[int, ...]]] = {
    "skip": (("desync",), (FAULTY,)),
    "sleep": (("straggler",), (FAULTY,)),
    "stop": (("stopped-process",), (FAULTY,)),
    "kill": (("dead-process",), (FAULTY,)),
    "shape": (("desync",), (FAULTY,)),
    "exception": (("dead-process",), (FAULTY,)),
    "data": (("data",), (FAULTY,)),
    "reward": (("reward",), ()),
    "engine": (("engine",), (FAULTY,)),
}
"""Classes that are right, and the ranks at fault: none where a silent server keeps all of them alike."""
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
REWARD = """
import urllib.request

calls = 0

def score(responses, labels):
    global calls
    calls += 1
    if calls >= STEP:
        urllib.request.urlopen("http://127.0.0.1:PORT/score").read()
    return [float(len(r) % 2) for r in responses]
"""


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


def run(quick: bool, only: str = "") -> list[Row]:
    """All faults, then healthy runs: two if `quick`, else ten."""
    rows = []
    with tempfile.TemporaryDirectory(prefix="rftui-hangs-") as name, silent_server() as port:
        folder = Path(name)
        write_inputs(folder, port)
        for fault in EXPECTED:
            if only in ("", fault):
                rows.append(with_fault(folder, fault))
                _print(rows[-1])
        for number in range(0 if only else 2 if quick else 10):
            rows.append(healthy(folder, f"healthy-{number}"))
            _print(rows[-1])
    return rows


def with_fault(folder: Path, fault: str) -> Row:
    """A run with one fault, until there is a verdict."""
    run_dir = started(folder, fault, fault, 1000)
    try:
        stopped_at = wait_until_stuck(run_dir)
        verdict = analyse_run(run_dir.path, ranks_of(run_dir.path), RANKS, limits=LIMITS)
        seconds = time.time() - stopped_at
        theirs = torch_analyzer(run_dir.path / "flight_recorder", "rank_")
    finally:
        kill_processes_of(run_dir.path)
    kinds, ranks = EXPECTED[fault]
    right = verdict.kind in kinds and verdict.ranks == ranks
    return _row(fault, verdict, kinds[0], ranks, seconds, right, theirs)


def healthy(folder: Path, name: str) -> Row:
    """A run without a fault: an analysis is a false alarm unless it says that the run goes on."""
    run_dir = started(folder, name, "none", HEALTHY_STEPS)
    alarms = []
    progress = Progress(run_dir)
    try:
        while not is_over(run_dir):
            time.sleep(0.2)
            if time.time() - progress.last() > STUCK_S and not is_over(run_dir):
                verdict = analyse_run(run_dir.path, ranks_of(run_dir.path), RANKS, limits=LIMITS)
                if verdict.kind != "unknown" and not is_over(run_dir):
                    alarms.append(verdict)
                progress.begun = time.time()
    finally:
        kill_processes_of(run_dir.path)
    status = run_dir.read_info().status
    nothing = Verdict(kind="unknown", ranks=(), cause="unknown", said=f"no alarm, the run {status}")
    verdict = alarms[0] if alarms else nothing
    return _row("none", verdict, "unknown", (), 0.0, not alarms and status == "finished")


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


# --- runs -------------------------------------------------------------------------------------------------


class Progress:
    """When a rank last began or ended a phase."""

    def __init__(self, run_dir: RunDir) -> None:
        self.begun = 0.0
        self._phase = time.time()
        self._follower = EventFollower(run_dir.events_dir)

    def last(self) -> float:
        """Unix seconds of the last progress, or of `begun` if that is later."""
        for event in self._follower.poll():
            if isinstance(event, Phase):
                self._phase = max(self._phase, event.t)
        return max(self._phase, self.begun)


def wait_until_stuck(run_dir: RunDir) -> float:
    """Return when no phase has begun or ended for a while, or the run is over; the time of the last one."""
    progress = Progress(run_dir)
    deadline = time.monotonic() + GIVE_UP_S
    up = False
    while time.monotonic() < deadline:
        last = progress.last()
        up = up or any(run_dir.events_dir.glob("rank-*.jsonl"))
        if is_over(run_dir) or (up and time.time() - last > STUCK_S):
            return last
        time.sleep(0.2)
    raise TimeoutError(f"{run_dir.path} did not stop within {GIVE_UP_S:g} s")


def started(folder: Path, name: str, fault: str, steps: int) -> RunDir:
    """Start a run whose rank `FAULTY` has the fault."""
    run_dir = create(folder, name)
    config = resolve([layer_from_sets([*settings(folder, fault), f"optim.max_steps={steps}"])])
    run_dir.config_path.write_text(dump_resolved(config))
    run_dir.write_info(RunInfo(name=name, status="planned", created=time.time(), nproc=RANKS))
    os.environ.update(
        HANG_FAULT="none" if fault == "reward" else fault,
        HANG_RANK=str(FAULTY),
        HANG_STEP=str(STEP),
        OMP_NUM_THREADS="1",
        PYTHONPATH=str(MODULE_FOLDER),
    )
    start_detached(run_dir, module="faulty_rank")
    return run_dir


def settings(folder: Path, fault: str) -> list[str]:
    """The tiny run: seconds per step count on an idle machine in tenths."""
    return [
        f"model.pretrain={folder / 'model'}",
        "model.bf16=false",
        f"data.prompt_data={folder / 'data.jsonl'}",
        "batch.rollout_batch_size=4",
        "batch.n_samples_per_prompt=2",
        "batch.train_batch_size=8",
        "batch.micro_train_batch_size=2",
        "rollout.engine_type=hf",
        "rollout.max_len=24",
        "rollout.prompt_max_len=16",
        f"reward.reward_fn={folder / ('asking.py' if fault == 'reward' else 'local.py')}:score",
        "checkpoint.save_interval=0",
    ]


def write_inputs(folder: Path, port: int) -> None:
    """The model, the prompts and the reward functions of all runs."""
    program = "import sys; from pathlib import Path; from tests.engine.tiny import save_tiny_model; "
    program += "save_tiny_model(Path(sys.argv[1]))"
    subprocess.run([sys.executable, "-c", program, str(folder / "model")], cwd=ROOT, check=True)
    lines = [json.dumps({"input": str(i), "label": "10"}) for i in range(32)]
    (folder / "data.jsonl").write_text("\n".join(lines))
    asking = REWARD.replace("STEP", str(STEP)).replace("PORT", str(port))
    (folder / "asking.py").write_text(asking)
    (folder / "local.py").write_text(asking.replace(f"calls >= {STEP}", "False"))


@contextmanager
def silent_server() -> Iterator[int]:
    """A port that takes connections and never answers."""
    held = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def accept() -> None:
            while True:
                try:
                    held.append(server.accept())
                except OSError:
                    return

        threading.Thread(target=accept, daemon=True).start()
        yield server.getsockname()[1]


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


def main() -> int:
    """Print the table; returns 1 if one answer was wrong or came late."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="two healthy runs instead of ten")
    parser.add_argument("--only", default="", choices=("", *EXPECTED), help="one fault")
    args = parser.parse_args()
    print(f"{'fault':<12}{'injected':<26}{'found':<18}{'ranks':<10}{'sure':<8}{'seconds':>8}  right")
    rows = run(args.quick, args.only)
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
    summary = {
        "right": sum(row.right for row in faults),
        "faults": len(faults),
        "slowest_s": max((row.seconds for row in faults), default=0.0),
        "healthy": len(quiet),
        "false_alarms": sum(not row.right for row in quiet),
        "recorded": sets,
    }
    print(json.dumps(summary))
    return 0 if all(row.right and row.seconds <= 30 for row in rows) else 1


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
