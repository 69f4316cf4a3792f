"""What the run's reward gives for one sample: `python -m diagnostics.doctor.probes.reward SECONDS`.

The configuration is in the variable RFTUI_DOCTOR_CONFIG. The first row of the data is answered twice: with
its own label, and with nothing to the point. Prints one JSON object; after SECONDS it ends, and tells
where it was on standard error.
"""

import faulthandler
import json
import os
import sys
import time
from typing import Any


def look() -> dict[str, Any]:
    """Rewards of both answers and the seconds that they took; or the findings of the reward."""
    import msgspec

    from engine.config.sections import RunConfig
    from engine.findings import FindingsError
    from engine.rewards.base import build_scorer

    config = RunConfig.model_validate_json(os.environ["RFTUI_DOCTOR_CONFIG"])
    try:
        row = _first_row(config)
        scorer = build_scorer(config.reward)
        label = row.get(config.data.label_key)
        reference = row.get(config.data.reference_key) if config.data.reference_key else None
        prompt = str(row.get(config.data.input_key))
        faulthandler.dump_traceback_later(float(sys.argv[1]), exit=True)
        started = time.perf_counter()
        scores = scorer.score([str(label), "I do not know."], [label] * 2, [prompt] * 2, [reference] * 2)
    except FindingsError as error:
        return {"findings": msgspec.to_builtins(error.findings)}
    finally:
        faulthandler.cancel_dump_traceback_later()
    return {"findings": [], "total": scores.total, "seconds": time.perf_counter() - started}


def _first_row(config: Any) -> dict[str, Any]:
    """The first row of a file or toy task; of what must be loaded, a row that is made up."""
    from pathlib import Path

    from engine.data import textfiles
    from engine.data.spec import parse_sources
    from engine.data.validate import toy_rows

    sources, _ = parse_sources(config.data.prompt_data, "data.prompt_data")
    source = sources[0] if sources else None
    if source and source.kind == "toy":
        return dict(toy_rows(source.name, config.data.prompt_split)[0])
    if source and source.kind == "file" and source.name.endswith(textfiles.SUFFIXES):
        rows = (row for _, row in textfiles.rows(Path(source.name)))
        return next((row for row in rows if isinstance(row, dict)), {})
    return {config.data.input_key: "What is 6 times 7?", config.data.label_key: "#### 42"}


if __name__ == "__main__":
    print("\n" + json.dumps(look()))
