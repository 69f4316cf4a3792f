"""What torch sees of the GPUs: `python -m diagnostics.doctor.probes.cuda`, prints one JSON object.

Each GPU computes something, because a build without kernels for it fails only then.
"""

import json
import warnings
from typing import Any


def look() -> dict[str, Any]:
    """Version and CUDA of torch, the devices by name, and what went wrong."""
    import torch

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        available = torch.cuda.is_available()
        count = torch.cuda.device_count()
    seen: dict[str, Any] = {
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "available": available,
        "count": count,
        "architectures": torch.cuda.get_arch_list(),
        "warnings": [str(warning.message).partition("\n")[0] for warning in caught],
        "failures": {},
    }
    for index in range(count if available else 0):
        try:
            square = torch.ones(64, 64, device=f"cuda:{index}")
            if float((square @ square).sum()) != 64.0**3:
                seen["failures"][index] = "a product of ones came out wrong"
        except Exception as error:
            seen["failures"][index] = str(error).partition("\n")[0]
    return seen


if __name__ == "__main__":
    print("\n" + json.dumps(look()))
