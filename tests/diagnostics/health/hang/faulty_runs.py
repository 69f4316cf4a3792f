"""Runs of four real ranks over gloo, one with a fault: started by the supervisor, watched until stuck."""

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

from diagnostics.health.hang.analysis import Limits, analyse_run, ranks_of
from diagnostics.health.hang.verdict import Verdict
from engine.config.load import dump_resolved, layer_from_sets, resolve
from engine.events import Phase
from rftui.launch.start import start_detached
from rftui.launch.stop import is_over
from rftui.runs.follow import EventFollower
from rftui.runs.info import RunInfo
from rftui.runs.rundir import RunDir, create

ROOT = Path(__file__).resolve().parents[4]
RANKS, FAULTY, STEP = 4, 2, 3
STUCK_S = 8.0
GIVE_UP_S = 240.0
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


@dataclass(frozen=True)
class Found:
    """A verdict, how many seconds after the last progress it came, and whether the run had ended."""

    verdict: Verdict
    seconds: float
    over: bool


def analysed_when_stuck(run: RunDir, limits: Limits) -> Found:
    """Watch a run as the supervisor does: analyse it when it is stuck, go on when the analysis says so."""
    progress = Progress(run)
    deadline = time.monotonic() + GIVE_UP_S
    while time.monotonic() < deadline:
        last = progress.last()
        ranks = ranks_of(run.path)
        over = is_over(run)
        if over or (len(ranks) == RANKS and time.time() - last > STUCK_S):
            verdict = analyse_run(run.path, ranks, RANKS, limits=limits)
            if over or verdict.kind != "no-hang":
                return Found(verdict, time.time() - last, over)
            progress.begun = time.time()
        time.sleep(0.2)
    raise TimeoutError(f"{run.path} did not stop within {GIVE_UP_S:g} s")


def started(folder: Path, name: str, fault: str, steps: int) -> RunDir:
    """Start a run whose rank `FAULTY` has the fault."""
    run_dir = create(folder, name)
    config = resolve([layer_from_sets([*settings(folder, fault), f"optim.max_steps={steps}"])])
    run_dir.config_path.write_text(dump_resolved(config))
    run_dir.write_info(RunInfo(name=name, status="planned", created=time.time(), nproc=RANKS))
    fault_of_rank = {
        "HANG_FAULT": "none" if fault == "reward" else fault,
        "HANG_RANK": str(FAULTY),
        "HANG_STEP": str(STEP),
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(Path(__file__).parent),
    }
    with mock.patch.dict(os.environ, fault_of_rank):
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
