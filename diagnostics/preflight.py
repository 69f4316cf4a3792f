"""Checks that a run can start here, made before anything of it is created. Every check returns findings."""

import ast
import difflib
import importlib.metadata
import os
import shutil
import socket
from pathlib import Path

from diagnostics.hardware import Hardware
from engine.data.validate import no_chat_template
from engine.findings import Finding, Fix
from engine.toy import tasks as toy

MIN_FREE_BYTES = 200 * 1024**2
"""Events, logs and trajectories of a short run; checkpoints need more, and say so when they do not fit."""
LOOPBACK = "127.0.0.1"


def check_runs_dir(runs_dir: Path) -> list[Finding]:
    """Whether a run directory can be created in `runs_dir`, and whether its disk has room for logs."""
    base = next(folder for folder in (runs_dir.absolute(), *runs_dir.absolute().parents) if _exists(folder))
    if not base.is_dir() or not os.access(base, os.W_OK | os.X_OK):
        reason = "is not writable" if base.is_dir() else "is not a folder"
        return [
            Finding(
                id="run.dir-unwritable",
                severity="error",
                cause=f"no run can be created in {runs_dir.absolute()}: {base} {reason}.",
                fixes=(Fix("give a folder you can write to with --runs-dir or RFTUI_RUNS_DIR"),),
            )
        ]
    free = shutil.disk_usage(base).free
    if free >= MIN_FREE_BYTES:
        return []
    return [
        Finding(
            id="env.disk-full",
            severity="error",
            cause=f"{base} has {_mib(free)} free; a run needs at least {_mib(MIN_FREE_BYTES)}.",
            fixes=(
                Fix("free space there, for example old runs and checkpoints", command=f"du -sh {base}/*"),
                Fix("use another disk with --runs-dir or RFTUI_RUNS_DIR"),
            ),
        )
    ]


def check_port(port: int | None) -> list[Finding]:
    """Whether the rendezvous port is free; None (the supervisor picks one) always is."""
    if port is None or _is_free(port):
        return []
    near = next((p for p in range(port + 1, min(port + 200, 65536)) if _is_free(p)), None)
    fixes = [Fix("leave master_port unset: a free port is picked", set={"parallel.master_port": None})]
    if near:
        fixes.append(Fix(f"use port {near}, which is free", set={"parallel.master_port": near}))
    return [
        Finding(
            id="env.port-in-use",
            severity="error",
            cause=f"master_port {port} on {LOOPBACK} cannot be opened: it is in use, or reserved.",
            fixes=(*fixes, Fix("see who uses it", command=f"ss -ltnp 'sport = :{port}'")),
            param="parallel.master_port",
        )
    ]


def check_model(pretrain: str) -> list[Finding]:
    """A model path must be a folder with `config.json`, `toy:NAME` a known toy; a hub id is not looked up."""
    if pretrain.startswith("toy:"):
        toy.get(pretrain)
        return []
    path = Path(pretrain).expanduser()
    if path.is_dir():
        if (path / "config.json").is_file():
            return []
        inside = ", ".join(sorted(child.name for child in path.iterdir())[:8]) or "nothing"
        cause = f"{pretrain} is not a Hugging Face model folder: it has no config.json."
        return [
            _model_finding(
                "model.path-invalid", cause, "give the folder that holds config.json", f"it holds {inside}"
            )
        ]
    if path.exists():
        cause = f"{pretrain} is a file; a model is a folder with config.json."
        return [_model_finding("model.path-invalid", cause, f"give its folder, {path.parent}")]
    if not _looks_like_path(pretrain):
        return []
    near = _near_paths(path)
    fix = (
        f"did you mean {near[0]}?"
        if near
        else "give an existing folder, or a hub id such as Qwen/Qwen2.5-0.5B"
    )
    return [_model_finding("model.path-missing", f"the model path {pretrain} does not exist.", fix)]


def check_chat_template(pretrain: str) -> list[Finding]:
    """A local tokenizer must come with the chat template that prompts are to be rendered with."""
    folder = Path(pretrain).expanduser()
    settings = folder / "tokenizer_config.json"
    if (
        not settings.is_file()
        or any(folder.glob("chat_template*"))
        or "chat_template" in settings.read_text()
    ):
        return []
    return [no_chat_template(pretrain)]


