"""Counts live bytes of tensors, of fake ones as of real ones: what is alive, and the worst moment of phases.

Storages are counted when an operation returns one that has not been seen, and taken off when the last tensor
that uses it is gone: what an allocator that wastes nothing would report as allocated. Workspaces inside
kernels are not seen.
"""

import weakref
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor
from torch.distributed.tensor._sharding_prop import ShardingPropagator
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

OUTSIDE = "outside"
"""The phase of what happens outside any."""


@dataclass(slots=True)
class Block:
    """One storage: how large it is now, and where it came from."""

    nbytes: int
    device: str
    made_by: str
    """The operation, and the module or the node of the backward pass that it was part of."""
    category: str = ""
    """Given by `MemoryTracker.mark`; empty: nobody claimed it."""


@dataclass(slots=True)
class Peak:
    """The worst moment of a phase on one device, what was alive then, and what was left at the end."""

    bytes: int = 0
    resident: int = 0
    categories: Counter[str] = field(default_factory=Counter)
    """Bytes by category; what nobody marked is `temporaries`."""
    makers: Counter[str] = field(default_factory=Counter)
    """Bytes of the unmarked by what made them."""
    resident_categories: Counter[str] = field(default_factory=Counter)


class MemoryTracker(TorchDispatchMode):
    """Inside `with tracker:` every storage that operations make is counted, on the device it is on.

    `phase(name)` names what goes on; `peaks(device)` tells at the end. Only storages made inside count,
    besides those given to `see`.
    """

    def __init__(self) -> None:
        super().__init__()
        self.blocks: list[Block] = []
        self._known: dict[int, tuple[Any, int]] = {}
        """By the identity of a storage: a reference that forgets, and its place in `blocks`."""
        self._log: list[tuple[int, int]] = []
        """What happened: a block, and its bytes from now on."""
        self._phases: list[tuple[str, int]] = [(OUTSIDE, 0)]
        self._modules: list[str] = []
        self._hooks: list[Any] = []
        self._pauses = 0

    # --- what goes on -----------------------------------------------------------------------------------

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Name what happens inside; the phase around it goes on afterwards."""
        before = self._phases[-1][0]
        self._phases.append((name, len(self._log)))
        try:
            yield
        finally:
            self._phases.append((before, len(self._log)))

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Inside, nothing is counted."""
        self._pauses += 1
        try:
            yield
        finally:
            self._pauses -= 1

    def see(self, tensors: Iterable[Any]) -> None:
        """Count tensors that were made elsewhere."""
        for tensor in tensors:
            self._count(tensor, "made before")

    def mark(self, category: str, tensors: Iterable[Any]) -> None:
        """Say what tensors are, for all the time that their storages live."""
        for tensor in tensors:
            for part in _parts(tensor):
                known = self._known.get(id(part.untyped_storage()))
                if known is not None:
                    self.blocks[known[1]].category = category

    # --- what came of it --------------------------------------------------------------------------------

    def peaks(self, device: str) -> dict[str, Peak]:
        """By phase: the worst moment on devices of that type, by all of a phase's times together."""
        worst: dict[str, tuple[int, int]] = {}
        last: dict[str, int] = {}
        for name, at, now in self._history(device):
            last[name] = at
            if name not in worst or now > worst[name][0]:
                worst[name] = now, at
        result = {}
        for name, (now, at) in worst.items():
            peak = result[name] = Peak(bytes=now)
            for block, nbytes in self._alive(at, device):
                peak.categories[block.category or "temporaries"] += nbytes
                if not block.category:
                    peak.makers[block.made_by] += nbytes
            for block, nbytes in self._alive(last[name], device):
                peak.resident += nbytes
                peak.resident_categories[block.category or "temporaries"] += nbytes
        return result

    def _history(self, device: str) -> Iterator[tuple[str, int, int]]:
        """Phase, moment and bytes alive, at the beginning of every phase and after every change in it."""
        sizes = [0] * len(self.blocks)
        now = 0
        for (name, first), (_, end) in zip(
            self._phases, [*self._phases[1:], ("", len(self._log))], strict=True
        ):
            yield name, first, now
            for at in range(first, end):
                index, nbytes = self._log[at]
                if self.blocks[index].device == device:
                    now += nbytes - sizes[index]
                    sizes[index] = nbytes
                    yield name, at + 1, now

    def _alive(self, moment: int, device: str) -> Iterator[tuple[Block, int]]:
        sizes = dict(self._log[:moment])
        for index, nbytes in sizes.items():
            if nbytes and self.blocks[index].device == device:
                yield self.blocks[index], nbytes

    # --- counting ---------------------------------------------------------------------------------------

    def __enter__(self) -> "MemoryTracker":
        modules = torch.nn.modules.module
        self._hooks = [
            modules.register_module_forward_pre_hook(self._enter_module),
            modules.register_module_forward_hook(self._leave_module, always_call=True),
        ]
        # Around what torch does with fake tensors of whole shapes to find out how results are sharded.
        ShardingPropagator._fake_mode_lock = _Paused(self)  # type: ignore[assignment]
        self._resize = torch.UntypedStorage.resize_
        resize, tracker = self._resize, self

        def counted(storage: Any, size: int) -> Any:
            result = resize(storage, size)
            tracker._resized(storage)
            return result

        torch.UntypedStorage.resize_ = counted  # type: ignore[method-assign, assignment]
        super().__enter__()
        return self

    def __exit__(self, *exception: Any) -> None:
        super().__exit__(*exception)
        torch.UntypedStorage.resize_ = self._resize  # type: ignore[method-assign]
        for hook in self._hooks:
            hook.remove()
        ShardingPropagator._fake_mode_lock = nullcontext()

    def _enter_module(self, module: Any, args: Any) -> None:
        self._modules.append(type(module).__name__)

    def _leave_module(self, module: Any, args: Any, output: Any) -> None:
        self._modules.pop()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if any(issubclass(kind, DTensor) for kind in types):
            return NotImplemented  # it calls operations on its parts, which come here
        result = self.run(func, args, kwargs or {})
        if not self._pauses:
            for leaf in tree_leaves(result):
                self._count(leaf, func)
        return result

    def run(self, func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
        """Carry out an operation; the simulation has its own way."""
        return func(*args, **kwargs)

    def _count(self, tensor: Any, func: Any) -> None:
        for part in _parts(tensor):
            storage = part.untyped_storage()
            if id(storage) in self._known:
                continue
            index = len(self.blocks)
            made_by = func if isinstance(func, str) else f"{_place(self._modules)}: {_op(func)}"
            self.blocks.append(Block(storage.nbytes(), part.device.type, made_by))
            self._log.append((index, storage.nbytes()))
            self._known[id(storage)] = weakref.ref(storage, self._forget(id(storage), index)), index

    def _forget(self, key: int, index: int) -> Any:
        def gone(_: Any) -> None:
            self._known.pop(key, None)
            self._log.append((index, 0))

        return gone

    def _resized(self, storage: Any) -> None:
        known = self._known.get(id(storage))
        if known is not None:
            self._log.append((known[1], storage.nbytes()))


class _Paused:
    """`MemoryTracker.paused` in the place of a lock, which is entered again and again."""

    def __init__(self, tracker: MemoryTracker) -> None:
        self.tracker = tracker

    def __enter__(self) -> None:
        self.tracker._pauses += 1

    def __exit__(self, *exception: Any) -> None:
        self.tracker._pauses -= 1


def _parts(tensor: Any) -> list[Tensor]:
    """What holds a tensor's memory: of a sharded one its local part."""
    if isinstance(tensor, DTensor):
        return [tensor._local_tensor]
    return [tensor] if isinstance(tensor, Tensor) else []


def _place(modules: list[str]) -> str:
    node = torch._C._current_autograd_node()
    if node is not None:
        return f"{modules[-1]} again, for {node.name()}" if modules else node.name()
    return modules[-1] if modules else "outside modules"


def _op(func: Any) -> str:
    return str(getattr(func, "_schema", func)).partition("(")[0].partition("::")[2] or str(func)
