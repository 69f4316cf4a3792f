"""How well and how fast failure logs are diagnosed: labelled ones, alone and in healthy output; speed."""

import json
import random
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[1]
CORPUS = ROOT.parent / "shared" / "data" / "failures"
HEALTHY_LINES = 100_000
RANKS = 8
SPEED_MB = 1000
QUICK_MB = 100
QUICK_EMBEDDED = 8
"""Logs that are hidden in healthy output with --quick."""


class Row(NamedTuple):
    """A labelled log and what was said of it; `cause` is `none` where nothing failed."""

    id: str
    cause: str
    said: str
    right_group: bool
    seconds: float


def labels() -> list[dict[str, Any]]:
    """The labelled logs; empty where the corpus is not there."""
    path = CORPUS / "labels.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []


def judged(rows: list[dict[str, Any]], text: Callable[[str], str]) -> Iterator[Row]:
    """Diagnose each log after `text` was done to it."""
    from diagnostics.knowledge.diagnose import diagnose
    from diagnostics.knowledge.load import knowledge

    groups = {**knowledge().groups, "none": "none"}
    with tempfile.TemporaryDirectory() as folder:
        for row in rows:
            log = Path(folder) / f"{row['id']}.log"
            log.write_text(text((CORPUS / "logs" / f"{row['id']}.log").read_text()))
            started = time.perf_counter()
            findings = diagnose(str(log)).findings
            seconds = time.perf_counter() - started
            said = findings[0].cause if findings else "none"
            right = groups.get(said, "unknown") == groups.get(row["cause"])
            yield Row(row["id"], row["cause"], said, right, seconds)
            log.unlink()


def healthy_lines(seed: int = 0) -> Iterator[str]:
    """Endless typical output of a healthy run of 8 ranks: engine, trainer, progress bars, warnings."""
    pick = random.Random(seed)
    step = 0
    while True:
        step += 1
        clock = f"08:{step // 60 % 60:02d}:{step % 60:02d}"
        yield from _start_of_step(step, pick)
        for rank in range(RANKS):
            pid = 8800 + rank
            for micro in range(4):
                yield (
                    f"[rank{rank}]:[I327 {clock}.{pick.randrange(10**6):06d} "
                    f"trainer.py:412] micro batch {micro} tokens={pick.randrange(9000, 16000)} "
                    f"loss={pick.uniform(-0.1, 0.1):.5f} grad_norm={pick.uniform(0.05, 0.6):.4f}"
                )
            yield (
                f"\x1b[36m(WorkerDict pid={pid}, ip=10.0.2.{rank})\x1b[0m step:{step} - "
                f"actor/pg_loss:{pick.uniform(-0.1, 0.1):.4f} - actor/grad_norm:{pick.uniform(0.1, 0.6):.4f}"
                f" - critic/score/mean:{pick.random():.4f} - timing_s/step:{pick.uniform(40, 80):.3f}"
            )
            yield (
                f"(EngineCore_DP{rank} pid={pid + 100}) INFO 03-27 {clock} [loggers.py:118] Engine 00{rank}: "
                f"Avg prompt throughput: {pick.uniform(100, 900):.1f} tokens/s, "
                f"Avg generation throughput: {pick.uniform(1000, 9000):.1f} tokens/s, Running: "
                f"{pick.randrange(64)} reqs, Waiting: {pick.randrange(9)} reqs, GPU KV cache usage: "
                f"{pick.uniform(1, 60):.1f}%, Prefix cache hit rate: {pick.uniform(1, 90):.1f}%"
            )


def _start_of_step(step: int, pick: random.Random) -> Iterator[str]:
    bar = "█" * (step % 10) + " " * (10 - step % 10)
    yield (
        f"Training Progress: {step % 100:3d}%|{bar}| {step}/100000 "
        f"[{step // 60:02d}:{step % 60:02d}<99:12:01, {pick.uniform(1, 9):.2f}s/it]"
    )
    yield (
        f"{{'loss': {pick.uniform(0, 0.1):.4f}, 'grad_norm': {pick.uniform(0, 1):.4f}, 'learning_rate': "
        f"{pick.uniform(1e-7, 1e-6):.6e}, 'reward': {pick.random():.4f}, 'reward_std': {pick.random():.3f}, "
        f"'kl': {pick.uniform(0, 0.01):.6f}, 'epoch': {step / 1000:.2f}}}"
    )
    yield f"[2026-03-27 08:{step // 60 % 60:02d}:{step % 60:02d} TP{step % 8}] Decode batch. #running-req: 12"
    if step % 50 == 0:
        words = " ".join(pick.choice(_WORDS) for _ in range(60))
        yield f"(TaskRunner pid=8703) [response] {words}"
    if step % 200 == 0:
        yield "`use_cache=True` is incompatible with gradient checkpointing. Setting `use_cache=False`."


_WORDS = re.findall(
    r"\w+",
    "the answer is so we first compute total then divide by number of apples each student has left over "
    "and therefore minutes error rate failed attempts memory of time because sum equals product",
)


