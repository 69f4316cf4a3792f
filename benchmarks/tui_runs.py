"""Run directories for `benchmarks/tui.py`, and the processes that make them grow.

python benchmarks/tui_runs.py steady|busy|lines RUNS_DIR [NUMBER]
"""

import argparse
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# engine.py in this folder would hide the package of that name, so the folder gives way to the checkout.
sys.path[0] = str(ROOT)
sys.path.insert(1, str(ROOT / "tests/rftui/tui"))

from fake_cluster import FakeCluster  # noqa: E402
from fake_run import FakeRun  # noqa: E402

from engine.events import EventWriter, Heartbeat, Memory, Metric, Phase  # noqa: E402
from rftui.runs.rundir import RunDir  # noqa: E402

DONE = 200
"""Steps that a growing run has behind it when it is opened."""
LINE = "step {:>9} reward 0.612 kl 0.0211 len 412 | a line as long as those of a log usually are, rank {}\n"


def steady(runs_dir: Path, gpus: int, step_s: float = 1.0) -> None:
    """A run of so many GPUs that goes on: every second all GPUs are sampled, every `step_s` a step ends."""
    pace = 0.9 / 8.1
    cluster = FakeCluster(runs_dir, f"steady-{gpus}", ranks=gpus, hosts=max(1, gpus // 8), total=100_000)
    cluster.pace = pace
    cluster.now = time.time() - DONE * 0.9
    for _ in range(DONE):
        cluster.step()
    print("ready", flush=True)
    due, next_step = time.monotonic(), 0.0
    while True:
        due += 1.0
        time.sleep(max(0.0, due - time.monotonic()))
        if time.monotonic() >= next_step:
            next_step = time.monotonic() + step_s - 0.5
            cluster.now = time.time() - 0.9
            cluster.step()
        else:
            cluster.now = time.time()
            cluster.sample()


def busy(runs_dir: Path, rate: int, ranks: int = 8) -> None:
    """A run whose ranks together write `rate` events per second, without end."""
    fake = FakeRun(runs_dir, "busy", ranks=ranks, total=1_000_000, age_s=900)
    for _ in range(DONE):
        fake.step()
    print("ready", flush=True)
    step, begin, written = DONE, time.monotonic(), 0
    while True:
        step += 1
        for rank, out in enumerate(fake.writers):
            for name in ("rollout", "reward", "logprob", "update", "sync"):
                out.emit(Phase, step=step, name=name, state="begin")
                out.emit(Phase, step=step, name=name, state="end", seconds=0.02)
                out.emit(Memory, step=step, phase=name, rss=3 << 30, allocated=9 << 30, reserved=10 << 30)
            out.emit(Heartbeat, step=step, phase="update")
            written += 16
            if rank == 0:
                values = {"reward/mean": 0.5 + step % 7 / 20, "kl/ref": 0.02, "policy/entropy": 0.6}
                out.emit(Metric, step=step, values=values)
                written += 1
        time.sleep(max(0.0, begin + written / rate - time.monotonic()))


def million_points(runs_dir: Path, points: int, metrics: int = 20) -> RunDir:
    """A finished run of nothing but metrics."""
    fake = FakeRun(runs_dir, "points", ranks=1, total=points // metrics, age_s=2000)
    steps = points // metrics
    names = ["reward/mean", "kl/ref", "policy/entropy", *(f"group{i % 5}/metric_{i}" for i in range(metrics))]
    start = fake.now
    out: EventWriter = fake.writers[0]
    for step in range(1, steps + 1):
        values: dict[str, float | None] = {
            name: (step * (i + 3) % 101) / 100 + step / steps for i, name in enumerate(names[:metrics])
        }
        out.write(Metric(t=start + 2000 * step / steps, rank=0, step=step, values=values))
    fake.done, fake.now = steps, start + 2000
    fake.end("finished")
    return fake.run


def big_log(runs_dir: Path, size: int) -> int:
    """A finished run whose rank 0 printed `size` bytes, with a needle in the last line; how many lines."""
    fake = FakeRun(runs_dir, "log", ranks=1, total=10, age_s=2000)
    for _ in range(10):
        fake.step()
    block = "".join(LINE.format(i, 0) for i in range(10_000)).encode()
    with (fake.run.logs_dir / "rank-00000.log").open("ab") as file:
        blocks = max(1, size // len(block))
        for _ in range(blocks):
            file.write(block)
        file.write(b"the needle stands in the last line\n")
    fake.end("finished")
    return blocks * 10_000 + 11


def lines(run: RunDir, count: int, rank: int = 1) -> None:
    """Write so many lines into one log of a run, as fast as a process can."""
    print("ready", flush=True)
    with (run.logs_dir / f"rank-{rank:05d}.log").open("a", buffering=1 << 16) as file:
        for number in range(count):
            file.write(LINE.format(number, rank))


def main() -> None:
    """The part of a child process."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("what", choices=("steady", "busy", "lines"))
    parser.add_argument("place", type=Path, help="the folder of runs; of `lines`, the run's")
    parser.add_argument("number", type=int, help="GPUs, events per second, or lines")
    parser.add_argument("--step-s", type=float, default=1.0)
    args = parser.parse_args()
    if args.what == "steady":
        steady(args.place, args.number, args.step_s)
    elif args.what == "busy":
        busy(args.place, args.number)
    else:
        lines(RunDir(args.place), args.number)


if __name__ == "__main__":
    main()
