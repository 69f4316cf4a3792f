"""Why a package does not import, by what the import said."""

import re
from collections.abc import Callable
from typing import NamedTuple

from engine.findings import Finding, Fix


class _Reason(NamedTuple):
    """What an error says (`pattern`), what it means, and what to do, both with its groups filled in."""

    pattern: str
    means: str
    fixes: Callable[[str, re.Match[str]], tuple[Fix, ...]]


def _reinstall(module: str, found: re.Match[str]) -> tuple[Fix, ...]:
    name = module.replace("_", "-")
    return (
        Fix(
            "build it for the torch that is here",
            command=f"pip install --no-build-isolation --force-reinstall --no-deps {name}",
        ),
        Fix("or do without", command=f"pip uninstall -y {name}"),
    )


def _install(module: str, found: re.Match[str]) -> tuple[Fix, ...]:
    return (Fix("install it", command=f"pip install {found[1].partition('.')[0].replace('_', '-')}"),)


def _other_cuda(module: str, found: re.Match[str]) -> tuple[Fix, ...]:
    name = module.replace("_", "-")
    return (
        Fix(
            "see which CUDA torch was built with",
            command='python -c "import torch; print(torch.version.cuda)"',
        ),
        Fix(f"install a build of {name} for that CUDA", command=f"pip install --force-reinstall {name}"),
    )


def _older_c_library(module: str, found: re.Match[str]) -> tuple[Fix, ...]:
    name = module.replace("_", "-")
    return (
        Fix(f"build {name} here instead", command=f"pip install --no-binary {name} --force-reinstall {name}"),
        Fix("or run in a container with a newer system"),
    )


def _numpy(module: str, found: re.Match[str]) -> tuple[Fix, ...]:
    return (
        Fix("install the last numpy that it was built for", command="pip install 'numpy<2'"),
        Fix("or a newer build of it", command=f"pip install --upgrade {module.replace('_', '-')}"),
    )


_REASONS = (
    _Reason(
        r"undefined symbol: (\S+)",
        "its binary was built for another torch (undefined symbol {0})",
        _reinstall,
    ),
    _Reason(
        r"(lib(?:cudart|cublas|cudnn|nvrtc|nccl)\S*\.so[.\d]*)",
        "its binary was built for a CUDA that is not here ({0})",
        _other_cuda,
    ),
    _Reason(
        r"version `((?:GLIBC|GLIBCXX|CXXABI)_[\d.]+)' not found",
        "its binary was built for a newer system ({0})",
        _older_c_library,
    ),
    _Reason(r"No module named '([\w.]+)'", "the module {0} is missing", _install),
    _Reason(
        r"(numpy\.dtype size changed|_ARRAY_API not found|compiled using NumPy 1\.x)",
        "its binary was built for another numpy ({0})",
        _numpy,
    ),
    _Reason(
        r"(cannot import name '\w+' from '[\w.]+')",
        "another package is in a version without what it wants ({0})",
        lambda module, found: (
            Fix("see which requirements are violated", command="rft doctor py.versions"),
            Fix(
                "let pip choose versions that fit",
                command=f"pip install --upgrade {module.replace('_', '-')}",
            ),
        ),
    ),
    _Reason(
        r"(ended by signal (?:4|11)\b)",
        "its binary crashes here ({0}): built for another processor, or for another version of what it loads",
        _reinstall,
    ),
    _Reason(
        r"(did not end within [\d.]+ s)",
        "it {0}: a slow (network) disk, or it waits for something",
        lambda module, found: (
            Fix("see where it waits", command=f"python -X faulthandler -X importtime -c 'import {module}'"),
            Fix("have the environment on a local disk"),
        ),
    ),
)


def broken_import(module: str, error: str, traceback: tuple[str, ...]) -> Finding:
    """The finding for a module that does not import, with the first reason that its error shows."""
    text = "\n".join((error, *traceback))
    for reason in _REASONS:
        if found := re.search(reason.pattern, text):
            means, fixes = reason.means.format(found[1]), reason.fixes(module, found)
            break
    else:
        means, fixes = error.partition("\n")[0], _unknown(module)
    return Finding("py.import", "error", f"{module} does not import: {means}.", (*traceback, error), fixes)


def _unknown(module: str) -> tuple[Fix, ...]:
    name = module.replace("_", "-")
    return (
        Fix("see the whole traceback", command=f"python -c 'import {module}'"),
        Fix("install it again", command=f"pip install --force-reinstall {name}"),
    )
