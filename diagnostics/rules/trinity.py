"""Trinity-RFT's validators of mode, lengths, GPUs and batches, and what they change without being asked.

They stop at the first error; here all are told. A silent change is told with what the run will have.
"""

import math
from collections.abc import Iterator

from diagnostics.rules.foreign import Foreign
from diagnostics.rules.job import Job
from diagnostics.rules.job_trinity import lengths
from diagnostics.rules.read_trinity import explorer_gpus, total_gpus
from diagnostics.rules.telling import Rule, count, near, text, told, use
from diagnostics.rules.trinity_defaults import MODES, OFFLINE, ROLLOUT
from engine.findings import Finding

BATCH, TRAIN, N = "buffer.batch_size", "buffer.train_batch_size", "algorithm.repeat_times"
WINDOW = 512
"""Of engine numbers that are tried."""
ENGINES, TP = f"{ROLLOUT}.engine_num", f"{ROLLOUT}.tensor_parallel_size"


def _mode(foreign: Foreign, job: Job) -> Iterator[Finding]:
    mode = text(foreign, "mode", "both")
    if mode not in MODES:
        cause = f"mode = {mode} is none of {', '.join(MODES)}."
        yield told(foreign, "check.trinity.mode", "error", "mode", cause, use(foreign, "mode", "both"))
    algorithm = text(foreign, "algorithm.algorithm_type", "ppo").lower()
    if algorithm in OFFLINE and mode in ("both", "explore"):
        yield told(
            foreign,
            "check.trinity.offline-algorithm",
            "error",
            "mode",
            f"{algorithm} learns from a data set and does not support mode = {mode}.",
            use(foreign, "mode", "train"),
            also=("algorithm.algorithm_type",),
        )


def _lengths(foreign: Foreign, job: Job) -> Iterator[Finding]:
    longest = count(foreign, "model.max_model_len")
    names = ("model.max_prompt_tokens", "model.max_response_tokens")
    prompt, response = (count(foreign, name) for name in names)
    if longest is None and (prompt is None or response is None):
        if "model.max_model_len" in foreign.settings:
            return
        yield told(
            foreign,
            "check.trinity.no-length",
            "error",
            "model.max_model_len",
            "model.max_model_len is not given and cannot be derived: it is the sum of max_prompt_tokens and "
            "max_response_tokens, where both are.",
            use(foreign, "model.max_model_len", 2 * (response or prompt or 1024)),
        )
        return
    filled, got_prompt, got_response = lengths(foreign)
    missing = [name for name, value in zip(names, (prompt, response), strict=True) if value is None]
    if longest is not None and missing:
        yield told(
            foreign,
            "check.trinity.filled-lengths",
            "info",
            missing[0],
            f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} not given: Trinity takes "
            f"prompts of up to {got_prompt} and responses of up to {got_response} tokens out of "
            f"max_model_len = {filled}.",
        )
    least = count(foreign, "model.min_response_tokens", 1)
    if least and got_response and least >= got_response:
        yield told(
            foreign,
            "check.trinity.min-response",
            "warning",
            "model.min_response_tokens",
            f"min_response_tokens = {least} is not below the longest response, {got_response}: Trinity sets "
            f"it to {max(got_response - 1, 0)}.",
        )
    if prompt is not None and foreign.get("model.enable_prompt_truncation") is False:
        yield told(
            foreign,
            "check.trinity.prompt-truncation",
            "warning",
            "model.enable_prompt_truncation",
            f"prompts longer than {prompt} tokens are not cut: prompt and response together may exceed "
            f"max_model_len = {filled}.",
        )


