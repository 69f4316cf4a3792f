"""math-verify in a process of its own, which the kernel ends when an expression takes too long.

math-verify's own timeouts are signal handlers: they need the main thread and cannot interrupt C code.
Here the child arms a timer whose default action kills it, so `9^{9^{9^9}}` costs `TIMEOUT_S` and no more,
from any thread, and no child outlives its parent by longer than that.
"""

import atexit
import contextlib
import functools
import json
import signal
import subprocess
import sys
import threading

TIMEOUT_S = 2.0
MAX_CHARS = 500
MEMORY_BYTES = 2 * 1024**3


class _Child:
    """The running child, started at the first question and again after a death."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.process: subprocess.Popen[bytes] | None = None

    def ask(self, question: bytes) -> bytes:
        """One line out, one line back; empty if the child died over it."""
        with self.lock:
            if self.process is None or self.process.poll() is not None:
                command = [sys.executable, "-P", "-m", "engine.rewards.symbolic"]
                self.process = subprocess.Popen(
                    command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
                )
            assert self.process.stdin and self.process.stdout
            try:
                self.process.stdin.write(question + b"\n")
                self.process.stdin.flush()
                reply = self.process.stdout.readline()
            except BrokenPipeError:
                reply = b""
            if not reply:
                self.close()
            return reply

    def close(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.communicate()
            self.process = None


_child = _Child()
atexit.register(_child.close)


@functools.lru_cache(maxsize=4096)
def equivalent(answer: str, gold: str) -> bool:
    """Whether math-verify takes `answer` for `gold` (LaTeX, without delimiters); false when it runs too long.

    Decimals are compared as math-verify does, to 6 places.
    """
    if len(answer) > MAX_CHARS or len(gold) > MAX_CHARS:
        return False
    return _child.ask(json.dumps((answer, gold)).encode()) == b"1\n"


def main() -> None:
    """Answer questions `[answer, gold]`, one JSON line each, with `1` or `0`, until the input ends."""
    import resource

    from math_verify import parse, verify

    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for line in sys.stdin.buffer:
        answer, gold = json.loads(line)
        signal.setitimer(signal.ITIMER_REAL, TIMEOUT_S)
        try:
            parsed = [parse(f"\\boxed{{{text}}}", parsing_timeout=None) for text in (gold, answer)]
            same = verify(*parsed, timeout_seconds=None)
        except (Exception, RecursionError, MemoryError):
            same = False
        signal.setitimer(signal.ITIMER_REAL, 0)
        sys.stdout.write("1\n" if same else "0\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
