"""A machine whose answers are recorded: checks run on it in tests, without looking at the real one."""

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from diagnostics.doctor.check import CannotCheck
from diagnostics.doctor.host import Distribution, Interface, Ran, Room
from diagnostics.hardware import Hardware
from engine.config.sections import RunConfig


class Recorded(msgspec.Struct, frozen=True, omit_defaults=True):
    """Answers by what was asked, as JSON. What is absent there is recorded as null or empty.

    `config`: sections and their values, `{"parallel": {"nproc": 8}}`. `runs` by command line (`dmesg -T`),
    `ports` and `connections` by `ADDRESS:PORT`. `refused`: reasons by method and its first argument
    (`read /dev/kmsg`, `run dmesg`), of what could not be looked at.
    """

    hardware: Hardware | None = None
    environ: dict[str, str] = {}
    config: dict[str, dict[str, Any]] | None = None
    runs_dir: str = "/data/runs"
    python: str = "/venv/bin/python"
    search_path: tuple[str, ...] = ()
    files: dict[str, str | None] = {}
    globs: dict[str, tuple[str, ...]] = {}
    rooms: dict[str, Room | None] = {}
    writes: dict[str, str | None] = {}
    limits: dict[str, tuple[int, int]] = {}
    programs: dict[str, str | None] = {}
    runs: dict[str, Ran] = {}
    packages: tuple[Distribution, ...] | None = None
    interfaces: tuple[Interface, ...] | None = None
    names: dict[str, tuple[str, ...]] = {}
    ports: dict[str, str | None] = {}
    connections: dict[str, str | None] = {}
    time: float | None = None
    refused: dict[str, str] = {}

    def but(self, **changes: Any) -> "Recorded":
        """The same machine with other answers: entries of mappings are replaced one by one."""
        merged = {
            name: {**getattr(self, name), **value} if isinstance(getattr(self, name), dict) else value
            for name, value in changes.items()
            if value is not None
        }
        absent = {name: None for name, value in changes.items() if value is None}
        return msgspec.structs.replace(self, **merged, **absent)


class RecordedHost:
    """A `Host` that answers from a record. What is not recorded raises CannotCheck("… not recorded")."""

    def __init__(self, recorded: Recorded) -> None:
        self.recorded = recorded

    @property
    def hardware(self) -> Hardware:
        return _known(self.recorded.hardware, "the hardware")

    @property
    def environ(self) -> Mapping[str, str]:
        return self.recorded.environ

    @property
    def config(self) -> RunConfig | None:
        values = self.recorded.config
        return None if values is None else RunConfig.model_validate(values)

    @property
    def runs_dir(self) -> str:
        return self.recorded.runs_dir

    @property
    def python(self) -> str:
        return self.recorded.python

    @property
    def search_path(self) -> Sequence[str]:
        return self.recorded.search_path

    def read(self, path: str) -> str | None:
        return self._answer(self.recorded.files, path, "read")

    def glob(self, pattern: str) -> Sequence[str]:
        return self._answer(self.recorded.globs, pattern, "glob")

    def room(self, path: str) -> Room | None:
        return self._answer(self.recorded.rooms, path, "room")

    def try_write(self, path: str) -> str | None:
        return self._answer(self.recorded.writes, path, "try_write")

    def limit(self, name: str) -> tuple[int, int]:
        return self._answer(self.recorded.limits, name, "limit")

    def which(self, program: str) -> str | None:
        return self._answer(self.recorded.programs, program, "which")

    def run(self, argv: Sequence[str], timeout_s: float, env: Mapping[str, str] | None = None) -> Ran:
        return self._answer(self.recorded.runs, shlex.join(argv), "run")

    def distributions(self) -> Mapping[str, tuple[Distribution, ...]]:
        from packaging.utils import canonicalize_name

        by_name: dict[str, tuple[Distribution, ...]] = {}
        for package in _known(self.recorded.packages, "the packages"):
            name = canonicalize_name(package.name)
            by_name[name] = (*by_name.get(name, ()), package)
        return by_name

    def interfaces(self) -> Sequence[Interface]:
        return _known(self.recorded.interfaces, "the interfaces")

    def resolve(self, name: str) -> Sequence[str]:
        return self._answer(self.recorded.names, name, "resolve")

    def port_error(self, port: int, address: str = "") -> str | None:
        return self._answer(self.recorded.ports, f"{address}:{port}", "port_error")

    def connect(self, address: str, port: int, timeout_s: float) -> str | None:
        return self._answer(self.recorded.connections, f"{address}:{port}", "connect")

    def now(self) -> float:
        return _known(self.recorded.time, "the time")

    def _answer(self, answers: Mapping[str, Any], asked: str, method: str) -> Any:
        if reason := self.recorded.refused.get(f"{method} {asked}"):
            raise CannotCheck(reason)
        if asked not in answers:
            raise CannotCheck(f"{method} {asked}: not recorded")
        return answers[asked]


def _known(answer: Any, what: str) -> Any:
    if answer is None:
        raise CannotCheck(f"{what}: not recorded")
    return answer
