"""What a configuration of TRL's says besides the common terms of a job."""

from collections.abc import Iterator

from diagnostics.rules.convert_job import Item, Left
from diagnostics.rules.convert_values import LOSS_AGG, SCHEDULERS, given_items
from diagnostics.rules.foreign import Foreign
from diagnostics.rules.job import Job
from diagnostics.rules.telling import count, flag, number, text

COVERED: tuple[str, ...] = (
    r"^dataset_config$",
    r"^use_peft$",
    r"^use_vllm$",
    r"^scale_rewards$",
    r"^beta$",
    r"^epsilon",
    r"num_generations",
    r"^eval_",
    r"^accelerate\.(num_|distributed_type)",
    r"^accelerate\.deepspeed_config\.(zero_stage|offload)",
    r"^accelerate\.fsdp_config\.fsdp_(offload|version)",
)
"""Names whose meaning the job's common terms already hold."""
REASONS: tuple[tuple[str, str], ...] = (
    (r"^vllm_server|vllm_group_port", "there is no server mode: the engine runs inside the ranks"),
    (r"^vllm_importance", "only truncation per token (tis_cap)"),
    (r"^(push_to_hub|hub_)", "nothing is pushed to the hub: rft export writes a Hugging Face folder"),
    (r"^(gradient_accumulation|generation_batch|steps_per_gen)", "follows from the batch sizes"),
    (
        r"^(bf16|fp16|dtype|torch_dtype|model_init)",
        "bfloat16 with float32 masters unless bf16 is false",
    ),
    (r"^ref_model|sync_ref", "the reference model stays as it is"),
    (r"^(do_eval|do_train|eval_on)", "evaluation runs at start, end and every eval_interval"),
    (r"^accelerate\.", "ranks are started by torchrun, without accelerate"),
    (r"mask_truncated", "truncated responses count: use overlong_buffer_len"),
    (r"^reward_weights", "give weights in reward_rule (rule@weight)"),
)


def trl_items(foreign: Foreign, job: Job) -> Iterator[Item | Left]:
    name, config = text(foreign, "dataset_name"), text(foreign, "dataset_config")
    if name and "$" not in name:
        yield Item("data.prompt_data", f"{name}:{config}" if config else name, "dataset_name")
        yield Item("data.prompt_split", text(foreign, "dataset_train_split", "train"), "dataset_train_split")
    yield Item("data.input_key", "prompt", "", "TRL's column")
    yield Item("data.apply_chat_template", True, "", "as TRL does with conversations")
    functions = foreign.get("reward_funcs")
    names = functions if isinstance(functions, list) else [functions] if functions else []
    if [str(each) for each in names] in (["accuracy_reward"], ["accuracy"]):
        yield Item(
            "reward.reward_rule", "math", "reward_funcs", "compares with the answer, as accuracy_reward does"
        )
        yield Item("data.label_key", "solution", "", "accuracy_reward's column")
    elif names:
        yield Left(
            "reward_funcs", f"write {', '.join(map(str, names))} as one reward_fn, or choose a reward_rule"
        )
    scheduler = text(foreign, "lr_scheduler_type", "linear")
    if scheduler in SCHEDULERS:
        remark = "ends at 10 % of the peak here" if scheduler in ("linear", "cosine") else ""
        yield Item("optim.lr_scheduler", SCHEDULERS[scheduler], "lr_scheduler_type", remark)
    else:
        yield Left("lr_scheduler_type", "learning rates are constant, linear or cosine here")
    yield from _trl_warmup(foreign)
    yield Item("optim.max_norm", number(foreign, "max_grad_norm", 1.0), "max_grad_norm")
    yield Item("optim.l2", number(foreign, "weight_decay", 0.0), "weight_decay")
    betas = (number(foreign, "adam_beta1", 0.9), number(foreign, "adam_beta2", 0.999))
    yield Item("optim.adam_betas", betas, "adam_beta2")
    loss = text(foreign, "loss_type", "dapo")
    if loss in LOSS_AGG:
        yield Item("algorithm.loss_agg", LOSS_AGG[loss], "loss_type")
    else:
        yield Left("loss_type", f"the loss {loss} is not in this version")
    if text(foreign, "importance_sampling_level", "token") != "token":
        yield Left(
            "importance_sampling_level", "importance weights are per token here (GSPO is not in this version)"
        )
    if flag(foreign, "use_vllm") and flag(foreign, "vllm_importance_sampling_correction", True):
        cap = number(foreign, "vllm_importance_sampling_clip_max", 3.0)
        remark = "token weights are truncated here; TRL masks sequences unless told otherwise"
        yield Item("algorithm.tis_cap", cap, "vllm_importance_sampling_clip_max", remark)
    entropy = number(foreign, "entropy_coef", 0.0)
    if entropy:
        yield Item("algorithm.entropy_coef", entropy, "entropy_coef")
    steps = count(foreign, "max_steps", -1)
    if steps and steps > 0:
        yield Item("optim.max_steps", steps, "max_steps")
    if text(foreign, "eval_strategy", "no") == "steps" and name and "$" not in name:
        yield Item("eval.eval_data", f"{name}:{config}" if config else name, "dataset_name")
        yield Item("eval.eval_split", text(foreign, "dataset_test_split", "test"), "dataset_test_split")
        yield from given_items(foreign, {"eval_steps": "eval.eval_interval"})
    saved = number(foreign, "save_steps")
    if saved and saved >= 1 and "save_steps" in foreign.settings:
        yield Item("checkpoint.save_steps", int(saved), "save_steps")
    yield from given_items(
        foreign, {"output_dir": "checkpoint.save_path", "save_total_limit": "checkpoint.max_ckpt_num"}
    )
    yield from given_items(foreign, {"seed": "run.seed", "lora_dropout": "model.lora_dropout"})
    yield from given_items(foreign, {"trust_remote_code": "model.trust_remote_code"})
    top_k = count(foreign, "top_k")
    if top_k is not None:
        yield Item("rollout.top_k", top_k or -1, "top_k")
    if foreign.get("logging_steps") is not None and (count(foreign, "logging_steps") or 0) > 0:
        yield Item("logging.log_interval", count(foreign, "logging_steps"), "logging_steps")


def _trl_warmup(foreign: Foreign) -> Iterator[Item | Left]:
    ratio, steps = number(foreign, "warmup_ratio"), number(foreign, "warmup_steps", 0)
    if ratio is not None:
        yield Item("optim.lr_warmup_ratio", ratio, "warmup_ratio")
    elif steps is not None and steps < 1:
        yield Item("optim.lr_warmup_ratio", steps, "warmup_steps")
    else:
        yield Left("warmup_steps", "warm-up is a share of all steps here: set lr_warmup_ratio")
