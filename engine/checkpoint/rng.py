"""The state of every random generator a rank draws from."""

import random
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch


def capture_rng(generators: Mapping[str, torch.Generator] | None = None) -> dict[str, Any]:
    """State of the global generators of Python, NumPy and torch (CPU and current GPU) and of `generators`.

    Made of tensors and plain values only, so that it can be read back with `weights_only`.
    """
    algorithm, keys, position, has_gauss, gauss = np.random.get_state()
    return {
        "python": random.getstate(),
        "numpy": (str(algorithm), torch.from_numpy(np.asarray(keys, np.int64)), position, has_gauss, gauss),
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state() if torch.cuda.is_available() else None,
        "generators": {
            name: (generator.device.type, generator.get_state())
            for name, generator in (generators or {}).items()
        },
    }


def restore_rng(state: Mapping[str, Any], generators: Mapping[str, torch.Generator] | None = None) -> None:
    """Put every generator where `capture_rng` found it.

    What belongs to another kind of device is left alone: such a resume cannot be bit-exact anyway.
    """
    random.setstate(state["python"])
    algorithm, keys, *rest = state["numpy"]
    np.random.set_state((algorithm, keys.numpy().astype(np.uint32), *rest))
    torch.set_rng_state(state["torch"])
    if state["cuda"] is not None and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"])
    for name, generator in (generators or {}).items():
        device, saved = state["generators"][name]
        if device == generator.device.type:
            generator.set_state(saved)
