"""Asks NVML about what wears out or was not set up: remapped memory rows, the place in the NVLink fabric."""

from typing import Any

from diagnostics.nvml import GpuQuery

FABRIC_STATES = {1: "not started", 2: "in progress", 3: "completed"}
"""NVML_GPU_FABRIC_STATE_*; 0 is a GPU without fabric."""


def read_condition(query: GpuQuery) -> dict[str, Any]:
    """`rows_pending`, `rows_failed` and `fabric` of `GpuFacts`. Raises LostGpuError."""
    rows = query.ask("nvmlDeviceGetRemappedRows")
    return {
        "rows_pending": bool(rows[2]) if rows else None,
        "rows_failed": bool(rows[3]) if rows else None,
        "fabric": _fabric(query),
    }


def _fabric(query: GpuQuery) -> str | None:
    """The state, and the error code that registration ended with if there was one."""
    new = getattr(query.library, "c_nvmlGpuFabricInfo_v2_t", None)
    if new is None:  # an older pynvml
        return None
    info = new()
    if query.ask("nvmlDeviceGetGpuFabricInfoV", info) is None:
        return None
    state = FABRIC_STATES.get(info.state)
    return f"{state}, NVML error {info.status}" if state and info.status else state
