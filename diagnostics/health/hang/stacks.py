"""The Python stacks of ranks: written by themselves on a signal, else taken by py-spy where it may be used.

Our engine registers SIGUSR1 with faulthandler, which answers also while native code holds the interpreter. A
process that did not register would be ended by the signal, so the kernel is asked for its handler each time.
"""

import os
import re
import shutil
import signal
import subprocess
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec

from diagnostics.health.hang.call_sites import CallSite, Frame, classify
from diagnostics.health.hang.processes import Process

_POLL_S = 0.05
_QUIET_S = 0.3
"""A stack file that has not grown for this long is complete."""
_THREAD = re.compile(r"(?:Current thread|Thread) (0x[0-9a-f]+)(?: \[(.*?)\])? \(most recent call first\)")
_FRAME = re.compile(r'  File "(.*)", line (\d+|\?\?\?) in (.*)')


class Thread(msgspec.Struct, frozen=True):
    """One thread's frames, innermost first."""

    name: str
    frames: tuple[Frame, ...]


class Stack(msgspec.Struct, frozen=True):
    """The threads of a rank, the main one first; without threads, `silence` says why."""

    rank: int
    threads: tuple[Thread, ...] = ()
    silence: str = ""
    asked: bool = False
    """Whether the rank has got the signal, on which it also dumps its flight recorder."""

    def site(self) -> CallSite | None:
        """What the rank is about: its main thread, or another one that is in a collective for it."""
        if not self.threads:
            return None
        main = classify(self.threads[0].frames)
        if main.kind == "other" and _in_backward(self.threads[0]):
            for thread in self.threads[1:]:
                found = classify(thread.frames)
                if found.kind == "collective":
                    return found
        return main

    def own_frames(self) -> tuple[str, ...]:
        """The main thread's frames outside of libraries, with lines: when these change the rank moves."""
        if not self.threads:
            return ()
        return tuple(str(frame) for frame in self.threads[0].frames if not frame.is_library)

    def normalised(self) -> str:
        """The main thread without lines of libraries: equal texts are one group."""
        if not self.threads:
            return ""
        return "\n".join(
            f"{frame.file} {frame.function}" if frame.is_library else str(frame)
            for frame in self.threads[0].frames
        )


def take(run_dir: Path, processes: Mapping[int, Process], limit_s: float) -> dict[int, Stack]:
    """The stacks of all living ranks at one moment, taken side by side within `limit_s` seconds."""
    program = shutil.which("py-spy")
    with ThreadPoolExecutor(max_workers=min(16, max(1, len(processes)))) as pool:
        taken = pool.map(lambda process: _take(run_dir, process, program, limit_s), processes.values())
        return {stack.rank: stack for stack in taken}


def vote(stacks: Mapping[int, Stack]) -> list[tuple[int, ...]]:
    """Ranks with equal stacks, largest group first."""
    groups: dict[str, list[int]] = defaultdict(list)
    for rank, stack in stacks.items():
        if stack.threads:
            groups[stack.normalised()].append(rank)
    return sorted((tuple(sorted(ranks)) for ranks in groups.values()), key=lambda ranks: (-len(ranks), ranks))


def _take(run_dir: Path, process: Process, program: str | None, limit_s: float) -> Stack:
    rank = process.rank
    if process.pid is None:
        return Stack(rank, silence="its process is not known: it has written no event, or is elsewhere")
    if not process.alive:
        return Stack(rank, silence="there is no process")
    stack = _ask(run_dir / "stacks" / f"rank-{rank:05d}.txt", process, limit_s)
    if not stack.threads and program:
        threads = _py_spy(program, process.pid, limit_s)
        return Stack(rank, threads, "" if threads else stack.silence, stack.asked)
    return stack


