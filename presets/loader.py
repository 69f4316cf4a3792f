"""Presets: named YAML files of settings, ours and the user's."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.config.layers import Layer, layer_from_yaml
from engine.config.registry import find
from engine.config.values import show
from engine.config.yamlfile import read_yaml
from engine.findings import Finding, FindingsError, Fix

_ABOUT = ("title", "task", "description", "needs")


@dataclass(frozen=True)
class Preset:
    """A preset as its file says; `layer` carries the findings about its settings."""

    name: str
    title: str
    task: str
    """What is learned, such as "math": presets of one task are listed together. May be empty."""
    description: str
    layer: Layer
    needs: tuple[str, ...]
    """Parameters (`section.key`) the user must give besides."""
    path: Path

    @property
    def origin(self) -> str:
        """ "yours" of a file in the user's folder, "built in" of ours, else "file"."""
        folder = self.path.resolve().parent
        built_in = folder == Path(__file__).resolve().parent
        return "built in" if built_in else "yours" if folder == user_dir().resolve() else "file"


def user_dir() -> Path:
    """Where the user's own presets lie, one YAML file each."""
    import platformdirs

    return Path(platformdirs.user_config_dir("rftui")) / "presets"


def names() -> list[str]:
    """The names of all presets, sorted."""
    return sorted(_files())


def load(name_or_path: str) -> Preset:
    """The preset of that name, or of that YAML file; a user's preset comes before one of ours.

    Raises `FindingsError` for a name that does not exist (with the nearest), or a file that is no preset.
    Findings about the settings stay in `layer`, to be reported with all others.
    """
    path = _files().get(name_or_path)
    if path is None:
        path = _file(name_or_path)
    name = path.stem
    entries, findings = read_yaml(path)
    about = {entry.key: entry.value for entry in entries if entry.key in _ABOUT}
    findings = [finding for finding in findings if finding.id != "config.duplicate-key"]
    if findings:
        raise FindingsError(findings)
    wrong = _check_about(about, path)
    layer = layer_from_yaml(path, source=f"preset {name}", ignore=_ABOUT)
    if wrong:
        raise FindingsError([*wrong, *layer.findings])
    return Preset(
        name=name,
        title=about.get("title") or name,
        task=(about.get("task") or "").strip(),
        description=about.get("description") or "",
        layer=layer,
        needs=tuple(match.parameter.key for need in about.get("needs") or () if (match := find(need))),
        path=path,
    )


def _file(written: str) -> Path:
    """The YAML file that a user means; what can be none is an unknown preset."""
    try:
        path = Path(written).expanduser()
        if path.suffix in (".yaml", ".yml") or path.is_file():
            return path
    except (OSError, RuntimeError, ValueError):  # RuntimeError: ~ of nobody
        pass
    raise FindingsError([_unknown(written)])


def _files() -> dict[str, Path]:
    own = {path.stem: path for path in Path(__file__).parent.glob("*.yaml")}
    users = {path.stem: path for pattern in ("*.yaml", "*.yml") for path in user_dir().glob(pattern)}
    return own | users


def _check_about(about: dict[str, Any], path: Path) -> list[Finding]:
    found = [
        _finding("preset.wrong-type", f"{path}: {key} = {show(value)} is not text", f"write {key}: some text")
        for key, value in about.items()
        if key != "needs" and not isinstance(value, str | None)
    ]
    needs = about.get("needs") or []
    if not isinstance(needs, list) or not all(isinstance(need, str) and find(need) for need in needs):
        cause = f"{path}: needs = {show(needs)} is not a list of parameters"
        found.append(_finding("preset.wrong-type", cause, "write needs: [model.pretrain]"))
    return found


def _unknown(name: str) -> Finding:
    import difflib

    known = names()
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.4)
    fixes = [Fix(f"did you mean {close}?") for close in near]
    return Finding(
        id="preset.unknown",
        severity="error",
        cause=f"there is no preset {name!r}, and no file of that name",
        evidence=(f"presets: {', '.join(known)}", f"your own go to {user_dir()}"),
        fixes=(*fixes, Fix("list them", command="rft presets")),
    )


def _finding(id: str, cause: str, fix: str) -> Finding:
    return Finding(id=id, severity="error", cause=cause, fixes=(Fix(fix),))
