"""LightRFT's batches and ranks: what its asserts refuse, and what it rounds without a word."""

from collections.abc import Iterator

from diagnostics.rules.foreign import Foreign
from diagnostics.rules.job import Job
from diagnostics.rules.telling import Rule, count, flag, near, number, told, use
from engine.findings import Finding, Fix


def _train_batch(foreign: Foreign, job: Job) -> Iterator[Finding]:
    if not job.ranks or not job.update or not job.micro:
        return
    quantum = job.micro * job.ranks
    if job.update % quantum:
        yield told(
            foreign,
            "cfg.batch.lightrft",
            "error",
            "train_batch_size",
            f"train_batch_size = {job.update} is no multiple of micro_train_batch_size × ranks = {job.micro} "
            f"× {job.ranks} = {quantum}: the launch stops with 'train_batch_size must be divisible by "
            "(micro_train_batch_size * world_size)'.",
            *(use(foreign, "train_batch_size", size) for size in near(job.update, quantum)),
            *(
                use(foreign, "micro_train_batch_size", micro)
                for micro in [_largest_micro(job.update, job.ranks, job.micro)]
                if micro
            ),
            also=("micro_train_batch_size",),
        )


def _largest_micro(update: int, ranks: int, micro: int) -> int | None:
    """The largest smaller micro-batch with which an optimizer step divides."""
    if update % ranks:
        return None
    return next((size for size in range(micro - 1, 0, -1) if (update // ranks) % size == 0), None)


def _rollout_batch(foreign: Foreign, job: Job) -> Iterator[Finding]:
    """The data loader gives every rank rollout_batch_size // ranks prompts."""
    if not job.ranks or job.prompts is None:
        return
    name, each = "rollout_batch_size", job.prompts // job.ranks
    if each == 0:
        yield told(
            foreign,
            "check.lightrft.rollout-batch",
            "error",
            name,
            f"rollout_batch_size = {job.prompts} is less than the {job.ranks} ranks: each would load "
            f"{job.prompts} // {job.ranks} = 0 prompts.",
            use(foreign, name, job.ranks),
        )
    elif job.prompts % job.ranks:
        yield told(
            foreign,
            "check.lightrft.rollout-batch",
            "warning",
            name,
            f"rollout_batch_size = {job.prompts} is no multiple of the {job.ranks} ranks: each loads {each} "
            f"prompts, so a rollout has {each * job.ranks} and not {job.prompts}.",
            *(use(foreign, name, size) for size in near(job.prompts, job.ranks)),
        )


def _micro_rollout(foreign: Foreign, job: Job) -> Iterator[Finding]:
    if not job.ranks or not job.responses or not job.micro_forward or job.responses % job.ranks:
        return
    each, name = job.responses // job.ranks, "micro_rollout_batch_size"
    if each % job.micro_forward:
        sizes = [size for size in range(min(job.micro_forward, each), 0, -1) if each % size == 0][:1]
        yield told(
            foreign,
            "check.lightrft.micro-rollout",
            "warning",
            name,
            f"a rank has {job.responses} / {job.ranks} = {each} responses, which is no multiple of {name} = "
            f"{job.micro_forward}: rewards are cut into chunks of that size and no longer line up with their "
            "responses.",
            *(use(foreign, name, size) for size in sizes),
            also=("rollout_batch_size", "n_samples_per_prompt"),
        )


def _rollouts(foreign: Foreign, job: Job) -> Iterator[Finding]:
    """updates = D n // TBS × E; rollouts = updates × TBS // E // RBS // n, with D at most max_samples."""
    prompts = count(foreign, "max_samples")
    if not prompts or not job.responses or not job.prompts or not job.samples or not job.update:
        return
    updates = prompts * job.samples // job.update * job.epochs
    if updates * job.update // job.epochs // job.prompts // job.samples == 0:
        enough = max(job.prompts, -(-job.update // job.samples))
        yield told(
            foreign,
            "check.lightrft.no-rollouts",
            "error",
            "max_samples",
            f"{prompts} prompts make no whole rollout of {job.prompts} × {job.samples} and no whole step of "
            f"{job.update} responses: num_rollouts_per_episodes is 0, and the text trainer divides by it.",
            Fix(f"use at least {enough} prompts", command=f"--max_samples {enough}"),
            *((use(foreign, "rollout_batch_size", job.ranks),) if job.ranks and job.ranks <= prompts else ()),
            also=("rollout_batch_size", "n_samples_per_prompt", "train_batch_size"),
        )


def _accumulates(foreign: Foreign, job: Job) -> Iterator[Finding]:
    """The guide asks for TBS ≥ RBS × n, which the code does not need and its examples do not keep."""
    if not job.responses or not job.update:
        return
    total = job.responses * job.epochs
    if job.update > total:
        yield told(
            foreign,
            "check.lightrft.accumulates",
            "warning",
            "train_batch_size",
            f"an optimizer step takes {job.update} responses, but a rollout has only {job.prompts} × "
            f"{job.samples}{f' × {job.epochs} passes' if job.epochs > 1 else ''} = {total}: the program says "
            "ACCUMULATION MODE and steps once in several rollouts.",
            use(foreign, "train_batch_size", total, "one step per rollout"),
            also=("rollout_batch_size", "n_samples_per_prompt"),
        )


def _shards(foreign: Foreign, job: Job) -> Iterator[Finding]:
    size = count(foreign, "initial_model_shard_size")
    if size and job.ranks and job.ranks % size:
        yield told(
            foreign,
            "check.lightrft.reference-shards",
            "error",
            "initial_model_shard_size",
            f"{job.ranks} ranks are no multiple of initial_model_shard_size = {size}.",
            Fix("leave it out: the reference model is then sharded over all ranks"),
        )


def _dynamic_sampling(foreign: Foreign, job: Job) -> Iterator[Finding]:
    if not flag(foreign, "dynamic_sampling"):
        return
    name = "dynamic_sampling"
    if job.micro and job.samples and job.micro > job.samples:
        yield told(
            foreign,
            "check.lightrft.dynamic-sampling-groups",
            "error",
            name,
            f"with dynamic_sampling, micro_train_batch_size = {job.micro} must not be above "
            f"n_samples_per_prompt = {job.samples}: it fails with 'range() arg 3 must not be zero'.",
            use(foreign, "micro_train_batch_size", job.samples),
            also=("micro_train_batch_size", "n_samples_per_prompt"),
        )
    yield told(
        foreign,
        "check.lightrft.dynamic-sampling",
        "warning",
        name,
        "dynamic_sampling does not sample again: it masks the groups whose rewards are all the same, and "
        "batches become smaller. Advantages of masked groups can come out huge ('Huge advantage detected').",
        Fix("leave it out, or watch the share of masked groups"),
    )


def _launcher(foreign: Foreign, job: Job) -> Iterator[Finding]:
    if foreign.ranks is None and foreign.nodes is None and foreign.program.endswith(".py"):
        cause = (
            f"{foreign.program} is started without torchrun: it stops with \"Could not find 'RANK' in the "
            'torch environment".'
        )
        fix = Fix("start it with torchrun", command=f"torchrun --nproc_per_node 8 {foreign.program} …")
        yield Finding("check.lightrft.no-torchrun", "error", cause, fixes=(fix,))


def _sequence_parallel(foreign: Foreign, job: Job) -> Iterator[Finding]:
    size = count(foreign, "sp_size")
    if not size or size <= 1:
        return
    if job.ranks and job.ranks % size:
        cause = f"sp_size = {size} does not divide the {job.ranks} ranks."
        fixes = [use(foreign, "sp_size", 1)]
        yield told(foreign, "cfg.sp", "error", "sp_size", cause, *fixes)
    yield told(
        foreign,
        "check.lightrft.sp-not-applied",
        "warning",
        "sp_size",
        f"sp_size = {size} shortens no sequence: the patches for sequence parallelism are in the code, but "
        f"nothing applies them, so {size} ranks at a time train on the same data and no memory is saved.",
        use(foreign, "sp_size", 1),
    )


def _gamma(foreign: Foreign, job: Job) -> Iterator[Finding]:
    gamma = number(foreign, "gamma")
    if gamma is None or gamma == 1:
        return
    baseline = job.estimator == "reinforce_baseline"
    cause = (
        f"gamma = {gamma:g} is set to 1 for reinforce_baseline."
        if baseline
        else f"gamma = {gamma:g} reaches only the first micro-batch; the others are computed with 1."
    )
    yield told(foreign, "check.lightrft.gamma", "warning", "gamma", cause, use(foreign, "gamma", 1.0))


RULES: tuple[Rule, ...] = (
    _launcher,
    _train_batch,
    _rollout_batch,
    _micro_rollout,
    _rollouts,
    _accumulates,
    _shards,
    _dynamic_sampling,
    _sequence_parallel,
    _gamma,
)
