"""Whether a package imports: `python -m diagnostics.doctor.probes.imports MODULE`.

Prints `{"version": …, "seconds": …, "error": null}`, or the error with the end of its traceback.
"""

import importlib
import json
import sys
import time
import traceback
from typing import Any


def try_import(module: str) -> dict[str, Any]:
    """Import a module; what it raises is the answer, `SystemExit` included."""
    started = time.perf_counter()
    try:
        found = importlib.import_module(module)
    except BaseException as error:
        lines = traceback.format_exception(error)
        return {"error": f"{type(error).__name__}: {error}", "traceback": "".join(lines).splitlines()[-8:]}
    version = str(getattr(found, "__version__", "?"))
    return {"error": None, "version": version, "seconds": time.perf_counter() - started}


if __name__ == "__main__":
    print("\n" + json.dumps(try_import(sys.argv[1])))
