"""One model under DeepSpeed ZeRO. All that is particular to the library is in this file."""

import io
import logging
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, redirect_stdout
from typing import Any

import torch
from torch import Tensor, nn

from engine.config.choices import zero_stage
from engine.config.sections import RunConfig
from engine.libraries import require_deepspeed
from engine.models.actor import Actor
from engine.rollout.guest import environment

BUCKET = 500_000_000
"""Elements that DeepSpeed reduces at once, its default; its buffers are never larger than the model."""


def load_deepspeed() -> Any:
    """Import DeepSpeed, quiet, for the accelerator there is. Raises FindingsError as `require_deepspeed`."""
    require_deepspeed()
    on_cpu = not torch.cuda.is_available()
    if on_cpu:
        os.environ.setdefault("DS_ACCELERATOR", "cpu")
    os.environ.setdefault("LOCAL_RANK", "0")
    import deepspeed

    logging.getLogger("DeepSpeed").setLevel(logging.WARNING)
    if on_cpu:
        # Its shared-memory collectives would be compiled at the first start, for minutes; gloo does without.
        deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
    return deepspeed


class ZeroEngine:
    """Trains `model` with AdamW under ZeRO. The model is still called directly; calls go through DeepSpeed.

    Masters and moments are float32; DeepSpeed keeps them flat and partitioned, the methods below show them
    parameter by parameter, whole. Under ZeRO 3 parameters are empty between uses.
    """

    MOMENTS = ("exp_avg", "exp_avg_sq")

    def __init__(self, model: nn.Module, config: RunConfig, device: torch.device, *, lr: float) -> None:
        self._deepspeed = load_deepspeed()
        self.stage = zero_stage(config)
        trained = [p for p in model.parameters() if p.requires_grad]
        optim = config.optim
        self.optimizer = torch.optim.AdamW(
            trained, lr=lr, betas=optim.adam_betas, weight_decay=optim.l2, fused=True
        )
        settings = _settings(config, device, sum(p.numel() for p in trained))
        exact = [(p, p.data) for p in trained] if config.model.bf16 else []
        if config.model.bf16:
            for parameter in model.parameters():
                parameter.data = parameter.data.to(torch.bfloat16)
        self._deepspeed.init_distributed()
        self._engine = self._start(model, settings, device)
        for parameter, value in exact:  # DeepSpeed makes its masters of the rounded parameters
            self.set_weight(parameter, value)

    def _start(self, model: nn.Module, settings: dict[str, Any], device: torch.device) -> Any:
        head = _head(model) if self.stage == 3 else nn.Module()
        wrapped = _Wrapped(model, gathered=head.parameters())
        if self.stage == 3:
            # Partitioned one by one on their way to the device: the whole never has to fit.
            self._deepspeed.zero.Init(module=wrapped, config_dict_or_path=settings)
            _move_buffers(model, device)
        # With ZeRO 1 in bfloat16 it prints how much memory is in use.
        # It takes the GPU of that number, also where ranks share one.
        own_gpu = environment({"LOCAL_RANK": str(device.index or 0)})
        with own_gpu, _hooks_kept(head), redirect_stdout(io.StringIO()):
            engine, *_ = self._deepspeed.initialize(model=wrapped, optimizer=self.optimizer, config=settings)
        model.forward = lambda *args, **kwargs: engine(call=(args, kwargs))
        return engine

    # --- training -------------------------------------------------------------------------------------

    def backward(self, loss: Tensor, *, last: bool) -> None:
        """Accumulate gradients, averaged over ranks; `last` before a step."""
        self._engine.set_gradient_accumulation_boundary(last)
        self._engine.backward(loss, scale_wrt_gas=False)

    def step(self) -> float:
        """Clip, step, clear gradients. Returns the norm before clipping; one that is not finite skips it."""
        self._engine.step()
        return float(self._engine.get_global_grad_norm())

    # --- weights --------------------------------------------------------------------------------------

    def gathered(self, parameters: Sequence[nn.Parameter]) -> AbstractContextManager[None]:
        """Inside, the parameters are whole. Collective under ZeRO 3."""
        partitioned = [p for p in parameters if p.shape != shape_of(p)]
        context: AbstractContextManager[None] = self._deepspeed.zero.GatheredParameters(partitioned)
        return context

    def weight(self, parameter: nn.Parameter) -> Tensor:
        """The float32 master of a parameter; a frozen one has none and comes as it is. Collective."""
        if not parameter.requires_grad:
            with self.gathered([parameter]):
                return parameter.detach().clone()
        master: Tensor = self._deepspeed.utils.safe_get_full_fp32_param(parameter)
        return master

    @torch.no_grad()
    def set_weight(self, parameter: nn.Parameter, value: Tensor) -> None:
        """Set a master, which the parameter follows with `refresh`; a frozen parameter itself. Collective."""
        utils = self._deepspeed.utils
        if not parameter.requires_grad:
            with self._deepspeed.zero.GatheredParameters([parameter], modifier_rank=0):
                parameter.copy_(value)
        elif self.stage == 3:
            utils.safe_set_local_fp32_param(parameter, _piece(parameter, value))
        else:
            utils.safe_set_full_fp32_param(parameter, value)

    def refresh(self) -> None:
        """Make the parameters the rounding of their masters. Collective."""
        zero = self._engine.optimizer
        if self.stage < 3:
            zero.update_lp_params()
            return
        self._engine.empty_partition_cache()
        for group in range(len(zero.fp32_partitioned_groups_flat)):
            zero._reassign_or_swap_out_partitioned_parameters(group)

    # --- optimizer states -----------------------------------------------------------------------------

    @property
    def steps(self) -> Tensor | None:
        """How often the optimizer has stepped, the same for all parameters; None: never, no states yet."""
        states = list(self.optimizer.state.values())
        return states[0]["step"] if states else None

    def set_steps(self, steps: Tensor | None) -> None:
        """Begin with states as after `steps` steps, their moments zero."""
        zero = self._engine.optimizer
        zero._hp_optimizer_states_linked = False
        self.optimizer.state.clear()
        if steps is None:
            return
        for flat in self._flat_masters():
            moments = {name: torch.zeros_like(flat.detach()) for name in self.MOMENTS}
            self.optimizer.state[flat] = {"step": steps.to(flat.device, copy=True), **moments}
        if self.stage < 3:
            zero._lazy_init_hp_params_optimizer_state()

    def moment(self, parameter: nn.Parameter, name: str) -> Tensor:
        """A moment of a trained parameter. Collective."""
        moment: Tensor = self._deepspeed.utils.safe_get_full_optimizer_state(parameter, name)
        return moment

    def set_moment(self, parameter: nn.Parameter, name: str, value: Tensor) -> None:
        """Set a moment of a trained parameter."""
        utils = self._deepspeed.utils
        if self.stage == 3:
            utils.safe_set_local_optimizer_state(parameter, _piece(parameter, value), name)
        else:
            utils.safe_set_full_optimizer_state(parameter, value, name)

    def _flat_masters(self) -> list[Tensor]:
        if self.stage == 3:
            return list(self._engine.optimizer.fp32_partitioned_groups_flat)
        return [parameter for group in self.optimizer.param_groups for parameter in group["params"]]


