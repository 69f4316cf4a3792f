"""Another trainer's configuration as a preset of ours: each value with where it comes from, the rest told."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from diagnostics.rules.convert_job import Item, Left, default_title, items_of
from diagnostics.rules.convert_tables import TABLES, reason_for
from diagnostics.rules.detect import NAMES
from diagnostics.rules.foreign import Foreign
from diagnostics.rules.job import Job
from diagnostics.rules.secrets import is_secret_name
from diagnostics.rules.telling import place
from engine.config import rules
from engine.config.layers import Layer
from engine.config.load import examine
from engine.config.registry import find, parameters
from engine.config.sections import RunConfig
from engine.config.values import check_value
from engine.config.yamlfile import dump_scalar
from engine.findings import Finding

REQUIRED = ("model.pretrain", "data.prompt_data", "reward.reward_rule")
OTHER_MEANING = frozenset(
    (
        "save_steps",
        "eval_steps",
        "max_len",
        "use_wandb",
        "log_dir",
        "ckpt_path",
        "reward_pretrain",
        "chunk_size",
        "max_ckpt_mem",
        "zero_stage",
    )
)
"""Names that LightRFT or OpenRLHF share with us but not what they mean."""
MOST_NAMES = 12


class Conversion(msgspec.Struct, frozen=True, kw_only=True):
    """`text`: a preset in YAML. `without_equivalent`: names by reason. `needs`: what the user must add."""

    text: str
    needs: tuple[str, ...]
    without_equivalent: dict[str, tuple[str, ...]]
    findings: tuple[Finding, ...]
    """What has no equivalent, what was refused, and which of our rules the result breaks."""


def convert(foreign: Foreign, job: Job) -> Conversion:
    """The equivalent preset. It always loads; what our rules say of it is in `findings`."""
    taken, left = _collect(foreign, job)
    refused = [finding for item in list(taken.values()) if (finding := _refused(item))]
    for finding in refused:
        del taken[finding.param]
    needs = tuple(
        key
        for key in REQUIRED
        if key not in taken and not (key == "reward.reward_rule" and "reward.reward_fn" in taken)
    )
    groups = _groups(left)
    findings = [*refused, *_broken_rules(taken, job, needs), *_told(foreign, groups)]
    return Conversion(
        text=_text(foreign, taken, needs, groups),
        needs=needs,
        without_equivalent=groups,
        findings=tuple(findings),
    )


def _collect(foreign: Foreign, job: Job) -> tuple[dict[str, Item], list[Left]]:
    """Values by our key, the more specific source winning, and what has none."""
    table = TABLES[foreign.framework]
    found = [*items_of(foreign, job), *table.items(foreign, job), *_same_names(foreign)]
    taken: dict[str, Item] = {}
    left: list[Left] = []
    for each in found:
        if isinstance(each, Left):
            left.append(each)
        elif each.key not in taken and each.value is not None:
            taken[each.key] = each
    used = {item.setting for item in taken.values()} | {each.setting for each in left}
    for name, setting in foreign.settings.items():
        if not setting.line or name in used or name in job.names.values():
            continue
        if type(setting.value) in (int, float) and setting.value == 0:
            continue  # off needs no equivalent
        if "$" in str(setting.value):
            left.append(Left(name, "its value is not in the file"))
        elif not any(re.search(pattern, name) for pattern in table.covered):
            left.append(Left(name, reason_for(foreign.framework, name)))
    return taken, [each for each in left if each.setting]


def _same_names(foreign: Foreign) -> Iterator[Item | Left]:
    """Options of LightRFT and OpenRLHF that are called and mean the same here."""
    if foreign.framework not in ("lightrft", "openrlhf"):
        return
    for name, setting in foreign.settings.items():
        bare = name.rpartition(".")[2]
        match = find(bare)
        if match is None or match.negated or bare in OTHER_MEANING or is_secret_name(bare):
            continue
        value = ",".join(map(str, setting.value)) if isinstance(setting.value, list) else setting.value
        if value is None or "$" in str(value):
            continue
        if match.parameter.refuses(value):
            yield Left(name, "it is not in this version")
        else:
            yield Item(match.parameter.key, value, name)


def _refused(item: Item) -> Finding | None:
    parameter = parameters()[item.key]
    value, finding = check_value(item.value, parameter)
    if finding is None and not parameter.refuses(value):
        return None
    why = finding.cause if finding else f"{item.key} = {value}: it is not in this version"
    cause = f"{item.setting or item.key} is left out: {why}."
    return Finding("convert.refused", "warning", cause, param=item.key)


def _broken_rules(taken: Mapping[str, Item], job: Job, needs: tuple[str, ...]) -> Iterator[Finding]:
    """Our own rules over the result; values that the user must still give count as given."""
    values = {key: item.value for key, item in taken.items()}
    examined = examine([Layer("converted", values)])
    yield from examined.findings
    world = values.get("parallel.nproc") or job.ranks or 1
    broken = {*examined.broken, *needs, "reward.reward_fn"} if needs else examined.broken
    for finding in rules.check(examined.resolved.config, world_size=int(world), broken=broken):
        if finding.param not in needs:
            yield msgspec.structs.replace(finding, cause=f"in the converted preset, {finding.cause}")


def _groups(left: list[Left]) -> dict[str, tuple[str, ...]]:
    groups: dict[str, list[str]] = {}
    for each in left:
        names = groups.setdefault(each.reason, [])
        if each.setting not in names:
            names.append(each.setting)
    return {reason: tuple(names) for reason, names in groups.items()}


def _told(foreign: Foreign, groups: Mapping[str, tuple[str, ...]]) -> Iterator[Finding]:
    for reason, names in groups.items():
        shown = ", ".join(names[:MOST_NAMES]) + (
            f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
        )
        yield Finding("convert.without-equivalent", "info", f"{shown}: {reason}.", param=names[0])


def _text(
    foreign: Foreign, taken: Mapping[str, Item], needs: tuple[str, ...], groups: Mapping[str, tuple[str, ...]]
) -> str:
    lines = [
        f"title: {dump_scalar(default_title(foreign))}",
        f"description: {dump_scalar(f'The equivalent of a configuration for {NAMES[foreign.framework]}.')}",
    ]
    if needs:
        lines.append(f"needs: [{', '.join(needs)}]")
    for section in RunConfig.model_fields:
        keys = [key for key in parameters() if key.startswith(f"{section}.") and key in taken]
        if not keys:
            continue
        lines.append(f"{section}:")
        lines += [_line(foreign, taken[key]) for key in keys]
    if groups:
        lines += ["", "# Without equivalent:"]
        for reason, names in groups.items():
            lines.append(f"#   {_one_line(reason)}:")
            lines += [f"#     {_one_line(_given(foreign, name))}" for name in names]
    return "\n".join(lines) + "\n"


def _line(foreign: Foreign, item: Item) -> str:
    value, _ = check_value(item.value, parameters()[item.key])
    return f"  {item.key.partition('.')[2]}: {dump_scalar(value)}  # {_one_line(_origin(foreign, item))}"


def _origin(foreign: Foreign, item: Item) -> str:
    setting = foreign.settings.get(item.setting)
    if not item.setting:
        return item.remark
    if setting is not None and setting.line:
        origin = f"{item.setting} (line {setting.line})"
    elif setting is not None or " " in item.setting:
        origin = item.setting
    else:
        origin = f"{item.setting}, {NAMES[foreign.framework]}'s default"
    return f"{origin}; {item.remark}" if item.remark else origin


def _given(foreign: Foreign, name: str) -> str:
    """A setting as the file gives it, its name alone where it may hold a key."""
    if is_secret_name(name) or name not in foreign.settings:
        return name
    return place(foreign, name).removeprefix(f"{Path(foreign.path).name} ")


def _one_line(text: Any) -> str:
    return " ".join(str(text).split())
