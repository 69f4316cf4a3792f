"""Stacks: of living processes that registered, of those that did not, and as py-spy prints them."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from diagnostics.health.hang import stacks
from diagnostics.health.hang.call_sites import Frame, classify
from diagnostics.health.hang.processes import look
from diagnostics.health.hang.stacks import Stack, Thread, parse_faulthandler, parse_py_spy, vote

ROOT = Path(__file__).resolve().parents[4]
REGISTERED = """
import sys, threading, time
from pathlib import Path
from engine.health.stacks import StackDumps

def helper():
    time.sleep(60)

def wait_for_server():
    print("up", flush=True)
    time.sleep(60)

dumps = StackDumps(Path(sys.argv[1]) / "stacks" / "rank-00000.txt")
threading.Thread(target=helper, daemon=True).start()
wait_for_server()
"""


@contextmanager
def program(text: str, folder: Path) -> Iterator[subprocess.Popen[str]]:
    """A Python program that prints a line once it is up."""
    command = [sys.executable, "-c", text, str(folder)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None and process.stdout.readline() == "up\n"
            yield process
        finally:
            process.kill()


def test_a_rank_that_registered_writes_its_stacks_and_goes_on(tmp_path: Path) -> None:
    with program(REGISTERED, tmp_path) as process:
        for _ in range(2):
            deadline = time.monotonic() + 10
            while (seen := look({0: process.pid}))[0].state != "sleeping":
                assert time.monotonic() < deadline, seen
                time.sleep(0.05)
            assert seen[0].listens
            found = stacks.take(tmp_path, seen, 5)[0]
            assert [frame.function for frame in found.threads[0].frames] == ["wait_for_server", "<module>"]
            assert found.asked and len(found.threads) == 2
        assert process.poll() is None


def test_native_code_that_holds_the_interpreter_is_seen_through(tmp_path: Path) -> None:
    native = "import ctypes; ctypes.PyDLL(None).sleep(60)"
    with program(
        REGISTERED.replace("    time.sleep(60)\n\ndumps", f"    {native}\n\ndumps"), tmp_path
    ) as process:
        time.sleep(0.2)
        found = stacks.take(tmp_path, look({0: process.pid}), 5)[0]
        assert found.threads[0].frames[0].function == "wait_for_server"


def test_a_process_that_did_not_register_gets_no_signal(tmp_path: Path) -> None:
    (tmp_path / "stacks").mkdir()
    (tmp_path / "stacks" / "rank-00000.txt").touch()  # left by an earlier attempt
    with program("print('up', flush=True)\nimport time; time.sleep(60)", tmp_path) as process:
        found = stacks.take(tmp_path, look({0: process.pid}), 2)[0]
        assert not found.threads and "did not register" in found.silence and not found.asked
        time.sleep(0.2)
        assert process.poll() is None


def test_a_stopped_process_and_one_that_ended_say_so(tmp_path: Path) -> None:
    with program(REGISTERED, tmp_path) as process:
        os.kill(process.pid, signal.SIGSTOP)
        time.sleep(0.1)
        seen = look({0: process.pid})
        assert seen[0].state == "stopped"
        assert stacks.take(tmp_path, seen, 2)[0].silence == "it is stopped, and answers no signal"
        process.kill()
        process.wait()
        seen = look({0: process.pid, 1: None})
        assert seen[0].state == "ended" and not seen[0].alive and seen[1].state == "unknown"
        assert stacks.take(tmp_path, seen, 2)[0].silence == "there is no process"


def test_faulthandler_of_any_version_is_read() -> None:
    text = """Thread 0x00007f01 [heartbeat] (most recent call first):
  File "/usr/lib/python3.14/threading.py", line 331 in wait

Current thread 0x00007f02 (most recent call first):
  File "/home/me/a b.py", line ??? in <lambda>
  File "/home/me/main.py", line 7 in <module>
  ...
"""
    main, other = parse_faulthandler(text)
    assert main == Thread(
        "0x00007f02", (Frame("/home/me/a b.py", 0, "<lambda>"), Frame("/home/me/main.py", 7, "<module>"))
    )
    assert other.name == "heartbeat"
    assert parse_faulthandler("Thread 0x1 (most recent call first):\n  <no Python frame>\n") == (
        Thread("0x1", ()),
    )


@pytest.mark.parametrize("name", ["MainThread", None])
def test_py_spy_is_read_main_thread_first(name: str | None) -> None:
    dump = [
        {"pid": 7, "os_thread_id": 9, "thread_name": "pt_autograd_0", "frames": []},
        {
            "pid": 7,
            "os_thread_id": 7,
            "thread_name": name,
            "frames": [{"name": "f", "filename": "a.py", "line": 3, "module": None}],
        },
    ]
    main, _ = parse_py_spy(json.dumps(dump).encode())
    assert main == Thread(name or "7", (Frame("a.py", 3, "f"),))


def test_vote_ignores_lines_of_libraries_and_keeps_own_ones() -> None:
    def stack(rank: int, library_line: int, own_line: int) -> Stack:
        frames = (
            Frame("/v/lib/python3.11/site-packages/torch/distributed/c10d.py", library_line, "all_reduce"),
            Frame("/home/me/train.py", own_line, "step"),
        )
        return Stack(rank, (Thread("main", frames),))

    seen = {0: stack(0, 1, 5), 1: stack(1, 2, 5), 2: stack(2, 1, 6), 3: Stack(3, silence="no")}
    assert vote(seen) == [(0, 1), (2,)]


TORCH = "/v/lib/python3.11/site-packages/torch/distributed/distributed_c10d.py"


@pytest.mark.parametrize(
    ("files", "kind"),
    [
        ([TORCH, "/src/engine/strategy/collectives.py", "/src/engine/policy_update.py"], "collective"),
        ([TORCH, "/src/engine/rollout/vllm.py"], "collective"),
        (
            ["/usr/lib/python3.11/socket.py", "/home/me/score.py", "/src/engine/rewards/functions.py"],
            "reward",
        ),
        (["/usr/lib/python3.11/ssl.py", "/home/me/math_verifier.py", "/home/me/train.py"], "reward"),
        (["/v/lib/python3.11/site-packages/torch/utils/data/dataloader.py", "/home/me/train.py"], "data"),
        (["/src/engine/data/textfiles.py", "/src/engine/build.py"], "data"),
        (["/src/engine/rollout/hf.py", "/src/engine/trainer.py"], "engine"),
        (["/v/lib/python3.11/site-packages/vllm/v1/engine/core_client.py", "/home/me/gen.py"], "engine"),
        (["/v/lib/python3.11/site-packages/torch/serialization.py", "/home/me/train.py"], "storage"),
        (["/v/lib/python3.11/site-packages/torch/cuda/__init__.py", "/home/me/train.py"], "device"),
        (["/home/me/train.py"], "other"),
        (["/home/me/underscore.py"], "other"),
    ],
)
def test_call_sites(files: list[str], kind: str) -> None:
    assert classify([Frame(file, 1, "f") for file in files]).kind == kind


def test_a_call_site_is_the_innermost_frame_of_the_program() -> None:
    frames = [Frame(TORCH, 1, "all_reduce"), Frame("/src/engine/strategy/collectives.py", 54, "all_reduce")]
    frames.append(Frame("/src/engine/policy_update.py", 61, "step"))
    assert str(classify(frames).frame) == "/src/engine/policy_update.py:61 step"
