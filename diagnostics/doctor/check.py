"""What a check of the environment is: `Check(id, title, tier, needs, run)`, and what it answers.

`run(host)` looks only through the `Host` it is given, so that every check runs in tests from recorded hosts.
"""

from collections.abc import Callable
from typing import Literal

import msgspec

from diagnostics.doctor.host import Host
from engine.findings import Finding

Tier = Literal["fast", "deep", "active"]
"""`fast`: all within a second, no torch. `deep`: imports in child processes. `active`: uses the GPUs."""
Need = Literal[
    "gpus", "nvidia", "config", "container", "infiniband", "torch", "vllm", "deepspeed", "ray", "wandb"
]
"""What must be there for a check to make sense; without it, it does not apply, which is not a pass."""
Status = Literal["ok", "info", "warning", "error", "unchecked", "not-applicable"]


class CannotCheck(Exception):
    """Raised by a check that could not look: the third state, with the reason. Never a pass."""


class DoesNotApply(Exception):
    """Raised by a check that makes no sense here, for a reason without a `Need`: told, not a pass."""


class Ok(msgspec.Struct, frozen=True):
    """Nothing is wrong; `said` is what was seen, in a few words with its numbers (`8 × H100, all free`)."""

    said: str


Answer = Ok | Finding | tuple[Finding, ...]
"""A finding's id is the check's, or begins with it and a dot's worth more (`gpu.busy`); or, of one that a
rule or check of the launch found, the id that it has there (`batch.tbs-indivisible`)."""


class Check(msgspec.Struct, frozen=True):
    """One thing that is looked at. `category` is the part of the id before the dot."""

    id: str
    title: str
    tier: Tier
    run: Callable[[Host], Answer]
    needs: tuple[Need, ...] = ()
    limit_s: float = 2.0
    essential: bool = False
    """Without its answer it is not known whether a run can start here: unchecked, it counts as an error."""

    @property
    def category(self) -> str:
        return self.id.partition(".")[0]


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What came of one check: for `ok` what was seen, for `unchecked` and `not-applicable` why not."""

    id: str
    title: str
    tier: Tier
    status: Status
    said: str = ""
    findings: tuple[Finding, ...] = ()
    seconds: float = 0.0
    essential: bool = False

    @property
    def category(self) -> str:
        return self.id.partition(".")[0]
