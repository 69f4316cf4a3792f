"""OpenRLHF's batches and placement: what its own asserts and DeepSpeed's refuse."""

from collections.abc import Iterator

from diagnostics.rules.foreign import Foreign
from diagnostics.rules.job import Job
from diagnostics.rules.job_openrlhf import is_on
from diagnostics.rules.read_openrlhf import flag_of, own
from diagnostics.rules.telling import Rule, count, near, number, told, use
from engine.findings import Finding, Fix


def groups(job: Job) -> int | None:
    """Groups of ranks with responses of their own: a ring or a tensor-parallel group shares its."""
    if not job.ranks or job.sp < 1 or job.train_tp < 1:
        return None
    return job.ranks // job.sp // job.train_tp


def _train_batch(foreign: Foreign, job: Job) -> Iterator[Finding]:
    """DeepSpeed: train_batch_size == micro × accumulation × data-parallel ranks."""
    parallel, name = groups(job), job.name("update")
    if not parallel or not job.update or not job.micro:
        return
    quantum = job.micro * parallel
    if job.update % quantum:
        steps = job.update // quantum
        yield told(
            foreign,
            "cfg.batch.deepspeed",
            "error",
            name,
            f"{name} = {job.update} is no multiple of {job.name('micro')} × ranks = {job.micro} × {parallel} "
            f"= {quantum}: DeepSpeed stops with 'Check batch related parameters. train_batch_size is not "
            f"equal to micro_batch_per_gpu * gradient_acc_step * world_size {job.update} != {job.micro} * "
            f"{steps} * {parallel}'.",
            *(use(foreign, name, size) for size in near(job.update, quantum)),
            also=(job.name("micro"), job.name("ranks")),
        )


def _rollout_batches(foreign: Foreign, job: Job) -> Iterator[Finding]:
    parallel = groups(job)
    if not parallel or not job.responses or not job.micro_forward:
        return
    batches, name = job.responses // job.micro_forward, job.name("micro_forward")
    if batches < parallel:
        most = job.responses // parallel
        yield told(
            foreign,
            "check.openrlhf.too-few-batches",
            "error",
            name,
            f"{job.prompts} × {job.samples} responses / {name} {job.micro_forward} = {batches} batches for "
            f"{parallel} groups of ranks: 'The number of sample batches must be greater than or equal to the "
            "effective number of actor processes.'",
            *((use(foreign, name, most),) if most else ()),
            also=(job.name("prompts"), job.name("samples")),
        )


def _rollout_remainder(foreign: Foreign, job: Job) -> Iterator[Finding]:
    if not job.responses or not job.update or job.responses % job.update == 0:
        return
    name = job.name("update")
    if job.responses < job.update:
        cause = (
            f"a rollout has {job.prompts} × {job.samples} = {job.responses} responses, fewer than an "
            f"optimizer step of {name} = {job.update} takes: DeepSpeed steps once in several rollouts."
        )
        yield told(
            foreign,
            "check.openrlhf.rollout-below-step",
            "warning",
            name,
            cause,
            use(foreign, name, job.responses),
            also=(job.name("prompts"), job.name("samples")),
        )
        return
    rest = job.responses % job.update
    yield told(
        foreign,
        "check.openrlhf.rollout-remainder",
        "info",
        name,
        f"a rollout's {job.prompts} × {job.samples} = {job.responses} responses are "
        f"{job.responses // job.update} steps of {job.update}, and {rest} that make no whole step.",
        *(use(foreign, name, size) for size in near(job.update, _divisor(job)) if job.responses % size == 0),
        also=(job.name("prompts"), job.name("samples")),
    )


def _divisor(job: Job) -> int:
    return (job.micro or 1) * (groups(job) or 1)


def _colocation(foreign: Foreign, job: Job) -> Iterator[Finding]:
    engines_name, tp_name = own(foreign, "vllm_num_engines"), job.name("engine_tp")
    engines = count(foreign, engines_name)
    if job.colocated and engines and job.ranks and engines * job.engine_tp != job.ranks:
        fits = job.ranks // job.engine_tp if job.ranks % job.engine_tp == 0 else None
        yield told(
            foreign,
            "check.openrlhf.engines-on-actor",
            "error",
            engines_name,
            f"with {own(foreign, 'colocate_all_models')} the engines must have exactly the actor's GPUs: "
            f"{engines} engines × {tp_name} {job.engine_tp} = {engines * job.engine_tp}, and the actor has "
            f"{job.ranks}.",
            *((use(foreign, engines_name, fits),) if fits else ()),
            also=(tp_name, job.name("ranks")),
        )
    pairs = []
    if is_on(foreign, "colocate_actor_ref") or is_on(foreign, "colocate_all_models"):
        pairs += [("actor", "ref")] if (job.kl_loss or job.kl_reward) > 0 else []
    if job.critic and is_on(foreign, "colocate_critic_reward"):
        pairs += [("critic", "reward")]
    for first, second in pairs:
        yield from _same_size(foreign, first, second)


