"""torch DCP on one folder: with the ranks of the process group, or alone without one."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from torch import Tensor
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.metadata import Metadata


def write_shards(tensors: dict[str, Tensor], folder: Path) -> None:
    """Each rank writes its shards. Collective; raises OSError on every rank if any could not write."""
    with _quiet_when_alone(), refusals_as_os_error():
        dcp.save(tensors, storage_writer=dcp.FileSystemWriter(folder, sync_files=True), no_dist=_alone())


def read_shards(tensors: dict[str, Tensor], folder: Path, *, alone: bool = False) -> None:
    """Fill `tensors` in place from shards of any number of ranks. Collective unless `alone`."""
    with _quiet_when_alone(), refusals_as_os_error():
        dcp.load(tensors, storage_reader=dcp.FileSystemReader(folder), no_dist=alone or _alone())


def read_metadata(folder: Path) -> Metadata:
    """Names, shapes and dtypes of what is in the shards."""
    return dcp.FileSystemReader(folder).read_metadata()


def _alone() -> bool:
    return not dist.is_initialized()


@contextmanager
def refusals_as_os_error() -> Iterator[None]:
    """Let a write that the operating system refused be an OSError, whichever library was writing.

    DCP raises a BaseException of its own with all ranks' failures; torch's zip writer, safetensors and
    tokenizers raise general exceptions that carry the reason only as text.
    """
    try:
        yield
    except OSError:
        raise
    except CheckpointException as failure:
        causes = {rank: error for rank, (error, _) in failure.failures.items()}
        told = "; ".join(f"rank {rank}: {_said(error)}" for rank, error in causes.items())
        kind = OSError if any(map(_is_refusal, causes.values())) else RuntimeError
        raise kind(told) from failure
    except Exception as error:
        if _is_refusal(error):
            raise OSError(str(error)) from error
        raise


def _is_refusal(error: BaseException) -> bool:
    said = str(error)
    return isinstance(error, OSError) or any(words in said for words in _REFUSALS)


def _said(error: BaseException) -> str:
    # What torch says of a write cut short names a line of its source, not the reason.
    return "torch could not write its file to the end" if "inline_container" in str(error) else str(error)


_REFUSALS = ("os error", "IoError", "inline_container")


@contextmanager
def _quiet_when_alone() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="torch.distributed is disabled")
        yield