def check_reward_fn(spec: str | None) -> list[Finding]:
    """`file.py:function`: the file exists, parses, and defines the function. It is not run."""
    if spec is None:
        return []
    file, colon, function = spec.rpartition(":")
    if not colon or not function.isidentifier():
        cause = f"reward_fn {spec!r} does not name a function."
        return [
            _reward_finding("reward.fn-invalid", cause, "write file.py:function or package.module:function")
        ]
    if not file.endswith(".py"):
        return []
    path = Path(file).expanduser()
    if not path.is_file():
        near = _near_paths(path)
        fix = f"did you mean {near[0]}?" if near else f"give a file that exists; looked in {Path.cwd()}"
        return [_reward_finding("reward.fn-missing", f"the reward file {file} does not exist.", fix)]
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except (SyntaxError, UnicodeDecodeError) as error:
        where = f" line {error.lineno}" if isinstance(error, SyntaxError) else ""
        cause = f"{file}{where} is not valid Python: {getattr(error, 'msg', error)}."
        return [_reward_finding("reward.fn-invalid", cause, "correct the file")]
    if function in _bound_names(tree):
        return []
    defined = sorted(node.name for node in tree.body if isinstance(node, ast.FunctionDef))
    cause = f"{file} does not define {function}; its functions are {', '.join(defined) or 'none'}."
    near = difflib.get_close_matches(function, defined, n=1)
    fix = f"use {file}:{near[0]}" if near else "name one of its functions"
    return [_reward_finding("reward.fn-missing", cause, fix)]


def torch_uses_gpus() -> bool:
    """Whether the installed torch is a build with GPU support, told from its version without importing it."""
    return not importlib.metadata.version("torch").endswith("+cpu")


def check_ranks(
    nproc: int, hardware: Hardware, backend: str | None, torch: str | None = None
) -> list[Finding]:
    """Whether the ranks fit the GPUs: one each, unless they talk over gloo; warns of GPUs left unused.

    `torch`: its version, where it is not that of this process.
    """
    version = torch or importlib.metadata.version("torch")
    can_use = not torch.endswith("+cpu") if torch else torch_uses_gpus()
    gpus = len(hardware.gpus)
    if not gpus:
        return [_nccl_without_gpu()] if backend == "nccl" else []
    if not can_use:
        return [
            Finding(
                id="env.torch-cpu-build",
                severity="warning",
                cause=f"this machine has {gpus} GPUs, but torch {version} "
                "cannot use them: the run will use the CPU.",
                fixes=(
                    Fix("install a torch build with CUDA", command="pip install --force-reinstall torch"),
                ),
            )
        ]
    if nproc <= gpus or backend == "gloo":
        return []
    return [
        Finding(
            id="env.too-few-gpus",
            severity="error",
            cause=f"{nproc} ranks need {nproc} GPUs, and {gpus} are visible; nccl cannot share one.",
            evidence=tuple(f"GPU {gpu.index}: {gpu.name}" for gpu in hardware.gpus),
            fixes=(
                Fix(f"use at most {gpus} ranks", set={"parallel.nproc": gpus}),
                Fix("make more GPUs visible (CUDA_VISIBLE_DEVICES)"),
                Fix("share GPUs over gloo (slow)", set={"parallel.dist_backend": "gloo"}),
            ),
            param="parallel.nproc",
        )
    ]


def _nccl_without_gpu() -> Finding:
    return Finding(
        id="parallel.nccl-without-gpu",
        severity="error",
        cause="dist_backend = nccl, but no GPU that it could use is visible.",
        fixes=(Fix("use gloo", set={"parallel.dist_backend": "gloo"}),),
        param="parallel.dist_backend",
    )


def free_port() -> int:
    """A TCP port that is free on the loopback interface now."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def _exists(path: Path) -> bool:
    """`Path.exists`, taking a path below a file or in a folder that may not be looked into as absent."""
    try:
        return path.exists()
    except OSError:
        return False


def _looks_like_path(spec: str) -> bool:
    return spec.startswith((".", "/", "~")) or spec.endswith("/") or spec.count("/") > 1


def _near_paths(path: Path) -> list[str]:
    """Existing siblings with a similar name."""
    if not path.parent.is_dir():
        return []
    names = difflib.get_close_matches(path.name, [child.name for child in path.parent.iterdir()], n=2)
    return [str(path.parent / name) for name in names]


def _bound_names(tree: ast.Module) -> set[str]:
    """Names a module binds at its top level by def, class, import or assignment."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.alias):
            names.add(node.asname or node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
    return names


def _model_finding(id: str, cause: str, fix: str, *evidence: str) -> Finding:
    return Finding(id, "error", cause, evidence, (Fix(fix),), "model.pretrain")


def _reward_finding(id: str, cause: str, fix: str) -> Finding:
    return Finding(id, "error", cause, (), (Fix(fix),), "reward.reward_fn")


def _mib(size: int) -> str:
    return f"{size / 1024**2:.0f} MiB"