def _same_size(foreign: Foreign, first: str, second: str) -> Iterator[Finding]:
    for what in ("num_nodes", "num_gpus_per_node"):
        left, right = own(foreign, f"{first}_{what}"), own(foreign, f"{second}_{what}")
        one = count(foreign, left, flag_of(foreign, f"{first}_{what}").default)
        other = count(foreign, right, flag_of(foreign, f"{second}_{what}").default)
        if one is not None and other is not None and one != other:
            default = "" if right in foreign.settings else ", its default"
            yield told(
                foreign,
                "check.openrlhf.colocated-sizes",
                "error",
                right,
                f"{first} and {second} share GPUs, but {left} = {one} and {right} = {other}{default}: "
                "'num_nodes and num_gpus_per_node must be the same when colocate "
                f"{first} and {second} model'.",
                use(foreign, right, one),
                also=(left,),
            )


def _ring(foreign: Foreign, job: Job) -> Iterator[Finding]:
    name = job.name("sp")
    if job.sp > 1 and not job.packs:
        cause = f"{name} = {job.sp} needs packing: OpenRLHF warns and turns it on."
        fix = use(foreign, job.name("packs"), True)
        yield told(foreign, "check.openrlhf.ring-packing", "info", name, cause, fix)


def _oversampling(foreign: Foreign, job: Job) -> Iterator[Finding]:
    name = own(foreign, "vllm_generate_batch_size")
    size = count(foreign, name)
    if size and job.prompts and size > job.prompts and not is_on(foreign, "async_train"):
        cause = f"{name} = {size} is more than a rollout's {job.prompts} prompts: that needs asynchrony."
        yield told(
            foreign,
            "check.openrlhf.oversampling",
            "error",
            name,
            cause,
            use(foreign, name, job.prompts),
            also=(job.name("prompts"),),
        )


def _token_budget(foreign: Foreign, job: Job) -> Iterator[Finding]:
    longest = job.model_len or (job.prompt_len or 0) + (job.response_len or 0)
    if job.token_budget and longest > job.token_budget * job.sp:
        name = job.name("token_budget")
        yield told(
            foreign,
            "check.openrlhf.token-budget",
            "warning",
            name,
            f"{name} = {job.token_budget} is less than one sequence of up to {longest} tokens: such a "
            "sequence makes a micro-batch of its own, above the budget.",
            use(foreign, name, longest),
        )


def _dynamic_filtering(foreign: Foreign, job: Job) -> Iterator[Finding]:
    if not is_on(foreign, "dynamic_filtering"):
        return
    name = own(foreign, "dynamic_filtering")
    if job.samples == 1:
        cause = (
            f"{name} compares the responses to a prompt: 'n_samples_per_prompt must be greater than 1 when "
            "using dynamic filtering'."
        )
        yield told(
            foreign,
            "check.openrlhf.filtering-one",
            "error",
            name,
            cause,
            use(foreign, job.name("samples"), 8),
        )
    rewards = [own(foreign, "remote_rm_url"), own(foreign, "agent_func_path")]
    if not any(foreign.get(reward) for reward in rewards):
        cause = f"{name} needs scores from {rewards[0]} or {rewards[1]}; neither is given."
        yield told(
            foreign, "check.openrlhf.filtering-scores", "error", name, cause, Fix(f"give --{rewards[0]}")
        )
    limits = foreign.get(own(foreign, "dynamic_filtering_reward_range"))
    if isinstance(limits, list) and all(isinstance(v, float) for v in limits) and limits[0] >= limits[1]:
        range_name = own(foreign, "dynamic_filtering_reward_range")
        cause = f"{range_name} {limits[0]:g} {limits[1]:g}: the first must be below the second."
        yield told(foreign, "check.openrlhf.filtering-range", "error", range_name, cause)


def _share(foreign: Foreign, job: Job) -> Iterator[Finding]:
    share, name = number(foreign, job.name("engine_share"), 0.95), job.name("engine_share")
    if not job.colocated or share is None or job.engine != "vllm":
        return
    if share > 0.8:
        default = "" if name in foreign.settings else ", the default,"
        yield told(
            foreign,
            "check.openrlhf.engine-share",
            "warning",
            name,
            f"{name} = {share:g}{default} on GPUs that the models share: the engine starts after them and "
            "finds less free memory than that.",
            use(foreign, name, 0.5),
        )


RULES: tuple[Rule, ...] = (
    _train_batch,
    _rollout_batches,
    _rollout_remainder,
    _colocation,
    _ring,
    _oversampling,
    _token_budget,
    _dynamic_filtering,
    _share,
)