def _py_spy(program: str, pid: int, limit_s: float) -> tuple[Thread, ...]:
    command = [program, "dump", "--json", "--nonblocking", "--pid", str(pid)]
    try:
        done = subprocess.run(command, capture_output=True, timeout=limit_s, check=True)
        return parse_py_spy(done.stdout)
    except (OSError, subprocess.SubprocessError, msgspec.MsgspecError):
        return ()


class _SpyFrame(msgspec.Struct):
    name: str = ""
    filename: str = ""
    line: int = 0


class _SpyThread(msgspec.Struct):
    pid: int = 0
    os_thread_id: int | None = None
    thread_name: str | None = None
    frames: list[_SpyFrame] = []


def parse_py_spy(text: bytes) -> tuple[Thread, ...]:
    """Threads from `py-spy dump --json`, the main one first. Raises msgspec's errors."""
    threads = msgspec.json.decode(text, type=list[_SpyThread])
    threads.sort(key=lambda thread: thread.thread_name != "MainThread" and thread.os_thread_id != thread.pid)
    return tuple(
        Thread(
            thread.thread_name or str(thread.os_thread_id or ""),
            tuple(Frame(frame.filename, frame.line, frame.name) for frame in thread.frames),
        )
        for thread in threads
    )


def _ask(file: Path, process: Process, limit_s: float) -> Stack:
    """Ask the process for its stacks by the signal that it registered, and wait until they are written."""
    if not process.listens or not file.is_file():
        return Stack(process.rank, silence="it did not register for telling its stacks")
    if process.state == "stopped":
        return Stack(process.rank, silence="it is stopped, and answers no signal")
    assert process.pid is not None
    before = file.stat().st_size
    try:
        os.kill(process.pid, signal.SIGUSR1)
    except OSError as error:
        return Stack(process.rank, silence=f"it cannot be asked: {error.strerror}")
    if not _wait_for_growth(file, before, limit_s):
        return Stack(process.rank, silence=f"it did not answer within {limit_s:g} s", asked=True)
    with file.open("rb") as opened:
        opened.seek(before)
        text = opened.read().decode(errors="replace")
    threads = parse_faulthandler(text)
    return Stack(process.rank, threads, "" if threads else "its answer names no thread", asked=True)


def _wait_for_growth(file: Path, before: int, limit_s: float) -> bool:
    deadline = time.monotonic() + limit_s
    last, since = before, time.monotonic()
    while (now := time.monotonic()) < deadline:
        size = file.stat().st_size
        if size != last:
            last, since = size, now
        elif size > before and now - since >= _QUIET_S:
            return True
        time.sleep(_POLL_S)
    return last > before


def parse_faulthandler(text: str) -> tuple[Thread, ...]:
    """Threads from what faulthandler wrote on one signal, the main one, which it writes last, first.

    A thread that could not be walked has no frames.
    """
    found: list[tuple[str, list[Frame]]] = []
    for line in text.splitlines():
        if thread := _THREAD.match(line):
            found.append((thread.group(2) or thread.group(1), []))
        elif (frame := _FRAME.match(line)) and found:
            number = int(frame.group(2)) if frame.group(2).isdigit() else 0
            found[-1][1].append(Frame(frame.group(1), number, frame.group(3)))
    return tuple(Thread(name, tuple(frames)) for name, frames in reversed(found))


def _in_backward(thread: Thread) -> bool:
    return any("/torch/autograd/" in frame.file for frame in thread.frames[:4])


def table(stacks: Mapping[int, Stack], groups: Sequence[tuple[int, ...]]) -> str:
    """All stacks as text, equal ones once."""
    parts = []
    for ranks in groups:
        parts.append(f"ranks {', '.join(map(str, ranks))}:")
        for thread in stacks[ranks[0]].threads:
            parts.append(f"  thread {thread.name}")
            parts += [f"    {frame}" for frame in thread.frames]
    parts += [f"rank {rank}: {stack.silence}" for rank, stack in stacks.items() if stack.silence]
    return "\n".join(parts) + "\n"
