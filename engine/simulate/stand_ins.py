"""What torch does differently for a device that is absent, put right: for a process of its own.

Each replacement does what the original would on the device that is simulated.
"""

from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor
from torch.distributed.fsdp import fully_shard
from torch.distributed.fsdp._fully_shard import _fsdp_param
from torch.distributed.tensor import DTensor
from torch.nn import Parameter

from engine.data import experience
from engine.data.experience import MicroBatch
from engine.models.sequence_parallel import SequenceParallel
from engine.simulate import accelerator
from engine.simulate.fake import FakeTracker
from engine.strategy import fully_sharded

aten = torch.ops.aten

Kind = Literal["cuda", "cpu"]
"""The device that the absent one is like: it decides about kernels and the arrangement of micro-batches."""


def install(kind: Kind) -> None:
    """Replace what the absent device needs replaced. There is no way back."""
    nn.Module._apply = _apply  # type: ignore[method-assign]
    fully_sharded.fully_shard = _fully_shard
    _fsdp_param._chunk_with_empty = _Chunks  # type: ignore[assignment]
    SequenceParallel.slice_of = _slice_of  # type: ignore[method-assign, assignment]
    if kind == "cuda":
        torch.Tensor.is_cuda = property(_is_on_device)  # type: ignore[assignment]
        F.scaled_dot_product_attention = _cuda_attention
        F.rms_norm = _cuda_rms_norm  # type: ignore[assignment]
        return
    F.scaled_dot_product_attention = _cpu_attention
    pays = experience._sharing_pays
    experience._sharing_pays = lambda experiences, device: pays(experiences, torch.device("cpu"))


def _is_on_device(tensor: Tensor) -> bool:
    return tensor.device.type in ("cuda", accelerator.NAME)


# --- what depends on values ------------------------------------------------------------------------------

_slice_of_really = SequenceParallel.slice_of


def _slice_of(sequence: SequenceParallel, batch: MicroBatch) -> tuple[MicroBatch, Tensor]:
    """Of the ranks that share a row, the one whose slice holds nothing but responses."""
    FakeTracker.most_true = -(-batch.input_ids.shape[1] // sequence.group.size)
    return _slice_of_really(sequence, batch)


# --- moving modules --------------------------------------------------------------------------------------

_apply_really = nn.Module._apply


def _apply(module: nn.Module, fn: Any, recurse: bool = True) -> nn.Module:
    """`Module.to` and the like: fake parameters cannot change in place, so new ones come in their places."""
    if not any(isinstance(p, FakeTensor) for p in module.parameters()):
        return _apply_really(module, fn, recurse)
    _replace(module, fn, {})
    return module


def _fully_shard(module: Any, **settings: Any) -> Any:
    """`fully_shard`, which would move parameters in place, of a module whose parameters have been moved."""
    device = torch.device(accelerator.NAME, 0)
    _replace(module, lambda tensor: tensor.to(device), {})
    return fully_shard(module, **settings)


class _Chunks:
    """`torch.chunk` that cuts off only what is asked for: of 1024 pieces a rank wants its own."""

    def __init__(self, tensor: Tensor, num_chunks: int, dim: int) -> None:
        self.tensor, self.dim = tensor, dim
        self.rows = -(-tensor.shape[dim] // num_chunks)

    def __getitem__(self, rank: int) -> Tensor:
        whole = self.tensor.shape[self.dim]
        first = min(rank * self.rows, whole)
        return self.tensor.narrow(self.dim, first, min(self.rows, whole - first))


def _replace(module: nn.Module, fn: Any, done: dict[int, Parameter]) -> None:
    """`fn` of all parameters and buffers that are not sharded; tied ones stay one."""
    for part in module.modules():
        for name, parameter in part._parameters.items():
            if parameter is None or isinstance(parameter, DTensor):
                continue
            if id(parameter) not in done:
                with torch.no_grad():
                    moved = fn(parameter)
                done[id(parameter)] = (
                    parameter if moved is parameter else Parameter(moved, parameter.requires_grad)
                )
            part._parameters[name] = done[id(parameter)]
        for name, buffer in part._buffers.items():
            if buffer is not None:
                part._buffers[name] = fn(buffer)


# --- attention -------------------------------------------------------------------------------------------


def _cuda_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """The kernel that torch chooses on NVIDIA GPUs: flash-attention, or the memory-efficient one."""
    if attn_mask is None and query.dtype in (torch.bfloat16, torch.float16) and query.shape[-1] <= 256:
        # Heads of a size that is no multiple of 8 are filled up.
        fill = -query.shape[-1] % 8
        q, k, v = (F.pad(t, (0, fill)) if fill else t for t in (query, key, value))
        scale = scale or query.shape[-1] ** -0.5
        output = aten._scaled_dot_product_flash_attention(q, k, v, 0.0, is_causal, scale=scale)[0]
        return output[..., : query.shape[-1]]
    if enable_gqa and key.shape[1] != query.shape[1]:
        repeats = query.shape[1] // key.shape[1]
        key, value = key.repeat_interleave(repeats, dim=1), value.repeat_interleave(repeats, dim=1)
    bias = None if attn_mask is None else _bias(attn_mask, query)
    if bias is not None:
        # Rows of the bias begin at multiples of 8 numbers.
        width, fill = bias.shape[-1], -bias.shape[-1] % 8
        bias = F.pad(bias, (0, fill))[..., :width] if fill else bias
        bias = bias.expand(*query.shape[:2], query.shape[2], width)
    keep = torch.is_grad_enabled() and any(t.requires_grad for t in (query, key, value))
    return aten._scaled_dot_product_efficient_attention(
        query, key, value, bias, keep, 0.0, is_causal, scale=scale
    )[0]


class _RmsNorm(torch.autograd.Function):
    """One kernel, from torch 2.9 on, which keeps its input and a number for each row."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, weight: Tensor) -> Tensor:
        scale = rows.new_empty((*rows.shape[:-1], 1), dtype=torch.float32)
        ctx.save_for_backward(rows, weight, scale)
        return torch.empty_like(rows)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        rows, weight, _ = ctx.saved_tensors
        return torch.empty_like(rows), torch.empty_like(weight) if ctx.needs_input_grad[1] else None


def _cuda_rms_norm(rows: Tensor, shape: Any, weight: Tensor, eps: float) -> Tensor:
    """The norm that `engine.models.patches` puts into models."""
    output: Tensor = _RmsNorm.apply(rows, weight)
    return output


def _cpu_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """Torch's flash-attention for CPUs, which takes masks and fewer key heads."""
    bias = None if attn_mask is None else _bias(attn_mask, query)
    return aten._scaled_dot_product_flash_attention_for_cpu(
        query, key, value, 0.0, is_causal, attn_mask=bias, scale=scale
    )[0]


def _bias(mask: Tensor, like: Tensor) -> Tensor:
    """A mask of booleans as numbers to add to scores."""
    if mask.dtype != torch.bool:
        return mask
    return torch.zeros_like(mask, dtype=like.dtype).masked_fill_(mask.logical_not(), -torch.inf)
