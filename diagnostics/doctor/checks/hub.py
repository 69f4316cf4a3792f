"""Check that a model and data of the hub are here already or can be fetched."""

from diagnostics.doctor.check import Answer, CannotCheck, Check, DoesNotApply, Ok
from diagnostics.doctor.checks import children
from diagnostics.doctor.checks.run_facts import config_of, is_hub_id, model_folder
from diagnostics.doctor.checks.weight_files import weights_are_here
from diagnostics.doctor.host import Host
from engine.data.spec import parse_sources
from engine.findings import Finding, Fix

OFFLINE = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_DATASETS_OFFLINE")
LIMIT_S = 15.0


def _hub(host: Host) -> Answer:
    wanted = _wanted(host)
    if not wanted:
        raise DoesNotApply("neither model nor data are of the hub")
    missing = [(kind, name) for kind, name in wanted if not _cached(host, kind, name)]
    if not missing:
        return Ok(f"{', '.join(name for _, name in wanted)} in the cache")
    offline = next((name for name in OFFLINE if host.environ.get(name, "0") not in ("", "0")), None)
    if offline:
        return tuple(_offline(kind, name, offline) for kind, name in missing)
    answers = [(kind, name, children.ask(host, "hub", kind, name, limit_s=LIMIT_S)) for kind, name in missing]
    found = [
        _finding(kind, name, answer["state"], answer["said"])
        for kind, name, answer in answers
        if answer["state"] != "there"
    ]
    return tuple(found) or Ok(f"{', '.join(name for _, name in missing)} can be fetched")


def _wanted(host: Host) -> list[tuple[str, str]]:
    """What the run takes of the hub: kind and id."""
    config = config_of(host)
    models = [("model", config.model.pretrain)] if is_hub_id(config.model.pretrain) else []
    specs = [(config.data.prompt_data, "data.prompt_data"), (config.eval.eval_data or "", "eval.eval_data")]
    sources = [source for spec, param in specs for source in parse_sources(spec, param)[0]]
    return [*models, *dict.fromkeys(("dataset", source.name) for source in sources if source.kind == "hub")]


def _cached(host: Host, kind: str, name: str) -> bool:
    if kind == "model":
        folder = model_folder(host)
        return folder is not None and weights_are_here(folder)
    home = host.environ.get("HF_HOME") or f"{host.environ.get('HOME', '~')}/.cache/huggingface"
    folders = (f"{home}/hub/datasets--{name.replace('/', '--')}/snapshots/*", f"{home}/datasets/*")
    try:
        snapshots, prepared = (host.glob(folder) for folder in folders)
    except CannotCheck:
        return False
    return bool(snapshots) or any(path.endswith(name.replace("/", "___")) for path in prepared)


def _download(kind: str, name: str) -> Fix:
    extra = " --repo-type dataset" if kind == "dataset" else ""
    return Fix("fetch it where there is a network", command=f"hf download {name}{extra}")


def _offline(kind: str, name: str, variable: str) -> Finding:
    return Finding(
        id="net.hub",
        severity="error",
        cause=f"the {kind} {name} is not in the cache, and {variable} forbids to fetch it.",
        fixes=(
            Fix("allow the network", command=f"unset {variable}"),
            _download(kind, name),
            Fix("or give the path of its folder instead of its name"),
        ),
        param="model.pretrain" if kind == "model" else "data.prompt_data",
    )


def _finding(kind: str, name: str, state: str, said: str) -> Finding:
    param = "model.pretrain" if kind == "model" else "data.prompt_data"
    if state == "gated":
        cause = f"the {kind} {name} is gated: this account has no access, or there is no token."
        fixes = [
            Fix(f"ask for access on https://huggingface.co/{'datasets/' * (kind == 'dataset')}{name}"),
            Fix("then log in", command="hf auth login"),
        ]
    elif state == "unknown":
        cause = f"the hub knows no {kind} {name}, or it is private."
        fixes = [Fix("correct the name"), Fix("log in, if it is a private one", command="hf auth login")]
    else:
        cause = f"the {kind} {name} is not in the cache, and the hub cannot be reached."
        fixes = [
            Fix("use a mirror that can be reached", command="export HF_ENDPOINT=https://MIRROR"),
            _download(kind, name),
            Fix("or give the path of its folder instead of its name"),
        ]
    return Finding("net.hub", "error", cause, (said,), tuple(fixes), param)


HUB = Check("net.hub", "model and data can be had", "deep", _hub, needs=("config",), limit_s=2 * LIMIT_S)
