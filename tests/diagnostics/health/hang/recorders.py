"""Flight-recorder dumps made by hand, in the form that torch 2.9 and later write."""

import pickle
from pathlib import Path
from typing import Any

NOW_NS = 1_795_811_900_000_000_000
"""Long before the files are written: what is unfinished has been so for long."""


def entry(seq: int, op: str = "nccl:all_reduce", *, group: str = "0", done: bool = False, **more: Any) -> Any:
    """One entry; `more` replaces fields."""
    frames = [
        {"name": "all_reduce", "filename": "/venv/torch/distributed/distributed_c10d.py", "line": 3245},
        {"name": "step", "filename": "/home/me/train.py", "line": 10 + seq},
    ]
    return {
        "frames": frames,
        "record_id": seq,
        "pg_id": 0,
        "process_group": (group, "default_pg" if group == "0" else f"group {group}"),
        "collective_seq_id": seq,
        "p2p_seq_id": 0,
        "op_id": seq,
        "is_p2p": False,
        "profiling_name": op,
        "input_sizes": [[4]],
        "input_dtypes": ["Float"],
        "output_sizes": [[4]],
        "output_dtypes": ["Float"],
        "time_created_ns": NOW_NS + seq,
        "time_discovered_started_ns": None,
        "time_discovered_completed_ns": NOW_NS + seq + 1 if done else None,
        "state": "completed" if done else "started",
        "retired": done,
        "timeout_ms": 600000,
        **more,
    }


def content(entries: list[Any], groups: dict[str, list[int]] | None = None, version: str = "2.10") -> Any:
    """A whole dump; without `groups` as gloo writes it."""
    config = {
        name: {"name": name, "desc": f"group {name}", "ranks": str(ranks)}
        for name, ranks in (groups or {}).items()
    } or {"": {"name": "", "desc": "", "ranks": "[]"}}
    status = {"0": {"last_enqueued_collective": len(entries), "last_completed_collective": 0}}
    return {"version": version, "pg_config": config, "pg_status": status, "entries": entries}


def write(folder: Path, dumps: dict[int, Any], prefix: str = "rank_") -> Path:
    """One pickle per rank."""
    folder.mkdir(parents=True, exist_ok=True)
    for rank, dump in dumps.items():
        (folder / f"{prefix}{rank}").write_bytes(pickle.dumps(dump, protocol=2))
    return folder
