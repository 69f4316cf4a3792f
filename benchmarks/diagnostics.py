"""How well failures are diagnosed: labelled logs, alone and in healthy output; injected hangs; the doctor.

    python benchmarks/diagnostics.py [--quick] [--only logs doctor hangs]

The last line is one JSON object, a key for each section.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

# engine.py beside this file would hide the package of that name.
sys.path[0] = str(Path(__file__).resolve().parents[1])

from benchmarks import diagnostics_doctor, diagnostics_hangs, diagnostics_logs  # noqa: E402

SECTIONS: dict[str, Callable[[bool], dict[str, Any]]] = {
    "logs": diagnostics_logs.print_report,
    "doctor": diagnostics_doctor.print_report,
    "hangs": diagnostics_hangs.print_report,
}
"""Each prints its tables and returns its figures; the argument is --quick."""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer and smaller cases")
    parser.add_argument(
        "--only", nargs="+", choices=list(SECTIONS), default=list(SECTIONS), metavar="SECTION"
    )
    args = parser.parse_args()
    started = time.perf_counter()
    figures: dict[str, Any] = {name: SECTIONS[name](args.quick) for name in args.only}
    figures["seconds"] = round(time.perf_counter() - started)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
