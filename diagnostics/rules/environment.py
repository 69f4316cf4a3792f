"""Environment variables that a script sets: those that do nothing or harm, and keys that stand in it."""

from collections.abc import Iterator
from pathlib import Path

from diagnostics.doctor.checks.leftovers import LEFTOVERS, Leftover
from diagnostics.rules.foreign import Foreign, Framework, Setting
from diagnostics.rules.secrets import HIDDEN
from engine.findings import Finding, Fix

_WAITS: dict[Framework, str] = {
    "lightrft": "LightRFT waits 60 minutes, which is in its code",
    "openrlhf": "OpenRLHF waits 60 minutes, which is in its code",
    "verl": "verl waits actor_rollout_ref.nccl_timeout seconds, 600 by default",
    "trl": "TRL waits --ddp_timeout seconds, 1800 by default",
    "trinity": "Trinity-RFT waits synchronizer.sync_timeout and actor_rollout_ref.nccl_timeout seconds",
}
_SETTING: dict[Framework, Fix] = {
    "verl": Fix("set the limit", command="actor_rollout_ref.nccl_timeout=1800"),
    "trl": Fix("set the limit", command="--ddp_timeout 3600"),
}
_RENAMED = {
    "NCCL_BLOCKING_WAIT": "TORCH_NCCL_BLOCKING_WAIT",
    "NCCL_ASYNC_ERROR_HANDLING": "TORCH_NCCL_ASYNC_ERROR_HANDLING",
    "NCCL_DESYNC_DEBUG": "TORCH_NCCL_DESYNC_DEBUG",
    "NCCL_ENABLE_TIMING": "TORCH_NCCL_ENABLE_TIMING",
    "TORCH_NCCL_TRACE_BUFFER_SIZE": "TORCH_FR_BUFFER_SIZE",
    "PYTORCH_CUDA_ALLOC_CONF": "PYTORCH_ALLOC_CONF",
}
"""Names that torch still reads, or has stopped to, and those it has now."""
_STILL_READ = ("PYTORCH_CUDA_ALLOC_CONF", "TORCH_NCCL_TRACE_BUFFER_SIZE")
_LOGINS = (("WANDB", "wandb login"), ("HF_", "hf auth login"), ("HUGGING", "hf auth login"))
_OF_LAUNCHERS = ("RANK", "LOCAL_RANK", "WORLD_SIZE")
_ELSEWHERE = ("NCCL_TIMEOUT", "NCCL_BACKEND", "RANK", "PYTHONPATH", "LD_PRELOAD")
"""Variables of the doctor's table that mean something else in a script."""


def environment_findings(foreign: Foreign) -> list[Finding]:
    """What the variables of a configuration do, beyond what is meant."""
    return [
        finding
        for name, setting in foreign.environ.items()
        for finding in _of_variable(foreign, name, setting)
    ]


def _of_variable(foreign: Foreign, name: str, setting: Setting) -> Iterator[Finding]:
    value = str(setting.value)
    if value == HIDDEN:
        yield _secret(foreign, name, setting)
        return
    if not value or "$" in value:
        return
    if name == "NCCL_TIMEOUT":
        waits = _WAITS.get(foreign.framework, "the trainer waits as long as its code says")
        cause = f"NCCL_TIMEOUT = {value} does nothing: NCCL and torch know no such variable. {waits}."
        fixes = [fix for fix in (_SETTING.get(foreign.framework),) if fix]
        yield _told(foreign, name, setting, cause, *fixes)
    elif name == "NCCL_BACKEND":
        cause = f"NCCL_BACKEND = {value} does nothing: the backend is chosen in the trainer's code."
        yield _told(foreign, name, setting, cause)
    elif name in _OF_LAUNCHERS and foreign.framework in ("lightrft", "trl") and foreign.ranks:
        cause = f"{name} = {value} is overwritten by the launcher, which gives every process its own."
        yield _told(foreign, name, setting, cause, severity="info")
    elif name == "IGNORE_EOS" and foreign.framework == "lightrft" and value not in ("0", "false"):
        cause = f"IGNORE_EOS = {value} makes every response as long as generate_max_len: for measuring only."
        yield _told(foreign, name, setting, cause)
    yield from (
        _leftover(foreign, entry, setting)
        for entry in LEFTOVERS
        if entry.name == name and name not in _ELSEWHERE and entry.questionable(value)
    )
    if name in _RENAMED:
        dead = "" if name in _STILL_READ else ", and newer versions read only that"
        cause = f"{name} is an old name: it is {_RENAMED[name]} now{dead}."
        yield _told(foreign, name, setting, cause, severity="info", old=True)


def _leftover(foreign: Foreign, entry: Leftover, setting: Setting) -> Finding:
    return Finding(
        f"check.env.{entry.name}",
        entry.severity,
        f"{entry.name} = {setting.value}: {entry.means}.",
        (_place(foreign, entry.name, setting),),
        (Fix(entry.advice),),
        entry.name,
    )


def _secret(foreign: Foreign, name: str, setting: Setting) -> Finding:
    return Finding(
        f"check.env.secret.{name}",
        "warning",
        f"a key is written in the file as {name}: who reads the file, its history or a bug report has it.",
        (f"{Path(foreign.path).name} line {setting.line}: {name}={HIDDEN}",),
        (
            Fix("take it out, make a new key, and export it in the shell that starts the run"),
            *(
                Fix("or log in once", command=command)
                for prefix, command in _LOGINS
                if name.startswith(prefix)
            ),
        ),
        name,
    )


def _told(
    foreign: Foreign,
    name: str,
    setting: Setting,
    cause: str,
    *fixes: Fix,
    severity: str = "warning",
    old: bool = False,
) -> Finding:
    out = Fix(f"take line {setting.line} out") if setting.line else Fix(f"take {name} out")
    last = Fix(f"export {_RENAMED[name]} instead") if old else out
    return Finding(
        f"check.env.{name}{'-renamed' if old else ''}",
        "info" if severity == "info" else "warning",
        cause,
        (_place(foreign, name, setting),),
        (*fixes, last),
        name,
    )


def _place(foreign: Foreign, name: str, setting: Setting) -> str:
    where = f"{Path(foreign.path).name} line {setting.line}: " if setting.line else ""
    return f"{where}{name}={setting.value}"
