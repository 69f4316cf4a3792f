"""How the user likes the program: one TOML file in the user's configuration folder."""

import tomllib
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta
from platformdirs import user_config_path

from engine.findings import Finding, FindingsError, Fix
from rftui.runs.info import write_atomic

FILE = "settings.toml"


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Every setting with its default."""

    theme: Literal["rft-dark", "rft-light", "rft-contrast", "rft-cb", "rft-mono", "auto"] = "auto"
    """`auto`: without colours where NO_COLOR is set, else dark."""
    refresh_s: Annotated[float, Meta(ge=0.1, le=60)] = 1.0
    """Seconds between two looks at a run."""
    slow: bool = False
    """For slow lines: charts are painted every 5 seconds only."""
    bell: bool = True
    """Ring when a run ends or raises an alert."""
    desktop: bool = True
    """Tell the desktop too, through the terminal (OSC 777)."""
    readonly: bool = False
    """Nothing can be launched, stopped, deleted, mended or written from the program."""
    smoothing: Annotated[float, Meta(ge=0, lt=1)] = 0.6
    """Weight of the moving average of charts."""


def settings_path() -> Path:
    """Where the file is, or would be."""
    return user_config_path("rftui") / FILE


def read_settings(path: Path | None = None) -> Settings:
    """The user's settings, the defaults where there is no file; FindingsError names what is wrong in it."""
    path = path or settings_path()
    try:
        return msgspec.convert(tomllib.loads(path.read_text(encoding="utf-8")), Settings)
    except FileNotFoundError:
        return Settings()
    except (OSError, ValueError) as error:  # msgspec's and tomllib's errors are ValueErrors
        raise FindingsError([_wrong(path, str(error))]) from error


def settings_with(*, readonly: bool, slow: bool) -> Settings:
    """The user's settings; a flag that is given wins over the file. FindingsError as of `read_settings`."""
    settings = read_settings()
    return msgspec.structs.replace(
        settings, readonly=readonly or settings.readonly, slow=slow or settings.slow
    )


def keep_setting(name: str, value: str | bool | float, path: Path | None = None) -> None:
    """Write one setting into the user's file; what else is in it stays, comments too. FindingsError."""
    import tomlkit
    from tomlkit.exceptions import TOMLKitError

    path = path or settings_path()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        document = tomlkit.parse(path.read_text(encoding="utf-8")) if path.exists() else tomlkit.document()
        document[name] = value
        write_atomic(path, tomlkit.dumps(document).encode())
    except (OSError, ValueError, TOMLKitError) as error:
        raise FindingsError([_wrong(path, str(error))]) from error


def _wrong(path: Path, error: str) -> Finding:
    names = ", ".join(Settings.__struct_fields__)
    return Finding(
        id="settings.invalid",
        severity="error",
        cause=f"{path} cannot be used: {error}.",
        evidence=(f"settings are {names}",),
        fixes=(Fix("correct that line"), Fix("or remove the file: the defaults are used then")),
    )
