"""Reward functions: found by `package.module:function` or `file.py:function`, called as they ask, checked."""

import functools
import importlib
import importlib.util
import inspect
import math
import sys
import traceback
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

from engine.findings import Finding, FindingsError, Fix

PARAM = "reward.reward_fn"
FORMS = "write reward_fn as package.module:function or path/to/file.py:function"


class RewardFn(Protocol):
    """One reward: a number per response. A user's function may take just `(responses, labels)`."""

    def __call__(
        self, responses: list[str], labels: list[Any], *, prompts: list[str], references: list[Any]
    ) -> Sequence[float]: ...


def load_function(spec: str) -> RewardFn:
    """The function that `spec` names, wrapped to be called with `prompts` and `references` whether it takes
    them or not. Raises `FindingsError` for a missing file, module or function and for a wrong signature."""
    place, _, name = spec.rpartition(":")
    if not place or not name:
        raise _error("reward.fn-form", f"reward_fn {spec!r} does not name a function.", FORMS)
    module = _load_file(place) if place.endswith(".py") else _load_module(place)
    function = getattr(module, name, None)
    if function is None:
        present = sorted(
            n for n, v in vars(module).items() if inspect.isfunction(v) and not n.startswith("_")
        )
        near = get_close_matches(name, present) or present
        cause = f"{place} has no function {name!r}; it has: {', '.join(present) or 'none'}."
        raise _error("reward.fn-missing", cause, *[f"use {place}:{other}" for other in near[:3]], FORMS)
    if not callable(function):
        kind = type(function).__name__
        raise _error("reward.fn-not-callable", f"{spec} is a {kind}, not a function.", FORMS)
    return adapt(function, spec)


def call(
    fn: RewardFn,
    name: str,
    responses: list[str],
    labels: list[Any],
    *,
    prompts: list[str],
    references: list[Any],
) -> list[float]:
    """What `fn` gives, one finite float per response. Raises `FindingsError` `reward.fn-raised` if it fails,
    `reward.bad-result` if it gives anything else."""
    try:
        result = fn(responses, labels, prompts=prompts, references=references)
    except Exception as error:
        cause = f"The reward function {name} raised {type(error).__name__}: {error}"
        finding = Finding("reward.fn-raised", "error", cause, evidence=last_lines(error), param=PARAM)
        raise FindingsError([finding]) from error
    expected = f"expected {len(responses)} finite numbers, one per response"
    if (
        isinstance(result, str | bytes | dict)
        or not hasattr(result, "__len__")
        or not hasattr(result, "__iter__")
    ):
        raise _bad_result(name, f"returned {_shown(result)}; {expected}")
    if len(result) != len(responses):
        raise _bad_result(name, f"returned {len(result)} values; {expected}")
    wrong = [f"response {i}: {_shown(v)}" for i, v in enumerate(result) if not _is_finite_number(v)]
    if wrong:
        raise _bad_result(
            name, f"returned {len(wrong)} values that are not finite numbers; {expected}", wrong
        )
    return [float(v) for v in result]


def _load_file(place: str) -> ModuleType:
    path = Path(place).expanduser()
    if not path.is_file():
        here = [str(p) for p in sorted(path.parent.glob("*.py"))] if path.parent.is_dir() else []
        fixes = [f"use {near}" for near in get_close_matches(str(path), here)] or [f"create {path.resolve()}"]
        raise _error("reward.fn-missing", f"The file of reward_fn does not exist: {path.resolve()}.", *fixes)
    spec = importlib.util.spec_from_file_location(f"reward_fn_{path.stem}", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    _allow_imports_from(path.resolve().parent)
    _execute(functools.partial(spec.loader.exec_module, module), place)
    return module


def _load_module(place: str) -> ModuleType:
    _allow_imports_from(Path.cwd())
    _execute(lambda: importlib.import_module(place), place)
    return sys.modules[place]


def _allow_imports_from(folder: Path) -> None:
    """At the end of the path, so that nothing there can shadow an installed package."""
    if str(folder) not in sys.path:
        sys.path.append(str(folder))


def _execute(load: Callable[[], Any], place: str) -> None:
    try:
        load()
    except Exception as error:
        cause = f"Loading {place} for reward_fn failed: {type(error).__name__}: {error}"
        finding = Finding("reward.fn-import", "error", cause, evidence=last_lines(error), param=PARAM)
        raise FindingsError([finding]) from error


def last_lines(error: BaseException) -> tuple[str, ...]:
    """Where in the user's code `error` came from: the end of its traceback."""
    return tuple("".join(traceback.format_exception(error)).rstrip().split("\n")[-6:])


def adapt(function: Callable[..., Any], spec: str) -> RewardFn:
    """`function` behind the full protocol; inspected once."""
    parameters = inspect.signature(function).parameters
    takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    keywords = [key for key in ("prompts", "references") if takes_any or key in parameters]
    try:
        inspect.signature(function).bind([], [], **dict.fromkeys(keywords))
    except TypeError as error:
        cause = f"{spec} has the signature {inspect.signature(function)}: {error}."
        fix = "take (responses, labels), and prompts or references by these names where needed"
        raise _error("reward.fn-signature", cause, fix) from None

    def adapted(
        responses: list[str], labels: list[Any], *, prompts: list[str], references: list[Any]
    ) -> Sequence[float]:
        given = {"prompts": prompts, "references": references}
        result: Sequence[float] = function(responses, labels, **{key: given[key] for key in keywords})
        return result

    return adapted


def _error(id: str, cause: str, *fixes: str) -> FindingsError:
    return FindingsError([Finding(id, "error", cause, fixes=tuple(Fix(f) for f in fixes), param=PARAM)])


def _is_finite_number(value: Any) -> bool:
    """Numbers of any library count (they convert with `float`), text does not."""
    try:
        return not isinstance(value, str | bytes) and math.isfinite(float(value))
    except (TypeError, ValueError, OverflowError, RuntimeError):
        return False


def _shown(value: Any) -> str:
    return f"{value!r:.60} ({type(value).__name__})"


def _bad_result(name: str, what: str, evidence: Sequence[str] = ()) -> FindingsError:
    more = (f"… and {len(evidence) - 5} more",) if len(evidence) > 5 else ()
    finding = Finding(
        id="reward.bad-result",
        severity="error",
        cause=f"The reward function {name} {what}.",
        evidence=(*evidence[:5], *more),
        fixes=(Fix("return a list with one number for each response, in their order"),),
        param=PARAM,
    )
    return FindingsError([finding])
