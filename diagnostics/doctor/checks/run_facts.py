"""What several checks need of the run that is to be started: its ranks, its machines, its model."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from diagnostics.doctor.check import CannotCheck
from diagnostics.doctor.host import Host
from diagnostics.places import detected_place
from engine.config.sections import RunConfig
from engine.findings import FindingsError
from engine.footprint.catalog import find_model
from engine.footprint.hub_cache import cached_config
from engine.footprint.job import Job
from engine.footprint.shape import ModelShape
from engine.toy.recipe import Recipe, toy_config

TOY = "toy:"


def config_of(host: Host) -> RunConfig:
    """The run's configuration. Raises CannotCheck without one."""
    if host.config is None:
        raise CannotCheck("no configuration was given (--preset or --config)")
    return host.config


def torch_version(host: Host) -> str | None:
    """Of the torch that is imported, with its build (`2.13.0+cpu`); None without torch."""
    found = host.distributions().get("torch")
    return found[0].version if found else None


def uses_gpus(host: Host) -> bool:
    """Whether there are GPUs, and torch is a build that can use them."""
    return bool(host.hardware.gpus) and not (torch_version(host) or "").endswith("+cpu")


def ranks(host: Host) -> int:
    """Ranks of the run on this machine: as configured, else one per GPU, else one."""
    given = host.config.parallel.nproc if host.config else None
    return given or (len(host.hardware.gpus) if uses_gpus(host) else 1)


def machines(host: Host) -> int:
    """Machines of the run: as configured, or as a launcher (torchrun's variables, SLURM) says."""
    said = [host.environ.get(name, "") for name in ("NNODES", "SLURM_NNODES")]
    configured = host.config.parallel.nnodes if host.config else 1
    return max(configured, *(int(number) for number in said if number.isdecimal()), 1)


def is_hub_id(name: str) -> bool:
    """Whether `ORG/NAME` names a model of the hub rather than a folder."""
    return not name.startswith((TOY, ".", "/", "~")) and name.count("/") == 1 and not Path(name).exists()


def model_folder(host: Host) -> Path | None:
    """Where the model's files are: its folder, or its place in the hub's cache; None where not here."""
    name = config_of(host).model.pretrain
    if not name or name.startswith(TOY):
        return None
    folder = Path(name).expanduser()
    if (folder / "config.json").is_file():
        return folder
    cached = cached_config(name) if is_hub_id(name) else None
    return cached.parent if cached else None


def require_model_folder(host: Host) -> Path:
    """As `model_folder`. Raises CannotCheck where the model is not here."""
    name, folder = config_of(host).model.pretrain, model_folder(host)
    if folder is None:
        raise CannotCheck(f"the files of {name} are not here" if name else "model.pretrain is not set")
    return folder


def model_config(host: Host) -> Mapping[str, Any] | None:
    """The model's `config.json`, a toy's too; None where it is not here or cannot be read."""
    if config_of(host).model.pretrain.startswith(TOY):
        return {"model_type": "qwen2", **toy_config(Recipe())}
    folder = model_folder(host)
    found = read_json(folder / "config.json") if folder else None
    return found if isinstance(found, dict) else None


def shape(host: Host) -> ModelShape:
    """The model's shape. Raises CannotCheck where it is not known."""
    if not config_of(host).model.pretrain:
        raise CannotCheck("model.pretrain is not set")
    try:
        return find_model(config_of(host).model.pretrain)
    except FindingsError as error:
        raise CannotCheck(error.findings[0].cause) from None


def job(host: Host) -> Job:
    """The run on this machine as the planner sees it. Raises CannotCheck where the model is not known."""
    hardware = host.hardware
    if not uses_gpus(host):
        hardware = msgspec.structs.replace(hardware, gpus=(), installed=0)
    return Job(config_of(host), shape(host), detected_place(hardware, ranks(host))[0])


def read_json(path: Path) -> Any:
    """What a JSON file holds; None where there is none or it is not JSON."""
    try:
        return msgspec.json.decode(path.read_bytes())
    except (OSError, msgspec.DecodeError):
        return None
