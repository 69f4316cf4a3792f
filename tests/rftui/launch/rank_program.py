"""A rank that does what `model.pretrain` of its configuration says instead of training."""

import argparse
import ctypes
import os
import signal
import sys
import time
from pathlib import Path

from engine import failure
from engine.config.load import load_resolved
from engine.control import requested
from engine.events import EventWriter, Metric, Phase, Status

STEPS = 3


def main() -> None:
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # die with torchrun, as engine.train does
    parser = argparse.ArgumentParser()
    parser.add_argument("--config", type=Path)
    parser.add_argument("--run_dir", type=Path)
    parser.add_argument("--load_checkpoint")
    parser.add_argument("--ckpt_path")
    options = parser.parse_args()
    rank = int(os.environ["RANK"])
    mode = load_resolved(options.config).config.model.pretrain
    writer = EventWriter(options.run_dir / "events" / f"rank-{rank:05d}.jsonl", rank=rank)
    writer.emit(Status, state="running", total_steps=STEPS)
    MODES[mode](options.run_dir, rank, writer)


def finish(run_dir: Path, rank: int, writer: EventWriter) -> None:
    for step in range(1, STEPS + 1):
        writer.emit(Metric, step=step, values={"reward/mean": step / 4, "eval/accuracy": step / 8})
    writer.emit(Status, state="finished", step=STEPS)


def train(run_dir: Path, rank: int, writer: EventWriter) -> None:
    """Steps until a stop is asked for."""
    step = 0
    while (asked := requested(run_dir)) is None or asked.action != "stop":
        step += 1
        writer.emit(Metric, step=step, values={"reward/mean": 0.5})
        time.sleep(0.05)
    writer.emit(Status, state="stopped", step=step)


def hang(run_dir: Path, rank: int, writer: EventWriter) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(600)


def freeze(run_dir: Path, rank: int, writer: EventWriter) -> None:
    """Says where it is, and nothing more."""
    writer.emit(Phase, step=1, name="rollout", state="begin")
    time.sleep(600)


def fail_in_vain_once(run_dir: Path, rank: int, writer: EventWriter) -> None:
    """Fails, and cannot leave; the next attempt finishes."""
    if (run_dir / "errors").exists():
        finish(run_dir, rank, writer)
        return
    writer.emit(Phase, step=1, name="rollout", state="begin")
    failure.report(ValueError("reward is NaN"), run_dir)
    time.sleep(600)


def fail_on_rank_1(run_dir: Path, rank: int, writer: EventWriter) -> None:
    """Rank 1 raises and writes why; rank 0 waits for it."""
    if rank == 0:
        time.sleep(600)
    sys.exit(failure.report(ValueError("reward is NaN\nmore"), run_dir))


MODES = {
    "finish": finish,
    "train": train,
    "hang": hang,
    "fail_on_rank_1": fail_on_rank_1,
    "fail_in_vain_once": fail_in_vain_once,
    "freeze": freeze,
}

if __name__ == "__main__":
    main()
