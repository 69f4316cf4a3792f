"""What a configuration of verl's says besides the common terms of a job."""

from collections.abc import Iterator

from diagnostics.rules.convert_job import Item, Left
from diagnostics.rules.convert_values import LOSS_AGG, SCHEDULERS, every, given_items
from diagnostics.rules.foreign import Foreign
from diagnostics.rules.job import Job
from diagnostics.rules.telling import count, flag, number, text
from diagnostics.rules.verl_defaults import ACTOR, MODEL, ROLLOUT

COVERED: tuple[str, ...] = (
    r"use_dynamic_bsz",
    r"use_kl_",
    r"kl_loss_",
    r"kl_ctrl",
    r"kl_penalty",
    r"micro_batch_size",
    r"max_token_len",
    r"fsdp_config",
    r"strategy",
    r"adv_estimator",
    r"norm_adv",
    r"use_fused_kernels",
    r"activation_offload",
    r"n_gpus_per_node",
    r"nnodes",
    r"hybrid_engine",
    r"clip_ratio",
    r"filter_groups",
    r"overlong_buffer",
    r"lr_warmup",
    r"test_freq",
    r"save_freq",
)
"""Names whose meaning the job's common terms already hold."""
REASONS: tuple[tuple[str, str], ...] = (
    (r"^critic\.", "there is no critic in this version"),
    (r"^reward_model\.", "reward models and managers are not in this version: write a reward_fn"),
    (r"rollout\.(multi_turn|agent|mode)", "rollouts are single-turn"),
    (
        r"log_prob_(max_token|use_dynamic)",
        "log-probs follow the training micro-batch or micro_rollout_batch_size",
    ),
    (r"\.megatron\.", "Megatron is not a strategy here"),
    (r"val_kwargs", "evaluation has eval_temperatures and eval_top_p, greedy by default"),
    (r"override_config", "the model's configuration is not overridden"),
    (r"ray|nccl_timeout", "there is no Ray: ranks are started by torchrun"),
    (r"filter_overlong|truncation", "too long prompts are always left out"),
    (r"balance_batch|shuffle|dataloader", "batches are always shuffled and balanced by length"),
    (
        r"ppo_micro_batch_size$|log_prob_micro_batch_size",
        "one micro-batch size for updates, one for log-probs",
    ),
)


def verl_items(foreign: Foreign, job: Job) -> Iterator[Item | Left]:
    files = foreign.get("data.train_files")
    if isinstance(files, list):
        files = ",".join(map(str, files))
    if isinstance(files, str) and "$" not in files and "data.train_files" in foreign.settings:
        yield Item("data.prompt_data", files, "data.train_files")
    yield Item("data.input_key", text(foreign, "data.prompt_key", "prompt"), "data.prompt_key")
    yield Left(
        "data.reward_fn_key",
        "verl's rows hold the answer inside reward_model.ground_truth: copy it to a column, and name it "
        "with label_key",
    )
    yield Item("data.apply_chat_template", True, "", "verl's prompts are chat messages")
    yield from _verl_reward(foreign)
    yield Item("optim.lr_scheduler", SCHEDULERS.get(_verl_schedule(foreign), "constant"), f"{ACTOR}.optim")
    ratio = number(foreign, f"{ACTOR}.optim.lr_warmup_steps_ratio", 0.0)
    yield Item("optim.lr_warmup_ratio", ratio, f"{ACTOR}.optim.lr_warmup_steps_ratio")
    if (count(foreign, f"{ACTOR}.optim.lr_warmup_steps", -1) or -1) > 0:
        yield Left(
            f"{ACTOR}.optim.lr_warmup_steps", "warm-up is a share of all steps here: set lr_warmup_ratio"
        )
    yield Item("optim.max_norm", number(foreign, f"{ACTOR}.grad_clip", 1.0), f"{ACTOR}.grad_clip")
    yield Item(
        "optim.l2", number(foreign, f"{ACTOR}.optim.weight_decay", 0.01), f"{ACTOR}.optim.weight_decay"
    )
    yield Item("optim.adam_betas", (0.9, 0.999), "", "verl's")
    mode = LOSS_AGG.get(text(foreign, f"{ACTOR}.loss_agg_mode", "token-mean"))
    if mode:
        yield Item("algorithm.loss_agg", mode, f"{ACTOR}.loss_agg_mode")
    yield Item("algorithm.dual_clip", number(foreign, f"{ACTOR}.clip_ratio_c", 3.0), f"{ACTOR}.clip_ratio_c")
    entropy = number(foreign, f"{ACTOR}.entropy_coeff", 0)
    if entropy:
        yield Item("algorithm.entropy_coef", entropy, f"{ACTOR}.entropy_coeff")
    if flag(foreign, "algorithm.filter_groups.enable"):
        yield Left(
            "algorithm.filter_groups.enable", "groups are not resampled in this version (dynamic_sampling)"
        )
    buffer = count(foreign, "reward_model.overlong_buffer.len")
    if buffer and flag(foreign, "reward_model.overlong_buffer.enable"):
        yield Item("reward.overlong_buffer_len", buffer, "reward_model.overlong_buffer.len")
        penalty = number(foreign, "reward_model.overlong_buffer.penalty_factor", 1.0)
        yield Item("reward.overlong_penalty", penalty, "reward_model.overlong_buffer.penalty_factor")
    if (
        flag(foreign, "actor_rollout_ref.ref.fsdp_config.param_offload")
        and job.reference
        and not job.lora_rank
    ):
        yield Item("memory.ref_reward_offload", True, "actor_rollout_ref.ref.fsdp_config.param_offload")
    evaluated = foreign.get("data.val_files")
    if isinstance(evaluated, str) and "$" not in evaluated and "data.val_files" in foreign.settings:
        yield Item("eval.eval_data", evaluated, "data.val_files")
        yield from every(foreign, job, "trainer.test_freq", "eval.eval_interval")
    yield from every(foreign, job, "trainer.save_freq", "checkpoint.save_steps")
    yield from given_items(foreign, {"trainer.default_local_dir": "checkpoint.save_path"})
    yield from given_items(
        foreign,
        {f"{ROLLOUT}.top_k": "rollout.top_k", f"{ROLLOUT}.enforce_eager": "rollout.engine_enforce_eager"},
    )
    yield from given_items(foreign, {f"{MODEL}.trust_remote_code": "model.trust_remote_code"})
    yield from given_items(foreign, {"trainer.total_training_steps": "optim.max_steps"})


def _verl_schedule(foreign: Foreign) -> str:
    named = foreign.get(f"{ACTOR}.optim.lr_scheduler_type") or foreign.get(f"{ACTOR}.optim.warmup_style")
    return str(named or "constant")


def _verl_reward(foreign: Foreign) -> Iterator[Item | Left]:
    path = text(foreign, "custom_reward_function.path")
    if path and "$" not in path:
        name = text(foreign, "custom_reward_function.name", "compute_score")
        yield Item(
            "reward.reward_fn",
            f"{path}:{name}",
            "custom_reward_function.path",
            "it is called in another way here",
        )
        yield Left(
            "custom_reward_function.name",
            "verl calls it with one data_source, solution_str, ground_truth at a time: ours gets lists of "
            "responses and labels",
        )
