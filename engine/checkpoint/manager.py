"""Saves, keeps and loads the checkpoints of a run: each complete or absent, the last one never lost."""

import io
import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

import torch
import torch.distributed as dist
from torch import nn
from torch.optim import Optimizer

from engine.checkpoint import layout
from engine.checkpoint.access import InPlace, TensorAccess
from engine.checkpoint.fit import check_adapter, check_fit
from engine.checkpoint.hf_folder import HFAssets, write_model
from engine.checkpoint.store import read_metadata, read_shards, refusals_as_os_error, write_shards
from engine.checkpoint.tensors import kept, saved_tensors
from engine.findings import Finding, FindingsError, Fix
from engine.models.lora import ADAPTER_CONFIG, adapter_config, write_adapter_config

GB = 10**9


class OnEvent(Protocol):
    """Told of every checkpoint completed, failed or deleted, with the fields of `CheckpointEvent`."""

    def __call__(self, **fields: Any) -> None: ...


class CheckpointManager:
    """Checkpoints under `root`, a folder that all ranks see. Making one is collective.

    At most `max_num` and `max_gb` (10⁹ bytes) are kept, deleting the earliest once a newer one is complete.
    `hf_assets` writes configuration and tokenizer into a folder; only rank 0 calls it, and `on_event`.
    `access` is the strategy's way to the tensors.
    """

    def __init__(
        self,
        root: Path,
        *,
        max_num: int,
        max_gb: float,
        rank: int,
        world_size: int,
        on_event: OnEvent,
        hf_assets: HFAssets,
        access: TensorAccess | None = None,
    ) -> None:
        self.root = root
        self.max_num = max_num
        self.max_bytes = max_gb * GB
        self.rank = rank
        self.world_size = world_size
        self.on_event = on_event
        self.hf_assets = hf_assets
        self.access = access or InPlace()
        if rank == 0 and root.is_dir():
            layout.clean(root)
        self._barrier()

    # --- what is there --------------------------------------------------------------------------------

    def steps(self) -> list[int]:
        """Steps with a complete checkpoint, ascending."""
        return list(layout.complete_steps(self.root))

    def latest(self, ckpt_path: str | Path | None = None) -> Path | None:
        """The last complete checkpoint in `ckpt_path`, or that one itself; default: in `root`."""
        place = Path(ckpt_path) if ckpt_path else self.root
        if layout.read_manifest(place) is not None:
            return place
        return next(reversed(layout.complete_steps(place).values()), None)

    def to_resume_from(self, ckpt_path: str | None) -> Path | None:
        """What `load_checkpoint` goes on from, as rank 0 sees it: ranks must not differ. Collective.

        None where nothing is saved yet. Raises FindingsError (checkpoint.not-found) where `ckpt_path` names
        another place than `root` and there is no complete checkpoint: a new start was not asked for.
        """
        box = [self.latest(ckpt_path) if self.rank == 0 else None]
        if self.world_size > 1:
            dist.broadcast_object_list(box, src=0)
        if box[0] is None and ckpt_path and Path(ckpt_path).resolve() != self.root.resolve():
            raise FindingsError([_not_found(ckpt_path)])
        return box[0]

    # --- saving ---------------------------------------------------------------------------------------

    def save(
        self,
        step: int,
        model: nn.Module,
        optimizer: Optimizer,
        state: dict[str, Any],
        rank_state: dict[str, Any],
    ) -> Path | None:
        """Write the checkpoint of `step`; then apply retention. Collective.

        `state` is global and taken from rank 0, `rank_state` is of each rank; both are made of tensors and
        plain values. Returns its path, or None if a rank could not write (disk full): then nothing of it
        remains, an event says so, and what was there before is untouched.
        """
        started = time.perf_counter()
        folder = layout.step_folder(self.root, step)
        partial = layout.beside(folder, "partial")

        def write_own() -> None:
            _write(partial / layout.rank_file(self.rank), rank_state)
            if self.rank == 0:
                _write(partial / layout.TRAINER_STATE, state)
                (partial / layout.HF_ASSETS).mkdir()
                with refusals_as_os_error():
                    self.hf_assets(partial / layout.HF_ASSETS)
                    write_adapter_config(model, partial / layout.HF_ASSETS)

        error = (
            self._rank_0_tries(lambda: self._begin(partial))
            or self._all_try(
                lambda: write_shards(self.access.tensors(model, optimizer), partial / layout.SHARDS)
            )
            or self._all_try(write_own)
            or self._rank_0_tries(lambda: self._finish(partial, folder, step))
        )
        seconds = time.perf_counter() - started
        if error:
            self._failed(step, folder, error, seconds)
            return None
        if self.rank == 0:
            size = self._bytes(folder)
            self.on_event(step=step, state="complete", path=str(folder), bytes=size, seconds=seconds)
            self._retire(folder)
        return folder

    def save_final(self, step: int, model: nn.Module) -> Path | None:
        """Write the model as the Hugging Face folder `final`; an earlier one gives way. Collective.

        Returns its path, or None if it could not be written, which an event tells.
        """
        started = time.perf_counter()
        folder = self.root / layout.FINAL
        partial = layout.beside(folder, "partial")
        error = (
            self._rank_0_tries(lambda: self._begin(partial))
            or self._all_try(lambda: write_model(model, self.access, self.hf_assets, partial))
            or self._rank_0_tries(lambda: layout.put_in_place(partial, folder))
        )
        if error:
            self._failed(step, folder, error, time.perf_counter() - started)
            return None
        return folder

    def _begin(self, partial: Path) -> None:
        self.root.mkdir(parents=True, exist_ok=True)
        layout.clean(self.root)
        partial.mkdir()

    def _finish(self, partial: Path, folder: Path, step: int) -> None:
        layout.write_manifest(partial, step, self.world_size, str(torch.__version__))
        layout.put_in_place(partial, folder)

    def _failed(self, step: int, folder: Path, error: str, seconds: float) -> None:
        if self.rank == 0:
            with suppress(OSError):
                error += f" ({shutil.disk_usage(self.root).free / 1e6:.1f} MB free)"
                layout.clean(self.root)
            self.on_event(step=step, state="failed", path=str(folder), seconds=seconds, message=error)

    def _retire(self, newest: Path) -> None:
        """Delete the earliest checkpoints beyond the limits; never the newest."""
        folders = layout.complete_steps(self.root)
        total = sum(self._bytes(folder) for folder in folders.values())
        count = len(folders)
        for step, folder in folders.items():
            if folder == newest or (count <= self.max_num and total <= self.max_bytes):
                continue
            size = self._bytes(folder)
            try:
                layout.delete(folder)
            except OSError as error:
                self.on_event(
                    step=step, state="failed", path=str(folder), message=f"cannot delete it: {error}"
                )
                continue
            count, total = count - 1, total - size
            self.on_event(step=step, state="deleted", path=str(folder), bytes=size)

    @staticmethod
    def _bytes(folder: Path) -> int:
        manifest = layout.read_manifest(folder)
        return manifest.bytes if manifest else 0

    def set_aside_after(self, step: int) -> None:
        """Rename checkpoints of later steps, of which a run that resumed here is no continuation."""
        if self.rank == 0 and self.root.is_dir():
            layout.set_aside(self.root, step)
        self._barrier()

    # --- loading --------------------------------------------------------------------------------------

    def load(
        self, path: Path, model: nn.Module, optimizer: Optimizer
    ) -> tuple[dict[str, Any], dict[str, Any] | None]:
        """Fill model and optimizer from a complete checkpoint of any world size. Collective.

        Returns the global state and this rank's, which is None if the world size was another. Bit-exact;
        the optimizer's settings (learning rate, betas) stay those it has, for the caller to choose.
        Raises FindingsError (checkpoint.does-not-fit) if it was made by another model.
        """
        saved = saved_tensors(read_metadata(path / layout.SHARDS))
        check_fit(kept(self.access.weight_shapes(model)), saved, path)
        if adapters := adapter_config(model):
            check_adapter(path / layout.HF_ASSETS / ADAPTER_CONFIG, adapters.to_dict(), path)
        self.access.fill(model, optimizer, saved, lambda tensors: read_shards(tensors, path / layout.SHARDS))
        manifest = layout.read_manifest(path)
        same_world = manifest is not None and manifest.world_size == self.world_size
        rank_state = _read(path / layout.rank_file(self.rank)) if same_world else None
        return _read(path / layout.TRAINER_STATE), rank_state

    # --- agreement of ranks ---------------------------------------------------------------------------

    def _all_try(self, action: Callable[[], object]) -> str:
        """Run `action` on every rank. What the operating system refused, on whichever rank; "" if nothing.

        So that all ranks go on together, or give up together.
        """
        message = ""
        try:
            action()
        except OSError as error:
            message = f"{error}"
        if self.world_size == 1:
            return message
        messages: list[str] = [""] * self.world_size
        dist.all_gather_object(messages, message)
        return "; ".join(dict.fromkeys(filter(None, messages)))

    def _rank_0_tries(self, action: Callable[[], object]) -> str:
        return self._all_try(action if self.rank == 0 else lambda: None)

    def _barrier(self) -> None:
        self._all_try(lambda: None)


def _write(path: Path, value: dict[str, Any]) -> None:
    """`torch.save` through memory, because its own writer hides the reason of a failed write."""
    buffer = io.BytesIO()
    torch.save(value, buffer)
    path.write_bytes(buffer.getbuffer())
    layout.fsync(path)


def _read(path: Path) -> dict[str, Any]:
    return torch.load(path, map_location="cpu", weights_only=True)


def _not_found(ckpt_path: str) -> Finding:
    place = Path(ckpt_path)
    near = layout.complete_steps(place.parent)
    fixes = [Fix(f"use {path}", set={"checkpoint.ckpt_path": str(path)}) for path in reversed(near.values())]
    return Finding(
        id="checkpoint.not-found",
        severity="error",
        cause=f"There is no complete checkpoint at ckpt_path = {ckpt_path} (looked in {place.absolute()}).",
        param="checkpoint.ckpt_path",
        fixes=(*fixes[:3], Fix("or start a new run: leave load_checkpoint out")),
    )
