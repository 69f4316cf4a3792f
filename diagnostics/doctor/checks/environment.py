"""Checks of environment variables: left-overs of other experiments, how workers start, keys."""

from diagnostics.doctor.check import Answer, CannotCheck, Check, Ok
from diagnostics.doctor.checks.leftovers import LEFTOVERS, Leftover
from diagnostics.doctor.checks.run_facts import is_hub_id, model_folder
from diagnostics.doctor.host import Host
from engine.findings import Finding, Fix

SPAWN = "VLLM_WORKER_MULTIPROC_METHOD"
GATED = (
    "meta-llama/",
    "google/gemma",
    "mistralai/",
    "black-forest-labs/",
    "CohereLabs/",
    "bigcode/starcoder",
)
"""Beginnings of hub ids that are mostly gated."""
TOKENS = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")


def _leftover(host: Host) -> Answer:
    found = [(entry, host.environ[entry.name]) for entry in LEFTOVERS if host.environ.get(entry.name)]
    findings = tuple(_finding(entry, value) for entry, value in found if entry.questionable(value))
    return findings or Ok("no variable of another experiment")


def _finding(entry: Leftover, value: str) -> Finding:
    return Finding(
        id=f"env.leftover.{entry.name}",
        severity=entry.severity,
        cause=f"{entry.name} = {value}: {entry.means}.",
        fixes=(Fix(entry.advice, command=f"unset {entry.name}"), *entry.other_fixes),
    )


def _spawn(host: Host) -> Answer:
    method = host.environ.get(SPAWN, "")
    if method != "fork":
        return Ok(f"{SPAWN} = {method}" if method else "vLLM chooses itself, spawn once CUDA is in use")
    return Finding(
        id="env.spawn",
        severity="warning",
        cause=f"{SPAWN} = fork: workers that vLLM forks after CUDA was used in their parent fail with "
        "'Cannot re-initialize CUDA in forked subprocess'. rftui's own engine forks none; servers and "
        "other trainers do.",
        fixes=(Fix("have them spawned", command=f"export {SPAWN}=spawn"),),
    )


def _secrets(host: Host) -> Answer:
    findings = (*_wandb(host), *_gated(host))
    return findings or Ok("no key is missing")


def _wandb(host: Host) -> tuple[Finding, ...]:
    """A trainer that logs to W&B without a key asks for one, where perhaps nobody is. No key is looked at."""
    environ = host.environ
    off = environ.get("WANDB_MODE") in ("offline", "disabled") or environ.get("WANDB_DISABLED", "") not in (
        "",
        "0",
    )
    if off or "wandb" not in host.distributions() or environ.get("WANDB_API_KEY") or _in_netrc(host):
        return ()
    asked = [name for name in sorted(environ) if name.startswith("WANDB_") and environ[name]]
    named = f" ({', '.join(asked)} is set)" if asked else ""
    return (
        Finding(
            id="env.secrets.wandb",
            severity="error" if asked else "info",
            cause=f"wandb is installed{named}, but there is no key for it: a trainer that logs to it asks "
            "for one, and fails where there is no terminal. rftui does not log to it.",
            fixes=(
                Fix("log in once", command="wandb login"),
                Fix("or keep the runs here", command="export WANDB_MODE=offline"),
            ),
        ),
    )


def _in_netrc(host: Host) -> bool:
    path = host.environ.get("NETRC") or f"{host.environ.get('HOME', '')}/.netrc"
    try:
        return "api.wandb.ai" in (host.read(path) or "")
    except CannotCheck:
        return False


def _gated(host: Host) -> tuple[Finding, ...]:
    name = host.config.model.pretrain if host.config else ""
    if not name.startswith(GATED) or not is_hub_id(name) or model_folder(host) or _has_token(host):
        return ()
    return (
        Finding(
            id="env.secrets.hub",
            severity="error",
            cause=f"{name} is mostly a gated model and not in the cache, and there is no token for the hub.",
            fixes=(
                Fix("log in", command="hf auth login"),
                Fix("or give a token", command="export HF_TOKEN=…"),
                Fix("or give the path of its folder instead of its name"),
            ),
            param="model.pretrain",
        ),
    )


def _has_token(host: Host) -> bool:
    if any(host.environ.get(name) for name in TOKENS):
        return True
    home = host.environ.get("HF_HOME") or f"{host.environ.get('HOME', '')}/.cache/huggingface"
    return bool((host.read(host.environ.get("HF_TOKEN_PATH") or f"{home}/token") or "").strip())


CHECKS: tuple[Check, ...] = (
    Check("env.leftover", "no variable is left of another experiment", "fast", _leftover),
    Check("env.spawn", "vLLM does not fork after CUDA", "fast", _spawn, needs=("vllm",)),
    Check("env.secrets", "keys are there where they are needed", "fast", _secrets),
)