def _gpus(foreign: Foreign, job: Job) -> Iterator[Finding]:
    total, explorer, mode = total_gpus(foreign), explorer_gpus(foreign), text(foreign, "mode", "both")
    each = count(foreign, "cluster.gpu_per_node")
    if total is None:
        cause = "the cluster's size is not given: Trinity asks Ray for it; batches cannot be checked here."
        yield told(foreign, "check.trinity.cluster", "info", "cluster.gpu_per_node", cause)
        return
    if explorer is None or mode in ("train", "colocate"):
        return
    words = f"{ENGINES} × tensor_parallel_size = {explorer} GPUs (auxiliary models included)"
    if mode != "both":
        if explorer > total:
            cause = f"the explorer takes {words}, more than the cluster's {total}."
            yield told(foreign, "check.trinity.gpus", "error", ENGINES, cause, also=(TP,))
        return
    if total == 1:
        yield told(
            foreign,
            "check.trinity.one-gpu",
            "warning",
            "mode",
            "a cluster of one GPU: Trinity 0.6 switches to mode colocate by itself, with one engine and at "
            "most 0.25 of the card for it; older versions stop.",
            use(foreign, "mode", "colocate"),
        )
    elif explorer >= total:
        yield told(
            foreign,
            "check.trinity.gpus",
            "error",
            ENGINES,
            f"the explorer takes {words} of {total}: none is left for the trainer.",
            *((use(foreign, ENGINES, max(1, total // 2 // job.engine_tp)),) if job.engine_tp < total else ()),
            also=(TP, "cluster.node_num", "cluster.gpu_per_node"),
        )
    elif each and total - explorer > each and (total - explorer) % each:
        yield told(
            foreign,
            "check.trinity.trainer-nodes",
            "error",
            ENGINES,
            f"{total} − {explorer} = {total - explorer} GPUs are left for the trainer: beyond one machine "
            f"it takes whole machines of {each}.",
            *(
                use(foreign, ENGINES, engines)
                for engines in _whole_nodes(total, each, job.engine_tp, explorer // max(1, job.engine_tp))
            ),
            also=(TP, "cluster.gpu_per_node"),
        )
    if each and job.engine_tp > each and job.engine_tp % each:
        cause = f"an engine over machines ({TP} = {job.engine_tp}) must take whole machines of {each} GPUs."
        yield told(foreign, "check.trinity.engine-nodes", "error", TP, cause, use(foreign, TP, each))


def _whole_nodes(total: int, each: int, tp: int, engines: int) -> list[int]:
    near_by = range(max(1, engines - WINDOW), min(total // tp, engines + WINDOW))
    fitting = [n for n in near_by if (total - n * tp) % each == 0 or total - n * tp <= each]
    below, above = [n for n in fitting if n < engines], [n for n in fitting if n > engines]
    return [*below[-1:], *above[:1]]


def _colocated(foreign: Foreign, job: Job) -> Iterator[Finding]:
    if text(foreign, "mode", "both") != "colocate":
        return
    for name, value in (
        ("cluster.gpu_per_node", count(foreign, "cluster.gpu_per_node", 1)),
        (ENGINES, count(foreign, ENGINES, 1)),
        ("trainer.ulysses_sequence_parallel_size", job.sp),
    ):
        if value and value != 1:
            cause = f"mode colocate is for one GPU, one engine, no sequence parallelism; {name} = {value}."
            yield told(foreign, "check.trinity.colocate", "error", name, cause, use(foreign, name, 1))
    if job.engine_share and job.engine_share > 0.25:
        name = f"{ROLLOUT}.gpu_memory_utilization"
        cause = f"in mode colocate Trinity lowers {name} from {job.engine_share:g} to 0.25."
        yield told(foreign, "check.trinity.colocate-share", "warning", name, cause, use(foreign, name, 0.25))


def _batches(foreign: Foreign, job: Job) -> Iterator[Finding]:
    mode, algorithm = text(foreign, "mode", "both"), text(foreign, "algorithm.algorithm_type", "ppo").lower()
    train = count(foreign, TRAIN, 0)
    if not train and (mode == "train" or algorithm in OFFLINE) and "$" not in text(foreign, TRAIN):
        which = "mode = train" if mode == "train" else algorithm
        cause = f"{TRAIN} is not given: {which} requires it."
        yield told(foreign, "cfg.batch.trinity-missing", "error", TRAIN, cause, use(foreign, TRAIN, 128))
        return
    if mode not in ("train", "both") or not job.update or not job.ranks:
        return
    if job.update % job.ranks:
        own = (
            f"{TRAIN} = {job.update}"
            if train
            else f"{BATCH} × {N} = {job.prompts} × {job.samples} = {job.update}"
        )
        fixes = (
            [use(foreign, TRAIN, size) for size in near(job.update, job.ranks)]
            if train or not job.samples
            else [
                use(foreign, BATCH, size)
                for size in near(job.prompts or 1, job.ranks // math.gcd(job.ranks, job.samples))
            ]
        )
        yield told(
            foreign,
            "cfg.batch.trinity-indivisible",
            "error",
            TRAIN if train else BATCH,
            f"{own} responses do not divide by the trainer's {job.ranks} GPUs.",
            *fixes,
            also=(N, ENGINES, "cluster.gpu_per_node"),
            evidence=(
                "some versions check this only in Trinity-Studio: the run then stops in its first step",
            ),
        )
    if train and job.responses and mode == "both" and train > job.responses:
        cause = (
            f"{TRAIN} = {train} is more than the {job.responses} responses of a batch of tasks: the trainer "
            "waits for several."
        )
        yield told(foreign, "cfg.batch.trinity-waits", "info", TRAIN, cause, also=(BATCH, N))


def _runners(foreign: Foreign, job: Job) -> Iterator[Finding]:
    runners, engines = count(foreign, "explorer.runner_per_model", 8), count(foreign, ENGINES, 1)
    if "explorer.runner_num" in foreign.settings:
        name = "explorer.runner_num"
        cause = f"{name} is deprecated: it is explorer.runner_per_model now, for each engine."
        yield told(foreign, "check.trinity.deprecated", "warning", name, cause)
    if runners and engines and job.prompts and runners > (most := math.ceil(job.prompts / engines)):
        name = "explorer.runner_per_model"
        default = "" if name in foreign.settings else ", the default,"
        cause = (
            f"{name} = {runners}{default} is more than {job.prompts} tasks / {engines} engines: Trinity "
            f"lowers it to {most}."
        )
        yield told(foreign, "check.trinity.runners", "info", name, cause, use(foreign, name, most))


RULES: tuple[Rule, ...] = (
    _mode,
    _lengths,
    _gpus,
    _colocated,
    _batches,
    _runners,
)
