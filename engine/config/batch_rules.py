"""Rules about batch sizes, ranks and the size of the data."""

from collections.abc import Iterator

from engine.config import batch as arithmetic
from engine.config.rule import Facts, Rule, finding, rule, use
from engine.findings import Finding, Fix

TBS, RBS, N = "batch.train_batch_size", "batch.rollout_batch_size", "batch.n_samples_per_prompt"
MICRO, BUDGET = "batch.micro_train_batch_size", "batch.max_tokens_per_micro_batch"
EPOCHS, TP, SP = "optim.max_epochs", "rollout.engine_tp_size", "parallel.sp_size"
NPROC = "parallel.nproc"


@rule(TBS, MICRO, BUDGET, NPROC, SP)
def _step_divides_among_ranks(facts: Facts) -> Iterator[Finding]:
    batch, world, sp = facts.config.batch, facts.world_size, facts.config.parallel.sp_size
    tbs, quantum = batch.train_batch_size, arithmetic.step_quantum(facts.config, world)
    if tbs % quantum == 0 or world % sp:  # of ranks that make no whole groups, only that is told
        return
    fixes, groups = _around(facts, TBS), arithmetic.data_parallel(facts.config, world)
    if batch.max_tokens_per_micro_batch:
        product = "the world size"
    else:
        product = "micro_train_batch_size × world size"
        if sp > 1:
            product = f"the world size and of {product} / sp_size"
        if tbs % world == 0:
            share = tbs // groups
            fixes.append(use(MICRO, max(m for m in range(1, batch.micro_train_batch_size) if share % m == 0)))
    terms = "" if quantum == world else f"{batch.micro_train_batch_size} × {groups} = "
    yield finding(
        "batch.tbs-indivisible",
        TBS,
        f"train_batch_size = {tbs} is not a multiple of {product} = {terms if sp == 1 else ''}{quantum}",
        *fixes,
        evidence=(f"{tbs} = {tbs // quantum} × {quantum} + {tbs % quantum}",),
    )


@rule(RBS, TP, NPROC)
def _prompts_divide_among_replicas(facts: Facts) -> Iterator[Finding]:
    rbs, shared = facts.config.batch.rollout_batch_size, arithmetic.replicas(facts.config, facts.world_size)
    if rbs % shared and facts.world_size % facts.config.rollout.engine_tp_size == 0:
        yield finding(
            "batch.rbs-indivisible",
            RBS,
            f"rollout_batch_size = {rbs} prompts do not divide among {shared} data-parallel replicas",
            *_around(facts, RBS),
            evidence=(f"{rbs} = {rbs // shared} × {shared} + {rbs % shared}",),
        )


@rule(TBS, RBS, N, EPOCHS)
def _rollouts_and_steps_line_up(facts: Facts) -> Iterator[Finding]:
    config = facts.config
    if arithmetic.divides_evenly(config):
        return
    tbs, trained = config.batch.train_batch_size, arithmetic.responses_trained(config)
    product = (
        f"{config.batch.rollout_batch_size} × {config.batch.n_samples_per_prompt} × {config.optim.max_epochs}"
    )
    yield finding(
        "batch.rollout-indivisible",
        TBS,
        f"rollout_batch_size × n_samples_per_prompt × max_epochs = {product} = {trained} responses "
        f"are no whole number of optimizer steps of train_batch_size = {tbs}, nor the reverse",
        *_around(facts, TBS),
        *_around(facts, RBS),
        evidence=(f"{trained} / {tbs} = {trained / tbs:.6g} steps per rollout",),
    )


@rule(TBS, RBS, N, EPOCHS, MICRO, BUDGET, "batch.strict_batch_rule")
def _on_policy(facts: Facts) -> Iterator[Finding]:
    config = facts.config
    tbs, sampled = config.batch.train_batch_size, arithmetic.responses_per_rollout(config)
    if tbs >= sampled:
        return
    steps, late = float(arithmetic.steps_per_rollout(config)), arithmetic.off_policy_steps(config)
    fixes = [
        use(TBS, arithmetic.tbs_grid(config, facts.world_size).above(sampled - 1), "one step per rollout")
    ]
    prompts = arithmetic.rbs_grid(config, facts.world_size).below(
        tbs // config.batch.n_samples_per_prompt + 1
    )
    if prompts:
        fixes.append(use(RBS, prompts, "a smaller rollout"))
    strict = config.batch.strict_batch_rule
    yield finding(
        "batch.off-policy",
        TBS,
        f"train_batch_size = {tbs} is less than rollout_batch_size × n_samples_per_prompt = "
        f"{config.batch.rollout_batch_size} × {config.batch.n_samples_per_prompt} = {sampled}: "
        f"{steps:g} optimizer steps per rollout, {late} of them off-policy",
        *fixes,
        severity="error" if strict else "warning",
        evidence=("strict_batch_rule makes this an error",) if strict else (),
    )


