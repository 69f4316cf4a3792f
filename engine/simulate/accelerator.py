"""A GPU that is not there: a device of torch whose tensors have shapes and no memory.

Its tensors are fake ones (`FakeTensorMode`); tensors in host memory are real until they come to it. It takes
torch's slot for devices of others (`privateuseone`), because a build of torch without CUDA cannot follow the
backward pass of tensors that claim to be on a CUDA device. Once registered it stays, so all of this belongs
into a process of its own.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

NAME = "gpu"
"""`device.type` of its tensors."""


class _Stream:
    """Work is done at once, so nobody ever waits."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        pass

    def wait_stream(self, other: Any) -> None:
        pass

    def wait_event(self, event: Any) -> None:
        pass

    def record_event(self, event: Any = None) -> "_Stream":
        return self

    def record(self, stream: Any = None) -> None:
        pass

    def wait(self, stream: Any = None) -> None:
        pass

    def synchronize(self) -> None:
        pass

    def query(self) -> bool:
        return True


class _Module:
    """What torch calls `torch.<device>`."""

    Stream = _Stream
    Event = _Stream

    def is_initialized(self) -> bool:
        return True

    def is_available(self) -> bool:
        return True

    def device_count(self) -> int:
        return 1

    def current_device(self) -> int:
        return 0

    def set_device(self, device: Any) -> None:
        pass

    def current_stream(self, device: Any = None) -> _Stream:
        return _Stream()

    @contextmanager
    def stream(self, stream: Any) -> Iterator[None]:
        yield

    def synchronize(self, device: Any = None) -> None:
        pass

    def manual_seed_all(self, seed: int) -> None:
        pass

    def _is_in_bad_fork(self) -> bool:
        return False

    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        return [torch.bfloat16, torch.float16]


_KERNELS = torch.library.Library("aten", "IMPL")
_OWN_KERNELS = ("silu_backward", "mish_backward")
"""Operations that torch would take apart for a device of others, but that GPUs and CPUs have kernels for."""


def _never(*args: Any) -> Any:
    raise AssertionError("operations on the absent device are not carried out")


def register() -> torch.device:
    """Make the device known to torch; it is the same one each time."""
    if not hasattr(torch, NAME):
        for name in _OWN_KERNELS:
            _KERNELS.impl(name, _never, "PrivateUse1")
        _setup_privateuseone_for_python_backend(NAME, _Module())
        # Tensors of Python numbers are made in host memory and brought to the device in an operation.
        torch._C._set_only_lift_cpu_tensors(True)
    return torch.device(NAME, 0)
