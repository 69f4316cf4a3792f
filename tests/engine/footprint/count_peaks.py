"""Counts the peaks of `counted_peaks.json` anew: `python -m tests.engine.footprint.count_peaks [WORD]`.

To be run after a change of what the engine allocates. WORD: only runs whose name holds it.
"""

import json
import sys
from pathlib import Path
from typing import Any

from benchmarks.planner_real import measure
from engine.config.sections import RunConfig
from engine.simulate.report import Simulation
from engine.simulate.run import simulate
from tests.engine.footprint.test_counted_peaks import name

FILE = Path(__file__).with_name("counted_peaks.json")
MODEL = {"max_position_embeddings": 32768}


def main(word: str = "") -> None:
    """Count, tell what changed, and write the file after every run."""
    counted = json.loads(FILE.read_text())
    for run in counted["runs"]:
        if word not in name(run):
            continue
        found = _simulated(run) if run["counted"] == "simulated" else _real(run)
        peaks = {phase: found.phase(phase).bytes for phase in run["peaks"]}
        changes = {phase: f"{peaks[phase] / run['peaks'][phase] - 1:+.1%}" for phase in peaks}
        print(name(run), changes, flush=True)
        run["peaks"] = peaks
        FILE.write_text(_text(counted))


def _simulated(run: dict[str, Any]) -> Simulation:
    config = RunConfig.model_validate(run["settings"])
    return simulate(config, MODEL | run["model"], run["ranks"], like=run["kernels"])


def _real(run: dict[str, Any]) -> Simulation:
    sets = [
        f"{s}.{key}={json.dumps(v)}" for s, values in run["settings"].items() for key, v in values.items()
    ]
    return measure(MODEL | run["model"], sets, run["ranks"])


def _text(counted: dict[str, Any]) -> str:
    """One run a line."""
    runs = ",\n".join(f"  {json.dumps(run)}" for run in counted["runs"])
    return f'{{\n "how": {json.dumps(counted["how"])},\n "runs": [\n{runs}\n ]\n}}\n'


if __name__ == "__main__":
    main(*sys.argv[1:])
