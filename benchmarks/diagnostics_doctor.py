"""How long `rft doctor` takes as a whole command, how many checks it knows, and that it imports no torch."""

import json
import statistics
import subprocess
import sys
import time
from typing import Any

TARGET_S, TARGET_CHECKS = 1.0, 40
FORBIDDEN = ("torch", "transformers", "numpy")
_RUN = """
import json, sys
sys.argv = ["rft", "doctor"]
from rftui.cli.app import app
try:
    app(prog_name="rft")
except SystemExit:
    pass
print(json.dumps([name for name in {forbidden} if name in sys.modules]), file=sys.stderr)
"""


def print_report(quick: bool) -> dict[str, Any]:
    """Print the table; the figures."""
    repetitions = 3 if quick else 11
    seconds = [_timed(["doctor"]) for _ in range(repetitions)]
    listed = subprocess.run([*_RFT, "doctor", "--list", "--json"], capture_output=True, text=True, check=True)
    checks = len(json.loads(listed.stdout)["checks"])
    loaded = _loaded()
    figures = {
        "fast_s": round(statistics.median(seconds), 3),
        "fast_worst_s": round(max(seconds), 3),
        "checks": checks,
        "heavy_imports": loaded,
    }
    print(f"rft doctor, fast tier: median {figures['fast_s']:.2f} s of {repetitions}, target {TARGET_S:g} s")
    print(f"checks: {checks}, target {TARGET_CHECKS}; heavy imports: {', '.join(loaded) or 'none'}")
    return figures


_RFT = (sys.executable, "-c", "from rftui.cli.app import main; main()")


def _timed(arguments: list[str]) -> float:
    started = time.perf_counter()
    subprocess.run([*_RFT, *arguments], capture_output=True, check=False)
    return time.perf_counter() - started


def _loaded() -> list[str]:
    code = _RUN.format(forbidden=FORBIDDEN)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    return list(json.loads(done.stderr.strip().split("\n")[-1]))
