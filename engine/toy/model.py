"""The toy model of a task: made and warmed up once, then taken from the user's cache directory."""

import dataclasses
import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from filelock import FileLock
from platformdirs import user_cache_dir

from engine.findings import EXIT_UNFIT, Finding, FindingsError, Fix
from engine.toy.recipe import Recipe
from engine.toy.tasks import Task, get
from engine.toy.tokenizer import build_tokenizer
from engine.toy.warmup import build_model, held_out_accuracy, warm_up

MEASURES = "warmup.json"


def ensure_model(
    name: str, progress: Callable[[str], None] = lambda line: None, recipe: Recipe | None = None
) -> Path:
    """The Hugging Face folder of the model for task `name` (`toy:sort` or `sort`), made if it is not cached.

    The cache is `toy/<task>-<hash of recipe>` under `$RFTUI_CACHE_DIR`, or else the user's cache directory.
    Of several processes one makes it while the others wait; a folder appears only complete. Beside the model,
    `warmup.json` records steps, seconds and held-out accuracy. Raises a finding for an unknown task or an
    unwritable cache. Leaves the caller's random generators and thread count as they were.
    """
    task = get(name)
    recipe = recipe or Recipe()
    root = Path(os.environ.get("RFTUI_CACHE_DIR") or user_cache_dir("rftui")) / "toy"
    folder = root / f"{task.name}-{_digest(task, recipe)}"
    if folder.is_dir():
        return folder
    try:
        root.mkdir(parents=True, exist_ok=True)
        with FileLock(root / f"{folder.name}.lock"):
            if not folder.is_dir():
                _make(folder, task, recipe, progress)
    except OSError as error:
        raise _unwritable(root, error) from error
    return folder


def _digest(task: Task, recipe: Recipe) -> str:
    """A short hash of all that decides the weights."""
    parts = json.dumps([task.name, task.instruction, dataclasses.asdict(recipe)])
    return hashlib.sha256(parts.encode()).hexdigest()[:12]


def _make(folder: Path, task: Task, recipe: Recipe, progress: Callable[[str], None]) -> None:
    """Build, warm up, measure and save aside; then rename into place."""
    started = time.perf_counter()
    progress(f"making the toy model for {task.name!r} (once; kept in {folder})")
    tokenizer = build_tokenizer()
    with _own_randomness(recipe.seed):
        model = build_model(recipe, tokenizer)
        steps = warm_up(model, tokenizer, task, recipe, progress)
        measured = held_out_accuracy(model, tokenizer, task)
    seconds = time.perf_counter() - started
    aside = Path(tempfile.mkdtemp(prefix=f"{folder.name}.", dir=folder.parent))
    try:
        model.save_pretrained(aside)
        tokenizer.save_pretrained(aside)
        record = {
            "recipe": dataclasses.asdict(recipe),
            "parameters": model.num_parameters(),
            "steps": steps,
            "seconds": round(seconds, 2),
            "held_out_accuracy": measured,
        }
        (aside / MEASURES).write_text(json.dumps(record, indent=2) + "\n")
        aside.chmod(0o755)
        aside.rename(folder)
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        raise
    progress(
        f"toy model ready after {steps} steps, {seconds:.1f} s: held-out accuracy "
        f"{measured['sampled']:.2f} sampled, {measured['greedy']:.2f} greedy"
    )


@contextmanager
def _own_randomness(seed: int) -> Iterator[None]:
    """Seed torch for the block, on two threads at most; restore the generator and thread count after it."""
    threads = torch.get_num_threads()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        torch.set_num_threads(min(2, os.cpu_count() or 1))
        try:
            yield
        finally:
            torch.set_num_threads(threads)


def _unwritable(root: Path, error: OSError) -> FindingsError:
    """The finding for a cache directory that cannot hold the model."""
    finding = Finding(
        id="toy.cache-unwritable",
        severity="error",
        cause=f"The toy model cannot be kept in {root}: {error}.",
        fixes=(Fix("set RFTUI_CACHE_DIR to a directory with some free space that you can write to"),),
    )
    return FindingsError([finding], EXIT_UNFIT)
