"""Rules about everything else: required values, lengths, rewards, losses, and settings without effect."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from engine.config.batch import divides_evenly, generate_max_len
from engine.config.choices import engine_name
from engine.config.registry import parameters, value_of
from engine.config.rule import Facts, Rule, finding, rule, use
from engine.config.sections import RolloutSection, RunConfig
from engine.config.values import show
from engine.findings import Finding, Fix

REWARDS = ("reward.reward_rule", "reward.reward_fn", "reward.reward_pretrain", "reward.remote_rm_url")
GROUP_ESTIMATORS = {"group_norm", "dr_grpo", "rloo", "reinforce_baseline", "cpgd", "gspo", "gmpo"}
KL_IN_REWARD = {"reinforce", "reinforce_baseline", "gae"}
LENGTHS = ("rollout.max_len", "rollout.prompt_max_len", "rollout.generate_max_len")


@rule("model.pretrain", "data.prompt_data")
def _required(facts: Facts) -> Iterator[Finding]:
    given = {
        "model.pretrain": (facts.config.model.pretrain, "which model to train", "Qwen/Qwen2.5-0.5B-Instruct"),
        "data.prompt_data": (facts.config.data.prompt_data, "what to train on", "prompts.jsonl"),
    }
    for key, (value, what, example) in given.items():
        if not value.strip():
            name = key.partition(".")[2]
            fix = Fix(f"give {name}: {parameters()[key].help.rstrip('.')}")
            yield finding(
                "config.missing-value",
                key,
                f"{name} is not set: {what} is not known",
                fix,
                evidence=(f"for example --{name} {example}",),
            )


@rule(*REWARDS)
def _a_reward(facts: Facts) -> Iterator[Finding]:
    reward = facts.config.reward
    if not any((reward.reward_rule, reward.reward_fn, reward.reward_pretrain, reward.remote_rm_url)):
        yield finding(
            "reward.missing",
            "reward.reward_rule",
            "there is no reward: neither reward_rule nor reward_fn is set",
            Fix("name a built-in rule", command="--reward_rule math"),
            Fix("give a function of your own", command="--reward_fn rewards.py:score"),
        )


@rule(*LENGTHS, "rollout.generate_min_len")
def _lengths(facts: Facts) -> Iterator[Finding]:
    rollout = facts.config.rollout
    longest, prompt, response = rollout.max_len, rollout.prompt_max_len, rollout.generate_max_len
    if prompt >= longest:
        yield finding(
            "rollout.no-room-for-response",
            "rollout.prompt_max_len",
            f"prompt_max_len = {prompt} leaves no room for a response in max_len = {longest}",
            use("rollout.prompt_max_len", longest // 2),
            use("rollout.max_len", prompt + (response or prompt)),
        )
        return
    if response is not None and prompt + response > longest:
        yield finding(
            "rollout.lengths",
            "rollout.generate_max_len",
            f"prompt_max_len + generate_max_len = {prompt} + {response} = {prompt + response} exceeds "
            f"max_len = {longest}",
            use("rollout.generate_max_len", longest - prompt),
            use("rollout.max_len", prompt + response),
        )
    room = generate_max_len(facts.config)
    if rollout.generate_min_len > room:
        yield finding(
            "rollout.min-above-max",
            "rollout.generate_min_len",
            f"generate_min_len = {rollout.generate_min_len} exceeds the longest response, {room}",
            use("rollout.generate_min_len", room),
        )


@rule("rollout.max_len", "rollout.engine_type")
def _context(facts: Facts) -> Iterator[Finding]:
    context, longest = _positions(facts), facts.config.rollout.max_len
    if context is not None and longest > context:
        yield finding(
            "rollout.beyond-context",
            "rollout.max_len",
            f"max_len = {longest} is longer than the {context} positions the model was made for",
            _within(context, facts.config.rollout),
            severity="error" if engine_name(facts.config) == "vllm" else "warning",  # vLLM does not start
        )


def _positions(facts: Facts) -> int | None:
    """Positions that the model was made for. Of stretched rotary positions, `linear` and `dynamic` ones count
    times their factor, as vLLM counts; files with other kinds (yarn, llama3, longrope) state the product."""
    context = facts.of_model("max_position_embeddings")
    if not isinstance(context, int):
        return None
    rope = facts.of_model("rope_parameters") or facts.of_model("rope_scaling")
    stretched = isinstance(rope, dict) and rope.get("rope_type", rope.get("type")) in ("linear", "dynamic")
    return int(context * (rope.get("factor") or 1)) if stretched else context


def _within(context: int, rollout: RolloutSection) -> Fix:
    """Lengths that fit into `context` together: a prompt that would take all of it gets half."""
    prompt = rollout.prompt_max_len if rollout.prompt_max_len < context else context // 2
    lengths = {"max_len": context, "prompt_max_len": prompt}
    if rollout.generate_max_len is not None:
        lengths["generate_max_len"] = min(rollout.generate_max_len, context - prompt)
    changed = {k: v for k, v in lengths.items() if v != getattr(rollout, k)}
    text = "set " + ", ".join(f"{name} to {value}" for name, value in changed.items())
    return Fix(text, set={f"rollout.{name}": value for name, value in changed.items()})


@rule(*LENGTHS, "reward.overlong_buffer_len")
def _overlong_buffer(facts: Facts) -> Iterator[Finding]:
    buffer, longest = facts.config.reward.overlong_buffer_len, generate_max_len(facts.config)
    if 0 < longest < buffer:
        yield finding(
            "reward.overlong-buffer",
            "reward.overlong_buffer_len",
            f"overlong_buffer_len = {buffer} exceeds the longest response, {longest}: all would be penalised",
            use("reward.overlong_buffer_len", longest),
        )


@rule("batch.max_tokens_per_micro_batch", "rollout.max_len")
def _token_budget(facts: Facts) -> Iterator[Finding]:
    budget, longest = facts.config.batch.max_tokens_per_micro_batch, facts.config.rollout.max_len
    if budget is not None and budget < longest:
        yield finding(
            "batch.token-budget-below-max-len",
            "batch.max_tokens_per_micro_batch",
            f"max_tokens_per_micro_batch = {budget} is less than max_len = {longest}: a longer sequence "
            "becomes a micro-batch by itself, over the budget",
            use("batch.max_tokens_per_micro_batch", longest),
            severity="warning",
        )


@rule("algorithm.advantage_estimator", "batch.n_samples_per_prompt", "batch.train_batch_size")
def _groups_need_samples(facts: Facts) -> Iterator[Finding]:
    config = facts.config
    estimator = config.algorithm.advantage_estimator
    if estimator not in GROUP_ESTIMATORS or config.batch.n_samples_per_prompt > 1:
        return
    yield finding(
        "algorithm.group-needs-samples",
        "batch.n_samples_per_prompt",
        f"advantage_estimator = {estimator} compares responses to one prompt, but n_samples_per_prompt = 1",
        use("batch.n_samples_per_prompt", _smallest_group(config)),
    )


@rule("algorithm.kl_estimator", "algorithm.init_kl_coef", "algorithm.advantage_estimator")
def _k1_loss(facts: Facts) -> Iterator[Finding]:
    algorithm = facts.config.algorithm
    as_loss = algorithm.advantage_estimator not in KL_IN_REWARD
    if algorithm.kl_estimator == "k1" and algorithm.init_kl_coef > 0 and as_loss:
        yield finding(
            "algorithm.k1-loss",
            "algorithm.kl_estimator",
            f"kl_estimator = k1 as a loss (advantage_estimator = {algorithm.advantage_estimator}) has a "
            "gradient of zero expectation: it would not hold the policy near the reference",
            use("algorithm.kl_estimator", "k3"),
            use("algorithm.kl_estimator", "k2"),
            use("algorithm.init_kl_coef", 0.0, "no KL term"),
        )


@rule("optim.actor_learning_rate", "optim.critic_learning_rate", "algorithm.advantage_estimator")
def _actor_slower_than_critic(facts: Facts) -> Iterator[Finding]:
    optim = facts.config.optim
    if (
        facts.config.algorithm.advantage_estimator == "gae"
        and optim.actor_learning_rate > optim.critic_learning_rate
    ):
        yield finding(
            "optim.actor-lr-above-critic",
            "optim.actor_learning_rate",
            f"actor_learning_rate = {optim.actor_learning_rate:g} exceeds critic_learning_rate = "
            f"{optim.critic_learning_rate:g}: the policy moves before its critic is right",
            use("optim.actor_learning_rate", optim.critic_learning_rate / 10),
            severity="warning",
        )


@rule("eval.eval_interval", "eval.eval_data")
def _evaluation_needs_data(facts: Facts) -> Iterator[Finding]:
    if facts.config.eval.eval_interval > 0 and not facts.config.eval.eval_data:
        yield finding(
            "eval.no-data",
            "eval.eval_data",
            f"eval_interval = {facts.config.eval.eval_interval}, but there is no eval_data to evaluate on",
            Fix(
                "give held-out prompts; the training prompts are never taken instead",
                command="--eval_data test.jsonl",
            ),
            use("eval.eval_interval", 0),
        )


@rule("data.prompt_data", "data.prompt_data_probs")
def _source_shares(facts: Facts) -> Iterator[Finding]:
    shares = facts.config.data.prompt_data_probs
    if shares is None:
        return
    count = len([source for source in facts.config.data.prompt_data.split(",") if source.strip()])
    if len(shares) == count and abs(sum(shares) - 1) < 1e-6:
        return
    equal = (
        tuple([round(1 / count, 6)] * (count - 1) + [round(1 - round(1 / count, 6) * (count - 1), 6)])
        if count
        else None
    )
    yield finding(
        "data.source-shares",
        "data.prompt_data_probs",
        f"prompt_data_probs = {show(shares)} are {len(shares)} shares with sum {sum(shares):g}; "
        f"prompt_data has {count} sources and the shares must sum to 1",
        use("data.prompt_data_probs", equal) if equal else Fix("give prompt_data"),
        Fix("leave prompt_data_probs out: sources count by their size", set={"data.prompt_data_probs": None}),
    )


class _Effect(NamedTuple):
    """A parameter that does nothing unless `works(config)`, which `needs` says in words."""

    key: str
    needs: str
    works: Callable[[RunConfig], Any]


_EFFECTS = (
    _Effect(
        "reward.reward_running_norm_minus_mean", "reward_running_norm", lambda c: c.reward.reward_running_norm
    ),
    _Effect("reward.overlong_penalty", "overlong_buffer_len > 0", lambda c: c.reward.overlong_buffer_len),
    _Effect("algorithm.kl_target", "init_kl_coef > 0", lambda c: c.algorithm.init_kl_coef),
    _Effect("algorithm.kl_horizon", "kl_target", lambda c: c.algorithm.kl_target),
    _Effect(
        "batch.micro_train_batch_size",
        "max_tokens_per_micro_batch to be unset",
        lambda c: not c.batch.max_tokens_per_micro_batch,
    ),
    _Effect("model.lora_alpha", "lora_rank > 0", lambda c: c.model.lora_rank),
    _Effect("model.lora_dropout", "lora_rank > 0", lambda c: c.model.lora_rank),
    _Effect("model.target_modules", "lora_rank > 0", lambda c: c.model.lora_rank),
    _Effect(
        "memory.adam_offload",
        "fsdp_cpu_offload to be off, which keeps all states in host memory already",
        lambda c: not c.memory.fsdp_cpu_offload,
    ),
    _Effect(
        "memory.ref_reward_offload",
        "a reference model (init_kl_coef > 0, lora_rank = 0), and fsdp_cpu_offload to be off",
        lambda c: c.algorithm.init_kl_coef and not c.model.lora_rank and not c.memory.fsdp_cpu_offload,
    ),
    *(
        _Effect(f"rollout.{name}", "engine_type vllm or sglang", lambda c: engine_name(c) != "hf")
        for name in (
            "engine_mem_util",
            "engine_kv_cache_gb",
            "engine_quantization",
            "engine_prefix_caching",
            "engine_enforce_eager",
        )
    ),
    _Effect("eval.eval_temperatures", "eval_data", lambda c: c.eval.eval_data),
    _Effect("eval.eval_top_p", "eval_data", lambda c: c.eval.eval_data),
    _Effect("eval.max_eval_samples", "eval_data", lambda c: c.eval.eval_data),
    _Effect("checkpoint.ckpt_path", "load_checkpoint", lambda c: c.checkpoint.load_checkpoint),
)


@rule()
def _no_effect(facts: Facts) -> Iterator[Finding]:
    for key, needs, works in _EFFECTS:
        name, value = key.partition(".")[2], value_of(facts.config, key)
        default = parameters()[key].default
        if value != default and not works(facts.config):
            cause = f"{name} = {show(value)} has no effect: it needs {needs}"
            yield finding(
                "config.no-effect", key, cause, use(key, default, "the default"), severity="warning"
            )


def _smallest_group(config: RunConfig) -> int:
    """The smallest n ≥ 2 with which rollouts and steps line up; 2 where none up to 1024 does."""
    for n in range(2, min(config.batch.train_batch_size, 1024) + 2):
        batch = config.batch.model_copy(update={"n_samples_per_prompt": n})
        if divides_evenly(config.model_copy(update={"batch": batch})):
            return n
    return 2


RULES: tuple[Rule, ...] = (
    _required,
    _a_reward,
    _lengths,
    _context,
    _overlong_buffer,
    _token_budget,
    _groups_need_samples,
    _k1_loss,
    _actor_slower_than_critic,
    _evaluation_needs_data,
    _source_shares,
    _no_effect,
)