@rule(RBS, N, TBS, EPOCHS, TP, "data.max_samples")
def _data_fill_a_rollout(facts: Facts) -> Iterator[Finding]:
    config, world = facts.config, facts.world_size
    rbs, limit = config.batch.rollout_batch_size, config.data.max_samples
    sizes = [size for size in (facts.dataset_size, limit) if size is not None]
    if not sizes or min(sizes) >= rbs:
        return
    size = min(sizes)
    source = "max_samples leaves" if size == limit else "the data set has"
    fixes = []
    if largest := arithmetic.rbs_grid(config, world).below(size + 1):
        fixes.append(use(RBS, largest, "the largest that works"))
    elif size >= (shared := arithmetic.replicas(config, world)):
        prompts = size // shared * shared
        smaller = config.batch.model_copy(update={"rollout_batch_size": prompts})
        grid = arithmetic.tbs_grid(config.model_copy(update={"batch": smaller}), world)
        tbs = grid.above(prompts * config.batch.n_samples_per_prompt - 1)
        text = f"set rollout_batch_size to {prompts}, the largest that works, and train_batch_size to {tbs}"
        fixes.append(Fix(text, set={RBS: prompts, TBS: tbs}))
    else:
        fixes.append(Fix(f"give at least {shared} prompts, or use at most {size} ranks"))
    if size == limit and (facts.dataset_size or rbs) >= rbs:
        fixes.append(use("data.max_samples", rbs))
    yield finding(
        "data.smaller-than-rollout",
        RBS,
        f"{source} {size} prompts, less than one rollout of rollout_batch_size = {rbs}: "
        "there would be 0 rollouts per episode",
        *fixes,
    )


@rule(RBS, N, TBS, EPOCHS, "optim.num_episodes", "data.max_samples")
def _data_fill_a_step(facts: Facts) -> Iterator[Finding]:
    config = facts.config
    if facts.dataset_size is None:
        return
    size = min(facts.dataset_size, config.data.max_samples or facts.dataset_size)
    rollouts = size // config.batch.rollout_batch_size
    per_episode, tbs = rollouts * arithmetic.responses_trained(config), config.batch.train_batch_size
    total = per_episode * config.optim.num_episodes
    if not rollouts or total >= tbs:
        return
    yield finding(
        "data.no-optimizer-step",
        TBS,
        f"{config.optim.num_episodes} episodes × {rollouts} rollouts give {total} responses to train on, "
        f"less than train_batch_size = {tbs}: there would be no optimizer step",
        use("optim.num_episodes", -(-tbs // per_episode)),
    )


@rule(TP, NPROC)
def _tensor_parallel_divides(facts: Facts) -> Iterator[Finding]:
    yield from _parallel_size(facts, TP, "parallel.tp", "engine_tp_size", facts.config.rollout.engine_tp_size)


@rule(SP, NPROC)
def _sequence_parallel_divides(facts: Facts) -> Iterator[Finding]:
    yield from _parallel_size(facts, SP, "parallel.sp", "sp_size", facts.config.parallel.sp_size)


def _parallel_size(facts: Facts, key: str, id: str, name: str, size: int) -> Iterator[Finding]:
    """Ranks, and attention heads where the model is known, must divide by a parallel size."""
    heads = attention_heads(facts)
    common = [
        d for d in range(1, facts.world_size + 1) if facts.world_size % d == 0 and (heads or 0) % d == 0
    ]
    around = (
        max((d for d in common if d < size), default=None),
        min((d for d in common if d > size), default=None),
    )
    fixes = [use(key, value) for value in around if value]
    if facts.world_size % size:
        cause = f"world size = {facts.world_size} is not a multiple of {name} = {size}"
        yield finding(f"{id}-indivisible", key, cause, *fixes)
    if heads and heads % size:
        yield finding(f"{id}-heads", key, f"{heads} attention heads do not divide by {name} = {size}", *fixes)


def attention_heads(facts: Facts) -> int | None:
    """Number of attention heads by the model's `config.json` (of its language model, where it is nested)."""
    heads = facts.of_model("num_attention_heads")
    return heads if isinstance(heads, int) else None


def _around(facts: Facts, key: str) -> list[Fix]:
    """Set a batch size to the nearest values that satisfy every relation: below, above."""
    if key == TBS:
        value, grid = facts.config.batch.train_batch_size, arithmetic.tbs_grid(facts.config, facts.world_size)
    else:
        value, grid = (
            facts.config.batch.rollout_batch_size,
            arithmetic.rbs_grid(facts.config, facts.world_size),
        )
    return [use(key, near) for near in (grid.below(value), grid.above(value)) if near is not None]


RULES: tuple[Rule, ...] = (
    _step_divides_among_ranks,
    _prompts_divide_among_replicas,
    _rollouts_and_steps_line_up,
    _on_policy,
    _data_fill_a_rollout,
    _data_fill_a_step,
    _tensor_parallel_divides,
    _sequence_parallel_divides,
)
