"""How each framework's settings are taken over, and why some have no equivalent."""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from diagnostics.rules import convert_flags, convert_trinity, convert_trl, convert_verl
from diagnostics.rules.convert_job import Item, Left
from diagnostics.rules.foreign import Foreign, Framework
from diagnostics.rules.job import Job


class Table(NamedTuple):
    """`items`: values besides the job's. `covered`: names that the job holds already. `reasons`: by "
    "pattern."""

    items: Callable[[Foreign, Job], Iterator[Item | Left]]
    covered: tuple[str, ...]
    reasons: tuple[tuple[str, str], ...]


def reason_for(framework: Framework, setting: str) -> str:
    """Why a setting has no equivalent."""
    for pattern, reason in (*TABLES[framework].reasons, *EVERYWHERE):
        if re.search(pattern, setting):
            return reason
    return "there is no such setting here"


TABLES: Mapping[Framework, Table] = {
    "verl": Table(convert_verl.verl_items, convert_verl.COVERED, convert_verl.REASONS),
    "trl": Table(convert_trl.trl_items, convert_trl.COVERED, convert_trl.REASONS),
    "trinity": Table(convert_trinity.trinity_items, convert_trinity.COVERED, convert_trinity.REASONS),
    "lightrft": Table(
        convert_flags.flags_items, convert_flags.LIGHTRFT_COVERED, convert_flags.LIGHTRFT_REASONS
    ),
    "openrlhf": Table(
        convert_flags.flags_items, convert_flags.OPENRLHF_COVERED, convert_flags.OPENRLHF_REASONS
    ),
}
EVERYWHERE: tuple[tuple[str, str], ...] = (
    (
        r"wandb|tensorboard|swanlab|mlflow|report_to|logg|project_name|experiment_name|run_name|log_",
        "trackers are not in this version: runs write events that rftui shows",
    ),
    (r"lora", "adapters have rank, alpha, dropout and targets"),
    (r"ema|critic|value_clip|gamma|lambd", "it is not in this version"),
)
