"""What every strategy shares: collectives, groups of ranks, and the rollout engine's life cycle."""

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from engine.checkpoint.access import TensorAccess
from engine.config.sections import RunConfig
from engine.models.weight_names import engine_weights
from engine.rollout.base import Completion, RolloutEngine, SamplingParams
from engine.strategy.collectives import Collectives
from engine.strategy.group_check import GroupChecks
from engine.strategy.groups import neighbours
from engine.strategy.process_group import timeout_seconds

T = TypeVar("T")

GIB = 1024**3


class Strategy(Collectives, ABC):
    """Owns the process group and the device; subclasses shard models and step optimizers.

    The trainer calls the methods below and nothing of torch.distributed, so that a strategy can be
    exchanged without touching the algorithm.
    """

    def __init__(self, config: RunConfig) -> None:
        super().__init__(config)
        self.compute_dtype = torch.bfloat16 if config.model.bf16 else torch.float32
        place = self.rank, self.world_size, timeout_seconds(config)
        self.tensor_group = neighbours("tensor", config.rollout.engine_tp_size, *place)
        self.sequence_group = neighbours("sequence", config.parallel.sp_size, *place)
        self.group_checks = GroupChecks(self.rank, self.device, timeout_seconds(config))
        self._engine: RolloutEngine | None = None

    # --- training -------------------------------------------------------------------------------------

    @abstractmethod
    def fills_from_rank_0(self, *, trainable: bool) -> bool:
        """Whether `prepare_model` gives weights to ranks that have such a model on the meta device."""

    @abstractmethod
    def prepare_model(
        self, model: nn.Module, *, trainable: bool, shard_size: int | None = None, from_rank_0: bool = False
    ) -> nn.Module:
        """Shard `model` in place over `shard_size` neighbouring ranks (default: all), and onto the device.

        Frozen parameters of a trainable model (a LoRA base) stay frozen. `from_rank_0`: the weights are those
        of rank 0, the others need not have any; see `fills_from_rank_0`. Returns the same module.
        """

    @abstractmethod
    def make_optimizer(self, model: nn.Module, *, lr: float) -> Optimizer:
        """AdamW over the trainable parameters of a prepared model, with the configured betas and decay."""

    @abstractmethod
    def named_full_parameters(
        self, model: nn.Module, dtype: torch.dtype | None = None
    ) -> Iterator[tuple[str, Tensor]]:
        """Whole parameters under their names in `model`, gathered in buckets of `sync_bucket_mb`.

        `dtype`: what they are cast to before they are gathered. Tied ones come once. Collective: walk it to
        its end on all ranks.
        """

    @abstractmethod
    def backward(self, loss: Tensor, model: nn.Module, optimizer: Optimizer, *, last: bool = True) -> None:
        """Accumulate gradients of `loss`, this rank's share of a loss that is a sum over ranks.

        `last`: no further micro-batch follows before the optimizer step.
        """

    @abstractmethod
    def optimizer_step(
        self, optimizer: Optimizer, model: nn.Module, scheduler: LRScheduler, name: str = "actor"
    ) -> float:
        """Clip by the one global norm, step, clear gradients. Returns the norm before clipping.

        A non-finite norm (the same number on every rank) skips the update, and is told under `name`.
        """

    @property
    @abstractmethod
    def checkpoint_access(self) -> TensorAccess:
        """How a checkpoint reads and fills the tensors of a model and its optimizer."""

    # --- memory between phases ------------------------------------------------------------------------

    def reshard(self, model: nn.Module) -> None:
        """Let go of whole parameters that a forward pass has left for a backward pass that does not come."""

    @abstractmethod
    def maybe_load_optimizer(self, optimizer: Optimizer) -> None:
        """Bring optimizer states to the device, where they are kept in host memory between updates."""

    @abstractmethod
    def maybe_offload_optimizer(self, optimizer: Optimizer) -> None:
        """Take optimizer states to host memory until the next update, if that was asked for."""

    def maybe_load_model(self, model: nn.Module) -> None:
        """Bring a frozen model (reference, reward) to the device for its phase."""
        if self._models_travel:
            model.to(self.device)

    def maybe_offload_model(self, model: nn.Module) -> None:
        """Take a frozen model to host memory outside its phase, with `ref_reward_offload`."""
        if self._models_travel:
            model.to("cpu")

    @property
    def _models_travel(self) -> bool:
        """With `fsdp_cpu_offload` their shards come to the device layer by layer, by themselves."""
        memory = self.config.memory
        return memory.ref_reward_offload and not memory.fsdp_cpu_offload

    # --- rollout engine -------------------------------------------------------------------------------

    def deal(self, items: Sequence[T]) -> Sequence[T]:
        """This rank's share of what all ranks hold: dealt to engine replicas, then to their ranks."""
        group = self.tensor_group
        replicas = self.world_size // group.size
        return items[self.rank // group.size :: replicas][group.rank :: group.size]

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
        """Give the engine the actor's present weights, bucket by bucket. Collective."""
        self.wakeup_inference_engine()
        engine = self.inference_engine
        named = self.named_full_parameters(actor, self.compute_dtype)
        engine.update_weights(engine_weights(actor, named, on_disk=engine.names_on_disk))

    def gather_and_generate(
        self,
        prompts: Sequence[Sequence[int]],
        params: SamplingParams,
        generator: torch.Generator,
        *,
        sleep_engine: bool = True,
    ) -> list[list[Completion]]:
        """`params.n` completions for each of this rank's prompts, in order; then the engine may sleep.

        The ranks of a tensor-parallel replica answer the prompts of all of them together.
        """
        self.wakeup_inference_engine()
        if self.tensor_group.size == 1:
            completions = self.inference_engine.generate(prompts, params, generator)
        else:
            completions = self._generate_together(prompts, params, generator)
        if sleep_engine:
            self.maybe_sleep_inference_engine()
        return completions

    def _generate_together(
        self, prompts: Sequence[Sequence[int]], params: SamplingParams, generator: torch.Generator
    ) -> list[list[Completion]]:
        group = self.tensor_group
        seed = int(torch.randint(2**62, (1,), generator=generator, device=generator.device))
        told = self.all_gather_objects((list(prompts), seed), group.group, group.name)
        shared = torch.Generator(generator.device)
        shared.manual_seed(told[0][1])
        answers = self.inference_engine.generate([p for part, _ in told for p in part], params, shared)
        first = sum(len(part) for part, _ in told[: group.rank])
        return answers[first : first + len(prompts)]

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
            now, peak = torch.cuda.memory_allocated() / GIB, torch.cuda.max_memory_allocated() / GIB
            self.print(f"{prefix}: {now:.2f} GiB allocated, peak {peak:.2f} GiB")

    def close(self) -> None:
        """Take down the rollout engine and leave the process group."""
        if self._engine is not None:
            self._engine.close()
        if dist.is_initialized():
            dist.destroy_process_group()
