"""PyTorch's flight recorder: the last collectives of a rank, every library's, and where they were called.

On by default, with its dumps in `<run_dir>/flight_recorder/rank_<rank>`: one pickle per rank, in the format
that PyTorch's own analyzer reads. NCCL's watchdog writes there on a timeout; `dump` does on a failure and on
request, for gloo as well. Imports torch only where it dumps, so that the front end can set the environment.
"""

import sys
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

ENTRIES = "2000"
FOLDER = "flight_recorder"
_BUFFER_SIZE = ("TORCH_FR_BUFFER_SIZE", "TORCH_NCCL_TRACE_BUFFER_SIZE")
_FILE_PREFIX = ("TORCH_FR_DUMP_TEMP_FILE", "TORCH_NCCL_DEBUG_INFO_TEMP_FILE")


def switch_on(environ: Mapping[str, str]) -> dict[str, str]:
    """The variables to add to `environ` before the process group exists; the user's own stay."""
    return _unless_given(environ, _BUFFER_SIZE, ENTRIES) | _unless_given(
        environ, ("TORCH_NCCL_DUMP_ON_TIMEOUT",), "1"
    )


def dumps_to(run_dir: Path, environ: Mapping[str, str]) -> dict[str, str]:
    """The variable to add to `environ`, before the first dump, so that dumps land in the run directory."""
    return _unless_given(environ, _FILE_PREFIX, str(run_dir / FOLDER / "rank_"))


def make_folder(run_dir: Path) -> None:
    """Make the folder of the dumps: NCCL's watchdog does not, when it writes there."""
    (run_dir / FOLDER).mkdir(parents=True, exist_ok=True)


def dump(run_dir: Path, rank: int) -> Path | None:
    """Write what this rank's recorder holds; returns the file, or None where nothing was recorded.

    A dump that fails is told on standard error and ends nothing: it happens when something is wrong already.
    """
    try:
        trace = _trace()
        if trace is None:
            return None
        make_folder(run_dir)
        path = run_dir / FOLDER / f"rank_{rank}"
        part = path.with_name(f"{path.name}.part")
        part.write_bytes(trace)
        return part.replace(path)
    except (OSError, RuntimeError) as error:
        print(f"no flight recorder dump of rank {rank}: {error}", file=sys.stderr, flush=True)
        return None


def _trace() -> bytes | None:
    """The recorder's content: NCCL's where ranks talk over NCCL, which has a recorder of its own."""
    if "torch" not in sys.modules:
        return None
    import torch.distributed as dist

    if not dist.is_available() or not dist.is_initialized():
        return None
    from torch._C import _distributed_c10d as c10d

    over_nccl = "nccl" in dist.get_backend_config()
    recorder = getattr(c10d, "_dump_nccl_trace" if over_nccl else "_dump_fr_trace", None)
    return recorder() if recorder else None


def _unless_given(environ: Mapping[str, str], names: tuple[str, ...], value: str) -> dict[str, str]:
    """`value` under the name that the installed torch knows, unless the user set one of the names."""
    if any(name in environ for name in names):
        return {}
    major, minor = (int(part) for part in version("torch").split(".")[:2])
    # From 2.8 on the first name counts, and the old one draws a warning.
    return {names[0] if (major, minor) >= (2, 8) else names[-1]: value}
