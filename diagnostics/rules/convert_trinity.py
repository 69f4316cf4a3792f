"""What a configuration of Trinity-RFT's says besides the common terms of a job."""

from collections.abc import Iterator

from diagnostics.rules.convert_job import Item, Left
from diagnostics.rules.convert_values import LOSS_AGG, SCHEDULERS, given_items
from diagnostics.rules.foreign import Foreign
from diagnostics.rules.job import Job
from diagnostics.rules.telling import count, number, text

COVERED: tuple[str, ...] = (
    r"subset_name$",
    r"algorithm_type",
    r"kl_(loss|penalty)_fn",
    r"lora_configs",
    r"max_(model_len|prompt|response)",
    r"use_dynamic_bsz",
    r"max_token_len",
    r"engine_(num|type)",
    r"tensor_parallel",
    r"rollout_args",
    r"clip_range",
    r"eval_(tasksets|interval)",
    r"^mode$",
    r"cluster",
    r"storage_type$",
    r"\.name$",
)
"""Names whose meaning the job's common terms already hold."""
REASONS: tuple[tuple[str, str], ...] = (
    (r"^(project|group|name|checkpoint_root_dir)$", "a run has a name and a directory of its own"),
    (r"^trainer\.trainer_type", "there is no verl inside"),
    (r"^synchronizer\.", "weights go to the engine in memory before every rollout"),
    (
        r"^(explorer|buffer\.trainer_input|cluster)",
        "explorer and trainer are one job here, without buffers between",
    ),
    (r"^trainer\.trainer_config", "there is no verl inside"),
    (r"^(data_processor|service|stages)", "data pipelines and stages are not in this version"),
    (r"^monitor", "runs write events that rftui shows"),
)


def trinity_items(foreign: Foreign, job: Job) -> Iterator[Item | Left]:
    task = "buffer.explorer_input.taskset"
    path, subset = text(foreign, f"{task}.path"), text(foreign, f"{task}.subset_name")
    if path and "$" not in path and not path.upper().startswith("/PATH/TO"):
        yield Item("data.prompt_data", f"{path}:{subset}" if subset else path, f"{task}.path")
        yield from given_items(foreign, {f"{task}.split": "data.prompt_split"})
    yield from given_items(
        foreign,
        {
            f"{task}.format.prompt_key": "data.input_key",
            f"{task}.format.response_key": "data.label_key",
            f"{task}.format.system_prompt": "data.system_prompt",
        },
    )
    yield Item("data.apply_chat_template", True, "", "as Trinity's workflows do")
    workflow = text(foreign, "buffer.explorer_input.default_workflow_type")
    if workflow in ("math_workflow", "math_boxed_workflow"):
        setting = "buffer.explorer_input.default_workflow_type"
        remark = "the answer alone counts here; math_workflow also scores the format"
        yield Item("reward.reward_rule", "math", setting, remark)
    elif workflow:
        yield Left(
            "buffer.explorer_input.default_workflow_type", "write the workflow's reward as a reward_fn"
        )
    for name in ("algorithm.optimizer.lr_scheduler_type", "algorithm.optimizer.warmup_style"):
        if (given := text(foreign, name)) in SCHEDULERS:
            yield Item("optim.lr_scheduler", SCHEDULERS[given], name)
            break
    else:
        yield Item("optim.lr_scheduler", "constant", "", "Trinity's default")
    ratio = number(foreign, "algorithm.optimizer.lr_warmup_steps_ratio", 0.0)
    yield Item("optim.lr_warmup_ratio", ratio, "algorithm.optimizer.lr_warmup_steps_ratio")
    yield Item("optim.max_norm", number(foreign, "trainer.grad_clip", 1.0), "trainer.grad_clip")
    mode = LOSS_AGG.get(text(foreign, "algorithm.loss_agg_mode", "token-mean"))
    if mode:
        yield Item("algorithm.loss_agg", mode, "algorithm.loss_agg_mode")
    sets = foreign.get("buffer.explorer_input.eval_tasksets")
    if (
        isinstance(sets, list)
        and sets
        and isinstance(sets[0], dict)
        and "$" not in str(sets[0].get("path", "$"))
    ):
        name, part = str(sets[0]["path"]), sets[0].get("subset_name")
        yield Item(
            "eval.eval_data", f"{name}:{part}" if part else name, "buffer.explorer_input.eval_tasksets"
        )
        yield Item(
            "eval.eval_split", str(sets[0].get("split", "test")), "buffer.explorer_input.eval_tasksets"
        )
        yield from given_items(foreign, {"explorer.eval_interval": "eval.eval_interval"})
        if len(sets) > 1:
            yield Left(
                "buffer.explorer_input.eval_tasksets", f"one set is evaluated here, the first of {len(sets)}"
            )
    saved = count(foreign, "trainer.save_interval")
    if saved and saved > 0:
        yield Item("checkpoint.save_steps", saved, "trainer.save_interval")
    interval = count(foreign, "synchronizer.sync_interval", 1)
    if interval and interval > 1:
        yield Left(
            "synchronizer.sync_interval",
            f"weights are synchronised before every rollout, not each {interval} steps",
        )
    yield from given_items(
        foreign,
        {
            "explorer.rollout_model.enforce_eager": "rollout.engine_enforce_eager",
            "explorer.rollout_model.enable_prefix_caching": "rollout.engine_prefix_caching",
            "explorer.rollout_model.seed": "run.seed",
        },
    )
