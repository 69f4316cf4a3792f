"""Environment variables that were set for another experiment, or that do not do what their names say."""

from collections.abc import Callable
from typing import NamedTuple

from engine.findings import Fix, Severity


def _any(value: str) -> bool:
    return True


def _on(value: str) -> bool:
    return value.strip().lower() not in ("0", "false", "no", "off")


def _off(value: str) -> bool:
    return not _on(value)


def _is(*words: str) -> Callable[[str], bool]:
    return lambda value: value.strip().upper() in words


def _is_count(value: str) -> bool:
    return value.isdecimal() and int(value) > 0


BACKENDS = ("nccl", "gloo")


class Leftover(NamedTuple):
    """A variable, the values that are worth a question, what they do, and what to do about it."""

    name: str
    questionable: Callable[[str], bool]
    means: str
    advice: str = "unset it, unless this machine needs it"
    severity: Severity = "warning"
    other_fixes: tuple[Fix, ...] = ()


_TRANSPORT = "unset it, unless this machine hangs without it: then say so where the run is described"

LEFTOVERS = (
    Leftover(
        "NCCL_TIMEOUT",
        lambda value: not _is_count(value),
        "rftui reads it as the seconds of the process groups' timeout, and refuses to start with this",
        "say it in the configuration instead",
        "error",
        (Fix("in seconds", set={"parallel.nccl_timeout": 1800}),),
    ),
    Leftover(
        "NCCL_TIMEOUT",
        _is_count,
        "NCCL and torch know no such variable. rftui reads it as the seconds of the process groups' "
        "timeout; other trainers do not, and go on waiting their own 10 to 60 minutes",
        "say it in the configuration instead",
        "info",
        (Fix("for rftui, in seconds", set={"parallel.nccl_timeout": 1800}),),
    ),
    Leftover(
        "NCCL_BACKEND",
        lambda value: value not in BACKENDS,
        "rftui takes the collective backend from it, and refuses to start with what is neither nccl nor gloo",
        "say it in the configuration instead",
        "error",
        (Fix("or name one of the two", command="export NCCL_BACKEND=nccl"),),
    ),
    Leftover(
        "NCCL_BACKEND",
        lambda value: value in BACKENDS,
        "NCCL and torch know no such variable. rftui takes the collective backend from it (nccl or gloo); "
        "other trainers do not",
        "say it in the configuration instead",
        "info",
        (Fix("for rftui: dist_backend, nccl or gloo"),),
    ),
    Leftover(
        "NCCL_P2P_DISABLE",
        _on,
        "GPUs of this machine do not exchange data directly, but over its memory: several times slower",
        _TRANSPORT,
    ),
    Leftover(
        "NCCL_SHM_DISABLE",
        _on,
        "processes of this machine talk through the network interface instead of shared memory",
        _TRANSPORT,
    ),
    Leftover("NCCL_IB_DISABLE", _on, "InfiniBand and RoCE stay unused; machines talk over TCP", _TRANSPORT),
    Leftover(
        "NCCL_CUMEM_ENABLE",
        _any,
        "must be the same in the trainer and in an engine that shares a group with it ('unhandled system "
        "error' otherwise)",
        severity="info",
    ),
    Leftover("NCCL_ALGO", _any, "pins one algorithm for all sizes of messages", "let NCCL choose"),
    Leftover(
        "NCCL_PROTO",
        _any,
        "pins one protocol for all sizes of messages; LL128 on hardware that does not support it gives "
        "wrong data",
        "let NCCL choose",
    ),
    Leftover(
        "NCCL_NET", _any, "NCCL stops as it starts where this plugin or network is missing", "let NCCL choose"
    ),
    Leftover(
        "NCCL_NET_PLUGIN", _any, "NCCL loads this plugin instead of the one that it finds", severity="info"
    ),
    Leftover(
        "NCCL_DEBUG",
        _is("TRACE"),
        "logs every call, which slows all of them",
        "INFO is enough",
        other_fixes=(Fix("log what NCCL sets up, once", command="export NCCL_DEBUG=INFO"),),
    ),
    Leftover("CUDA_LAUNCH_BLOCKING", _on, "waits for every kernel: for finding the line of an error only"),
    Leftover(
        "TORCH_DISTRIBUTED_DEBUG",
        _is("DETAIL"),
        "checks every collective with another one, which makes it slow",
        "use it only to look for ranks out of step",
    ),
    Leftover("TORCH_NCCL_ENABLE_MONITORING", _off, "a rank that is stuck in a CUDA call is then never ended"),
    Leftover(
        "TORCH_NCCL_ASYNC_ERROR_HANDLING",
        _off,
        "a collective that times out does not end its process: the run hangs instead of failing",
    ),
    Leftover(
        "NCCL_ASYNC_ERROR_HANDLING",
        _off,
        "the old name of TORCH_NCCL_ASYNC_ERROR_HANDLING: a collective that times out does not end its "
        "process",
    ),
    Leftover(
        "TORCH_NCCL_BLOCKING_WAIT", _on, "the CPU waits for every collective, so nothing overlaps with it"
    ),
    Leftover("TORCH_NCCL_ENABLE_TIMING", _on, "raises the chance that the watchdog itself hangs"),
    Leftover(
        "PYTORCH_CUDA_ALLOC_CONF",
        lambda value: "expandable_segments:true" in value.lower().replace(" ", ""),
        "an engine that sleeps (vLLM's memory pool) does not work with expandable segments in older "
        "versions, and refuses or keeps its memory",
        "unset it where the engine shares the GPU and sleeps",
        other_fixes=(Fix("or keep the engine awake: set enable_engine_sleep to false"),),
    ),
    Leftover(
        "VLLM_ATTENTION_BACKEND",
        _any,
        "pins vLLM's attention; new versions refuse names that they no longer have",
        "let vLLM choose",
    ),
    Leftover(
        "VLLM_USE_V1", _any, "has no effect in vLLM since 0.11, which has one engine only", severity="info"
    ),
    Leftover(
        "RANK",
        _any,
        "a launcher's variable in a shell: a program started by hand waits for other ranks",
        "unset it outside of torchrun",
        "warning",
        (Fix("and the others with it", command="unset RANK WORLD_SIZE LOCAL_RANK MASTER_ADDR MASTER_PORT"),),
    ),
    Leftover(
        "PYTHONPATH",
        lambda value: any("site-packages" in part for part in value.split(":")),
        "packages of another environment come before those that are installed here",
    ),
    Leftover(
        "LD_PRELOAD",
        lambda value: "tcmalloc" not in value and "jemalloc" not in value,
        "is loaded into every process, torch's included",
        severity="info",
    ),
)
"""As far as they are known to NCCL 2.30, torch 2.13 and vLLM 0.32, by their sources and documentation."""