def hidden(text: str, lines: int = HEALTHY_LINES, seed: int = 0) -> str:
    """A failing log inside healthy output: its lines stand at two thirds, with healthy ones between them."""
    pick = random.Random(seed)
    healthy = healthy_lines(seed)
    before = [next(healthy) for _ in range(lines * 2 // 3)]
    inside: list[str] = []
    for line in text.splitlines():
        inside += [next(healthy) for _ in range(pick.randrange(3))]
        inside.append(line)
    after = [next(healthy) for _ in range(lines - len(before))]
    return "\n".join([*before, *inside, *after]) + "\n"


class Speed(NamedTuple):
    """Of one scan in a process of its own: megabytes, seconds of the clock and of its core, peak MB."""

    megabytes: float
    seconds: float
    core_seconds: float
    peak_mb: float

    @property
    def rate(self) -> float:
        """MB per second of the core, which other programs on the machine do not lengthen."""
        return self.megabytes / self.core_seconds


def speed(megabytes: int, folder: Path) -> Speed:
    """Diagnose a typical log of this size with one failure in its middle."""
    log = folder / "typical.log"
    write_typical(log, megabytes * 10**6)
    code = (
        "import sys, time, resource\n"
        "from diagnostics.knowledge.diagnose import diagnose\n"
        "from diagnostics.knowledge.load import knowledge\n"
        "knowledge(); started, core = time.perf_counter(), time.process_time()\n"
        "found = diagnose(sys.argv[1])\n"
        "print(time.perf_counter() - started, time.process_time() - core)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000)\n"
        "assert found.findings, 'the failure in the middle was not found'\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, str(log)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return Speed(log.stat().st_size / 1e6, *map(float, run.stdout.split()))


def write_typical(log: Path, size: int) -> None:
    """Write healthy output of about `size` bytes with one failure in the middle.

    One part of 16 MB is generated and repeated with other numbers, which is as hard as new lines would be.
    """
    healthy = healthy_lines()
    part = bytearray()
    while len(part) < min(size, 16_000_000):
        part += (next(healthy) + "\n").encode()
    digits = b"0123456789"
    with log.open("wb") as file:
        for number in range(max(1, round(size / len(part)))):
            turned = digits[number % 10 :] + digits[: number % 10]
            file.write(part.translate(bytes.maketrans(digits, turned)))
            if number == round(size / len(part)) // 2:
                file.write(
                    b"[rank3]: torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 5.55 GiB. GPU 3 "
                    b"has a total capacity of 79.10 GiB of which 2.90 GiB is free.\n"
                )


def print_report(quick: bool) -> dict[str, Any]:
    """All measurements, printed as tables; the figures for the JSON line."""
    figures: dict[str, Any] = {}
    rows = labels()
    if rows:
        figures["corpus"] = _print_accuracy("The corpus as it is", list(judged(rows, str)))
        some = rows[:: max(1, len(rows) // QUICK_EMBEDDED)] if quick else rows
        title = f"Each log inside {HEALTHY_LINES:,} lines of healthy output of {RANKS} ranks"
        figures["embedded"] = _print_accuracy(title, list(judged(some, hidden)))
    else:
        print(f"no labelled logs: {CORPUS} is not there")
    with tempfile.TemporaryDirectory() as folder:
        found = speed(QUICK_MB if quick else SPEED_MB, Path(folder))
    print("\nSpeed on one core\n\n| MB | seconds | of the core | MB/s | peak memory MB |")
    print("|---|---|---|---|---|")
    print(
        f"| {found.megabytes:.0f} | {found.seconds:.1f} | {found.core_seconds:.1f} | "
        f"{found.rate:.0f} | {found.peak_mb:.0f} |"
    )
    figures["speed"] = {
        "megabytes": round(found.megabytes),
        "seconds": round(found.seconds, 2),
        "core_seconds": round(found.core_seconds, 2),
        "mb_per_second": round(found.rate),
        "peak_mb": round(found.peak_mb),
    }
    return figures


def _print_accuracy(title: str, rows: list[Row]) -> dict[str, Any]:
    failures = [row for row in rows if row.cause != "none"]
    right = sum(row.said == row.cause for row in failures)
    groups = sum(row.right_group for row in failures)
    alarms = [row for row in rows if row.cause == "none" and row.said != "none"]
    healthy = len(rows) - len(failures)
    print(f"\n{title}\n\n| failures | right cause | right group | healthy | false alarms | median s |")
    print("|---|---|---|---|---|---|")
    seconds = statistics.median(row.seconds for row in rows)
    print(
        f"| {len(failures)} | {right / len(failures):.1%} | {groups / len(failures):.1%} | {healthy} | "
        f"{len(alarms)} | {seconds:.3f} |"
    )
    for row in rows:
        if row.said != row.cause:
            print(f"  {row.id}: {row.cause}, said: {row.said}")
    return {
        "failures": len(failures),
        "right_cause": round(right / len(failures), 4),
        "right_group": round(groups / len(failures), 4),
        "healthy": healthy,
        "false_alarms": len(alarms),
    }
