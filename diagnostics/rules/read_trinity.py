"""Trinity-RFT's configuration: one YAML file, with OmegaConf's interpolations."""

import math
from pathlib import Path

from diagnostics.rules.foreign import Foreign, Setting
from diagnostics.rules.nested_yaml import parse_nested, read_nested, resolve
from diagnostics.rules.telling import count
from diagnostics.rules.trinity_defaults import DEFAULTS, ROLLOUT
from engine.findings import Finding, Fix

VERL_FILE = "trainer.trainer_config_path"
INSIDE = "trainer.trainer_config."
"""What begins the names of the trainer's own (verl's) settings."""


def read_trinity_yaml(path: Path) -> Foreign:
    """The job of a file for `trinity run --config`. Of several stages the file's own values are read."""
    settings, problems = read_nested(path)
    if VERL_FILE in settings:
        below, more = _trainer_file(path, settings[VERL_FILE])
        settings = below | settings
        problems += more
    if "stages" in settings and settings["stages"].value:
        problems.append(_stages(settings["stages"]))
    resolved = resolve(settings, DEFAULTS)
    bare = Foreign(framework="trinity", path=str(path), settings=resolved)
    nodes = count(bare, "cluster.node_num")
    return Foreign(
        framework="trinity",
        path=str(path),
        settings=resolved,
        ranks=trainer_gpus(bare),
        nodes=nodes,
        problems=tuple(problems),
    )


def total_gpus(foreign: Foreign) -> int | None:
    """GPUs of the whole cluster, where the file says so; Trinity asks Ray otherwise."""
    nodes, each = count(foreign, "cluster.node_num"), count(foreign, "cluster.gpu_per_node")
    return nodes * each if nodes and each else None


def explorer_gpus(foreign: Foreign) -> int | None:
    """GPUs of rollout engines and auxiliary models."""
    engines = count(foreign, f"{ROLLOUT}.engine_num", 1)
    tp = count(foreign, f"{ROLLOUT}.tensor_parallel_size", 1)
    if engines is None or tp is None:
        return None
    others = foreign.get("explorer.auxiliary_models") or []
    extra = 0
    for model in others if isinstance(others, list) else []:
        if isinstance(model, dict):
            sizes = [model.get(key) for key in ("engine_num", "tensor_parallel_size")]
            extra += math.prod(size for size in sizes if isinstance(size, int) and size > 0)
    return engines * tp + extra if engines > 0 and tp > 0 else None


def trainer_gpus(foreign: Foreign) -> int | None:
    """GPUs that are left for training; None where that cannot be known, or there are none."""
    total, explorer = total_gpus(foreign), explorer_gpus(foreign)
    mode = foreign.get("mode", "both")
    if total is None or explorer is None:
        return None
    left = total if mode in ("train", "colocate") else total - explorer
    return left if left > 0 else None


def _trainer_file(path: Path, setting: Setting) -> tuple[dict[str, Setting], list[Finding]]:
    named = Path(str(setting.value))
    for folder in (Path(), *path.resolve().parents):
        if named.name and (folder / named).is_file():
            text = (folder / named).read_text(encoding="utf-8", errors="replace")
            below, problems = parse_nested(text, str(folder / named))
            return {f"{INSIDE}{key}": Setting(value.value) for key, value in below.items()}, problems
    cause = f"{named}, the trainer's configuration, was not found: what it sets is not known."
    fix = Fix("run the check where that file lies, or move its settings to trainer.trainer_config")
    return {}, [Finding("check.trinity.file-missing", "info", cause, fixes=(fix,))]


def _stages(setting: Setting) -> Finding:
    names = [str(stage.get("stage_name")) for stage in setting.value if isinstance(stage, dict)]
    cause = (
        f"the job has {len(names)} stages ({', '.join(names)}): only the values outside of them are checked."
    )
    return Finding("check.trinity.stages", "info", cause, (f"line {setting.line}",))
