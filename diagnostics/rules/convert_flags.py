"""LightRFT and OpenRLHF: most names are ours."""

from collections.abc import Iterator

from diagnostics.rules.convert_job import Item, Left
from diagnostics.rules.convert_values import every, given_items
from diagnostics.rules.foreign import Foreign
from diagnostics.rules.job import Job
from diagnostics.rules.telling import count, flag, number

LIGHTRFT_COVERED: tuple[str, ...] = (
    r"^fsdp$",
    r"^zero_stage$",
    r"^use_kl_loss$",
    r"^init_kl_coef$",
    r"^adam_offload$",
    r"^fsdp_cpu_offload$",
    r"^overlong_buffer.*$",
    r"^save_steps$",
)
OPENRLHF_COVERED: tuple[str, ...] = (
    r"zero_stage",
    r"use_kl_loss",
    r"kl_coef",
    r"(save|eval)_steps",
    r"num_(nodes|gpus)",
    r"vllm_num",
    r"colocate",
)
LIGHTRFT_REASONS: tuple[tuple[str, str], ...] = (
    (r"vl|image|video|mm_|vit|processor", "vision is not in this version"),
    (r"^(reward|remote_rm|rm_)", "rewards are a reward_rule or reward_fn"),
    (r"^ds_|deepspeed|zpg|overlap_comm|grad_accum", "DeepSpeed's details are not exposed"),
)
OPENRLHF_REASONS: tuple[tuple[str, str], ...] = (
    (
        r"^(ref|reward|critic|actor|vllm)_num|colocate|placement",
        "all roles share the ranks of one job",
    ),
    (r"^(reward|remote_rm|critic)", "rewards are a reward_rule or reward_fn, and there is no critic"),
    (r"ring_|ds_|deepspeed|zpg|adam_offload", "DeepSpeed's details are not exposed"),
)


def flags_items(foreign: Foreign, job: Job) -> Iterator[Item | Left]:
    """LightRFT and OpenRLHF: most names are ours; a few count or mean something else."""
    if "eval_data" in foreign.settings:
        yield from every(foreign, job, "eval_steps", "eval.eval_interval")
    elif "eval_steps" in foreign.settings:
        yield Left("eval_steps", "there is no eval_data, and training prompts are never taken instead")
    yield from every(foreign, job, "save_steps", "checkpoint.save_steps")
    yield from given_items(
        foreign, {"logging_steps": "logging.log_interval", "adam_betas": "optim.adam_betas"}
    )
    if flag(foreign, "overlong_buffer"):
        length = count(foreign, "overlong_buffer_len", 1024)
        yield Item("reward.overlong_buffer_len", length, "overlong_buffer_len")
        yield Item(
            "reward.overlong_penalty",
            number(foreign, "overlong_buffer_penalty_factor", 1.0),
            "overlong_buffer_penalty_factor",
        )
    if foreign.framework == "lightrft":
        yield Left(
            "reward_pretrain", "LightRFT's rewards are Python in the example: give yours with reward_fn"
        )
        yield Item("optim.lr_scheduler", "cosine", "", "LightRFT's, not selectable there")
