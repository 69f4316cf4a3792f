"""`python -m engine.checkpoint.export CHECKPOINT --to DIR`: a checkpoint as a Hugging Face folder.

One process, no process group; the checkpoint may be of any number of ranks.
"""

import argparse
import shutil
import sys
from pathlib import Path

import torch

from engine.checkpoint import layout
from engine.checkpoint.hf_folder import set_dtype, split, write_index, write_part
from engine.checkpoint.saved_model import open_model
from engine.findings import EXIT_OK, EXIT_UNFIT, Finding, FindingsError, Fix, render
from engine.models.lora import ADAPTER_CONFIG

DTYPES = {"bf16": torch.bfloat16, "fp32": torch.float32}


def main(argv: list[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m engine.checkpoint.export", description=__doc__)
    parser.add_argument("checkpoint", type=Path, help="a step-<n> folder")
    parser.add_argument("--to", type=Path, required=True, help="folder to write; new, or empty")
    parser.add_argument("--dtype", choices=sorted(DTYPES), help="dtype to write; default: as saved")
    args = parser.parse_args(argv)
    try:
        parameters = export(args.checkpoint, args.to, DTYPES.get(args.dtype))
    except FindingsError as error:
        print("\n".join(map(render, error.findings)), file=sys.stderr)
        return error.exit_code
    print(f"{args.to}: {parameters:,} parameters of {args.checkpoint}")
    return EXIT_OK


def export(checkpoint: Path, to: Path, dtype: torch.dtype | None = None) -> int:
    """Write the model of a complete checkpoint to `to`, which appears only when whole.

    Floating-point tensors are cast to `dtype` if one is given; adapters are merged into the model that they
    were trained on. Returns the number of parameters. Raises FindingsError: checkpoint.incomplete,
    export.target-used, export.not-written, export.base-not-loadable, export.other-base.
    """
    if layout.read_manifest(checkpoint) is None:
        raise _incomplete(checkpoint)
    if to.exists() and not (to.is_dir() and not any(to.iterdir())):
        raise _used(to)
    partial = layout.beside(to.absolute(), "partial")
    try:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        parameters = _write(checkpoint, partial, dtype)
        if to.exists():
            to.rmdir()
        partial.rename(to)
    except OSError as error:
        raise _not_written(to, error) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return parameters


def _write(checkpoint: Path, folder: Path, dtype: torch.dtype | None) -> int:
    """One file's worth of tensors in memory at a time."""
    # A folder with an adapter's configuration would be taken for an adapter.
    only_model = shutil.ignore_patterns(ADAPTER_CONFIG)
    shutil.copytree(checkpoint / layout.HF_ASSETS, folder, ignore=only_model, dirs_exist_ok=True)
    model = open_model(checkpoint)
    written = {
        name: torch.empty_like(tensor, dtype=dtype if tensor.is_floating_point() else None, device="meta")
        for name, tensor in model.shapes.items()
    }
    parts = split({name: tensor.nbytes for name, tensor in written.items()})
    for file, names in parts.items():
        read = model.read(names)
        write_part(folder / file, {name: tensor.to(written[name].dtype) for name, tensor in read.items()})
    write_index(folder, parts, written)
    set_dtype(folder, next(t.dtype for t in written.values() if t.is_floating_point()))
    return sum(tensor.numel() for tensor in written.values())


def _incomplete(checkpoint: Path) -> FindingsError:
    steps = layout.complete_steps(checkpoint) or layout.complete_steps(checkpoint.absolute().parent)
    near = tuple(Fix(f"export {path}") for path in reversed(steps.values()))
    finding = Finding(
        id="checkpoint.incomplete",
        severity="error",
        cause=f"{checkpoint} is not a complete checkpoint (a folder step-<n> with all its files).",
        fixes=near[:3] or (Fix("name a step-<n> folder in the checkpoints folder of a run"),),
    )
    return FindingsError([finding])


def _used(to: Path) -> FindingsError:
    finding = Finding(
        id="export.target-used",
        severity="error",
        cause=f"{to} {'is not empty' if to.is_dir() else 'is a file'}; nothing is written over it.",
        fixes=(Fix("name a new folder with --to"), Fix("or empty that one first")),
    )
    return FindingsError([finding])


def _not_written(to: Path, error: OSError) -> FindingsError:
    finding = Finding(
        id="export.not-written",
        severity="error",
        cause=f"The model could not be written to {to}: {error}.",
        fixes=(Fix("name a folder with --to that you can write to and that has the space"),),
    )
    return FindingsError([finding], EXIT_UNFIT)


if __name__ == "__main__":
    sys.exit(main())