def shape_of(parameter: Tensor) -> torch.Size:
    """The shape of the whole parameter, also where it is partitioned."""
    shape: torch.Size = getattr(parameter, "ds_shape", parameter.shape)
    return shape


class _Wrapped(nn.Module):
    """What DeepSpeed gets: the model's children and its forward pass, but not the model that is called.

    So a call goes from the model to DeepSpeed's engine, to this, to the model's own forward pass. Arguments
    come as `call`, for DeepSpeed would look for tensors in what has no keyword. `gathered` are whole inside.
    """

    def __init__(self, model: nn.Module, gathered: Iterable[nn.Parameter] = ()) -> None:
        super().__init__()
        for name, child in model.named_children():
            self.add_module(name, child)
        for i, parameter in enumerate(gathered):
            self.register_parameter(f"gathered_{i}", parameter)
        self.run: Callable[..., Any] = model.forward

    def forward(self, *, call: tuple[tuple[Any, ...], dict[str, Any]]) -> Any:
        args, kwargs = call
        return self.run(*args, **kwargs)


def _head(model: nn.Module) -> nn.Module:
    inner: Any = model.model if isinstance(model, Actor) else model
    head: nn.Module = inner.get_output_embeddings()
    return head


@contextmanager
def _hooks_kept(head: nn.Module) -> Iterator[None]:
    """Undo what hooks are put on the output head inside.

    With those of ZeRO 3 it would take part in a collective each time it runs, once per chunk of tokens, so
    not equally often on all ranks. Its parameters are `gathered` instead.
    """
    hooks = [h for m in head.modules() for h in (m._forward_pre_hooks, m._forward_hooks)]
    before = [dict(each) for each in hooks]
    yield
    for each, kept in zip(hooks, before, strict=True):
        each.clear()
        each.update(kept)


def _move_buffers(model: nn.Module, device: torch.device) -> None:
    for module in model.modules():
        for name, buffer in module.named_buffers(recurse=False):
            setattr(module, name, buffer.to(device))


def _piece(parameter: Any, value: Tensor) -> Tensor:
    """This rank's part of a whole value under ZeRO 3: equal parts of all elements, zeros after the last."""
    size, rank = parameter.ds_tensor.numel(), torch.distributed.get_rank()
    part = value.flatten()[rank * size : (rank + 1) * size]
    return nn.functional.pad(part, (0, size - part.numel()))


def _settings(config: RunConfig, device: torch.device, n_trained: int) -> dict[str, Any]:
    """DeepSpeed's configuration. Batch sizes in it are formal: micro-batches are counted by `last`."""
    zero: dict[str, Any] = {
        "stage": zero_stage(config),
        "reduce_bucket_size": min(BUCKET, n_trained),
        "memory_efficient_linear": False,  # replaces torch's linear function, for all models of the process
    }
    if config.memory.adam_offload:
        zero["offload_optimizer"] = {"device": "cpu", "pin_memory": device.type == "cuda"}
    return {
        "train_micro_batch_size_per_gpu": 1,
        "gradient_accumulation_steps": 1,
        "gradient_clipping": config.optim.max_norm,
        "bf16": {"enabled": config.model.bf16},
        "data_types": {"grad_accum_dtype": "fp32"},
        "communication_data_type": "fp32",
        "zero_optimization": zero,
        "zero_force_ds_cpu_optimizer": False,
        "timers": {"throughput": {"enabled": False}},  # it waits for the device before every forward pass
    }
