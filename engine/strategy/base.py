"""What every strategy shares: process group, device, collectives, and the rollout engine's life cycle."""

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from engine.config.sections import RunConfig
from engine.rollout.base import Completion, RolloutEngine, SamplingParams
from engine.strategy import process_group

_OPS = {
    "sum": dist.ReduceOp.SUM,
    "mean": dist.ReduceOp.SUM,
    "max": dist.ReduceOp.MAX,
    "min": dist.ReduceOp.MIN,
}


class Strategy(ABC):
    """Owns the process group and the device; subclasses shard models and step optimizers.

    The trainer calls the methods below and nothing of torch.distributed, so that a strategy can be
    exchanged without touching the algorithm.
    """

    def __init__(self, config: RunConfig) -> None:
        self.config = config
        self.rank, self.world_size, self.device = process_group.start(config)
        self.compute_dtype = torch.bfloat16 if config.model.bf16 else torch.float32
        self._engine: RolloutEngine | None = None

    # --- training -------------------------------------------------------------------------------------

    @abstractmethod
    def prepare_model(self, model: nn.Module, *, trainable: bool) -> nn.Module:
        """Shard `model` over the ranks and move it to the device."""

    @abstractmethod
    def named_full_parameters(self, model: nn.Module) -> Iterator[tuple[str, Tensor]]:
        """Whole parameters under their names in `model`, one at a time. Collective: walk it on all ranks."""

    @abstractmethod
    def backward(self, loss: Tensor, model: nn.Module, optimizer: Optimizer) -> None:
        """Accumulate gradients of `loss`, this rank's share of a loss that is a sum over ranks."""

    @abstractmethod
    def optimizer_step(self, optimizer: Optimizer, model: nn.Module, scheduler: LRScheduler) -> float:
        """Clip by the one global norm, step, clear gradients. Returns the norm before clipping.

        A non-finite norm (the same number on every rank) skips the update.
        """

    # --- collectives ----------------------------------------------------------------------------------

    def all_reduce(self, value: Tensor, op: Literal["sum", "mean", "max", "min"] = "mean") -> Tensor:
        """Reduce a tensor over ranks; the argument is not changed."""
        if self.world_size == 1:
            return value.clone()
        reduced = value.to(self.device, copy=True)
        dist.all_reduce(reduced, op=_OPS[op])
        if op == "mean":
            reduced /= self.world_size
        return reduced.to(value.device)

    def all_reduce_number(self, value: float, op: Literal["sum", "max", "min"]) -> float:
        """`all_reduce` of one Python number."""
        return float(self.all_reduce(torch.tensor(value, dtype=torch.float64), op))

    def all_gather(self, value: Tensor) -> Tensor:
        """Stack a tensor of the same shape from all ranks: [world, …]."""
        if self.world_size == 1:
            return value[None].clone()
        local = value.to(self.device).contiguous()
        gathered = [torch.empty_like(local) for _ in range(self.world_size)]
        dist.all_gather(gathered, local)
        return torch.stack(gathered).to(value.device)

    def gather_objects(self, value: Any) -> list[Any] | None:
        """Small Python objects of all ranks, on rank 0; None elsewhere."""
        if self.world_size == 1:
            return [value]
        gathered: list[Any] | None = [None] * self.world_size if self.rank == 0 else None
        dist.gather_object(value, gathered, dst=0)
        return gathered

    def broadcast_object(self, value: Any) -> Any:
        """Rank 0's Python object, on every rank."""
        if self.world_size == 1:
            return value
        box = [value]
        dist.broadcast_object_list(box, src=0, device=self.device)
        return box[0]

    def barrier(self) -> None:
        """Wait for all ranks."""
        if self.world_size > 1:
            self.all_reduce_number(0.0, "sum")

    # --- rollout engine -------------------------------------------------------------------------------

    def setup_inference_engine(self, engine: RolloutEngine) -> None:
        """Take the engine that lives in this process."""
        self._engine = engine

    @property
    def inference_engine(self) -> RolloutEngine:
        if self._engine is None:
            raise RuntimeError("no inference engine: call setup_inference_engine first")
        return self._engine

    @property
    def inference_engine_status(self) -> str:
        """`awake`, `asleep` or `none`."""
        return self._engine.status if self._engine else "none"

    def update_engine_weights(self, actor: nn.Module) -> None:
        """Give the engine the actor's present weights. Collective."""
        self.wakeup_inference_engine()
        named = self.named_full_parameters(actor)
        self.inference_engine.update_weights((name.removeprefix("model."), p) for name, p in named)

    def gather_and_generate(
        self,
        prompts: Sequence[Sequence[int]],
        params: SamplingParams,
        generator: torch.Generator,
        *,
        sleep_engine: bool = True,
    ) -> list[list[Completion]]:
        """`params.n` completions for each of this rank's prompts, in order; then the engine may sleep."""
        self.wakeup_inference_engine()
        completions = self.inference_engine.generate(prompts, params, generator)
        if sleep_engine:
            self.maybe_sleep_inference_engine()
        return completions

    def wakeup_inference_engine(self) -> None:
        """Bring the engine's memory back if it sleeps."""
        if self.inference_engine.status == "asleep":
            self.inference_engine.wake_up()

    def maybe_sleep_inference_engine(self) -> None:
        """Free the engine's device memory, when `enable_engine_sleep` is on and there is a device to free."""
        if self.config.rollout.enable_engine_sleep and self.device.type == "cuda":
            self.inference_engine.sleep()

    # --- talking --------------------------------------------------------------------------------------

    def print(self, *values: object) -> None:
        """Print on rank 0. A log on a full disk must not end a run: then the line is lost."""
        if self.rank == 0:
            with contextlib.suppress(OSError):
                print(*values, flush=True)

    def report_memory(self, prefix: str) -> None:
        """Print the device memory of rank 0 in GiB, under a heading."""
        if self.device.type == "cuda":
            gib = 1024**3
            now, peak = torch.cuda.memory_allocated() / gib, torch.cuda.max_memory_allocated() / gib
            self.print(f"{prefix}: {now:.2f} GiB allocated, peak {peak:.2f} GiB")

    def close(self) -> None:
        """Leave the process group."""
        if dist.is_initialized():
            dist.destroy_process_group()
