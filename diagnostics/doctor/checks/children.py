"""Runs the doctor's probes as child processes and reads the JSON object that each prints last."""

from collections.abc import Mapping
from typing import Any

import msgspec

from diagnostics.doctor.check import CannotCheck
from diagnostics.doctor.host import Host, Ran

CONFIG_VARIABLE = "RFTUI_DOCTOR_CONFIG"
"""Holds the configuration of the run as JSON, for probes that need it."""


def argv(host: Host, probe: str, *arguments: str) -> list[str]:
    """The command line of a probe."""
    return [host.python, "-m", f"diagnostics.doctor.probes.{probe}", *arguments]


def run(host: Host, probe: str, *arguments: str, limit_s: float) -> Ran:
    """Run a probe; it is told of the run's configuration, and no folder in the way can shadow a package."""
    environ: Mapping[str, str] = {"PYTHONSAFEPATH": "1", "OMP_NUM_THREADS": "1"}
    if host.config is not None:
        environ = {**environ, CONFIG_VARIABLE: host.config.model_dump_json()}
    return host.run(argv(host, probe, *arguments), limit_s, environ)


def answer(ran: Ran) -> dict[str, Any] | None:
    """What a probe printed last; None where it ended without an answer."""
    try:
        found = msgspec.json.decode(ran.out.strip().rpartition("\n")[2])
    except msgspec.DecodeError:
        return None
    return found if isinstance(found, dict) else None


def ask(host: Host, probe: str, *arguments: str, limit_s: float) -> dict[str, Any]:
    """The answer of a probe. Raises CannotCheck where it gave none, with the reason."""
    ran = run(host, probe, *arguments, limit_s=limit_s)
    found = answer(ran)
    if found is None:
        raise CannotCheck(f"the child process {probe} {ending(ran, limit_s)}")
    return found


def ending(ran: Ran, limit_s: float) -> str:
    """How a child process ended that did not answer, in words."""
    if ran.code is None:
        return f"did not end within {limit_s:g} s"
    last = ran.err.strip().rpartition("\n")[2]
    how = f"was ended by signal {-ran.code}" if ran.code < 0 else f"ended with exit code {ran.code}"
    return f"{how}: {last}" if last else how
