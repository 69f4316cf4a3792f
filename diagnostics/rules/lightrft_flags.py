"""LightRFT's options with their defaults, read in its source of March 2026; what its guide says otherwise."""

from diagnostics.rules.flags import Flag, real, switch, text, texts, whole

NEWER_ESTIMATORS = ("on_policy_distillation",)
"""Since spring 2026."""
ESTIMATORS = (
    "gae", "reinforce", "rloo", "reinforce_baseline", "group_norm", "cpgd", "reinforce++", *NEWER_ESTIMATORS,
)  # fmt: skip

INSTEAD = {"gspo": "group_norm", "gmpo": "group_norm", "grpo": "group_norm", "ppo": "gae"}
"""Of what the guide, or habit, calls an estimator."""

FLAGS: dict[str, Flag] = {
    # engine
    "engine_type": text("vllm"),
    "text_only": switch(),
    "engine_tp_size": whole(1),
    "engine_mem_util": real(0.5),
    "enable_engine_sleep": switch(True),
    "disable_engine_sleep": Flag("switch", False, sets="enable_engine_sleep", value=False),
    "limit_mm_image_per_prompt": whole(-1),
    "rm_use_engine": switch(),
    "rm_engine_cudagraph": switch(),
    # checkpoints, logs
    "save_path": text("./ckpt"),
    "ckpt_path": text("./ckpt/checkpoints_ppo"),
    "save_steps": whole(-1),
    "save_hf_ckpt": switch(),
    "disable_ds_ckpt": switch(),
    "load_checkpoint": switch(),
    "max_ckpt_num": whole(3),
    "max_ckpt_mem": whole(100_000_000),
    "save_value_network": switch(),
    "save_trajectories": switch(),
    "num_trajectories_to_save": whole(10),
    "mark_high_entropy_tokens": switch(),
    "trajectory_analysis": switch(),
    "print_replay_buffer_stats": switch(),
    "logging_steps": whole(1),
    "eval_steps": whole(-1),
    "log_dir": text(),
    "plot_every": whole(10),
    "use_tensorboard": text(),
    "use_wandb": text(),
    "wandb_org": text(),
    "wandb_group": text(),
    "wandb_project": text("lightrft_train_ppo"),
    "wandb_run_name": text(),
    # batches, lengths
    "num_episodes": whole(1),
    "max_epochs": whole(1),
    "rollout_batch_size": whole(512),
    "micro_rollout_batch_size": whole(8),
    "train_batch_size": whole(128),
    "micro_train_batch_size": whole(4),
    "n_samples_per_prompt": whole(1),
    "prompt_max_len": whole(1024),
    "generate_max_len": whole(1024),
    "max_len": whole(),
    "max_samples": whole(1_000_000),
    "max_eval_samples": whole(500),
    # algorithm
    "advantage_estimator": Flag("str", "gae", ESTIMATORS, instead=INSTEAD),
    "eps_clip": real(0.2),
    "value_clip": real(0.2),
    "gamma": real(1.0),
    "lambd": real(0.95),
    "use_kl_loss": switch(),
    "kl_estimator": text("k1", "k1", "k2", "k3"),
    "init_kl_coef": real(0.01),
    "kl_target": real(),
    "use_cpg_loss": switch(),
    "loss_agg_mode": text("seq-mean-token-mean"),
    "use_gspo": switch(),
    "normalize_advantages": switch(True),
    "use_sequence_rewards": switch(True),
    "dynamic_sampling": switch(),
    "overlong_buffer": switch(),
    "overlong_buffer_len": whole(1024),
    "overlong_buffer_penalty_factor": real(1.0),
    "reward_running_norm": switch(),
    "reward_running_norm_minus_mean": switch(),
    "reward_clip": real(0.0),
    "advantage_clip": real(0.0),
    "advantages_norm": switch(),
    "high_entropy_token_ratio": real(0.0),
    "use_fire": switch(),
    "first_token_temperature": real(10.0),
    "temperature": real(1.0),
    "top_p": real(1.0),
    "freezing_actor_steps": whole(-1),
    "ptx_coef": real(0.05),
    "aux_loss_coef": real(0.0),
    "actor_learning_rate": real(1e-6),
    "critic_learning_rate": real(9e-6),
    "lr_warmup_ratio": real(0.03),
    "adam_betas": real(values=2),
    "l2": real(0.0),
    "max_norm": real(1.0),
    "seed": whole(42),
    "local_rank": whole(-1),
    # distribution, memory
    "fsdp": switch(),
    "fsdp_cpu_offload": switch(),
    "use_mp_opt": switch(),
    "zero_stage": whole(2),
    "zpg": whole(1),
    "overlap_comm": switch(),
    "grad_accum_dtype": text(),
    "adam_offload": switch(),
    "bf16": switch(),
    "gradient_checkpointing": switch(),
    "gradient_checkpointing_use_reentrant": switch(),
    "flash_attn": switch(),
    "actor_init_on_gpu": switch(),
    "enable_ema": switch(),
    "meta_init": switch(),
    "initial_model_shard_size": whole(),
    "no_shard_vit": switch(),
    "chunk_size": whole(4096),
    "disable_logprobs_flashattn": switch(),
    "load_in_4bit": switch(),
    "fused_linear_logprob": switch(),
    "packing_samples": switch(),
    "sp_size": whole(1),
    "mixed_mm_data": switch(),
    "freeze_prefix": switch(),
    "lora_rank": whole(0),
    "lora_alpha": whole(16),
    "lora_dropout": real(0.0),
    "target_modules": texts("all-linear"),
    # models, data
    "pretrain": text(),
    "critic_pretrain": text(),
    "reward_pretrain": text(),
    "remote_rm_url": text(),
    "value_head_prefix": text("score"),
    "normalize_reward_for_critic": switch(),
    "prompt_data": text(),
    "prompt_data_probs": text("1.0"),
    "prompt_split": text("train"),
    "eval_data": text(),
    "eval_split": text("test"),
    "pretrain_data": text(),
    "pretrain_data_probs": text("1.0"),
    "pretrain_split": text("train"),
    "input_key": text("input"),
    "images_key": text("image"),
    "reference_key": text("reference"),
    "label_key": text("label"),
    "input_template": text(),
    "apply_chat_template": switch(),
    "system_prompt": text(),
    "use_ms": switch(),
    "disable_fast_tokenizer": switch(),
}

EXAMPLES: dict[str, dict[str, Flag]] = {
    "grm_vl_rl": {
        "fps": real(2.0),
        "max_pixels": whole(282_240),
        "system_prompt_path": text(),
        "limit_mm_video_per_prompt": whole(-1),
    },
    "math_prm": {
        "local_hf_generate_max_batch_size": whole(),
        "local_hf_max_new_tokens": whole(),
        "hf_separate_rollout_actor": switch(),
        "hf_separate_rollout_keep_on_gpu": switch(),
        "eval_holdout_size": whole(),
    },
    "r1_aqa": {
        "ckpt_path_local": text(),
        "advantage_estimator": Flag("str", "group_norm", ESTIMATORS, instead=INSTEAD),
        "kl_estimator": text("k3", "k1", "k2", "k3"),
        "n_samples_per_prompt": whole(8),
        "prompt_max_len": whole(512),
    },
}
"""What an example's own program adds or has other defaults of, by its folder."""

NOT_IN_GRM_VL_RL = (
    "eval_data", "eval_split", "eval_steps", "max_eval_samples", "enable_ema", "use_fire",
    "first_token_temperature", "pretrain_data", "pretrain_data_probs", "pretrain_split", "ptx_coef",
)  # fmt: skip

INVENTED: dict[str, str] = {
    "clip_range": "it is called --eps_clip, and is symmetric",
    "clip_range_higher": "there is no separate upper clip range; --eps_clip is symmetric",
    "save_interval": "it is called --save_steps, and counts rollouts, not episodes",
    "log_interval": "it is called --logging_steps",
    "num_workers": "the number of data loader workers cannot be set",
    "prefetch_factor": "the data loader's prefetching cannot be set",
    "dataloader_pin_memory": "it cannot be set; pinned memory is what the program chooses",
    "processor": "the processor is found from the model",
    "gspo_alpha": "no such method is in the code",
    "mirror_tau": "no such method is in the code",
    "use_length_penalty": "use --overlong_buffer",
    "use_clip_higher": "there is no separate upper clip range; --eps_clip is symmetric",
    "baseline_type": "choose it with --advantage_estimator",
    "kl_horizon": "the adaptive KL's horizon cannot be set; --kl_target turns it on",
    "reinforce_plus": "choose it with --advantage_estimator",
}
"""Options that LightRFT's guide names and its code does not have."""

GUIDE: dict[str, object] = {
    "max_len": 4096,
    "prompt_max_len": 2048,
    "actor_learning_rate": 5e-7,
    "micro_train_batch_size": 1,
    "micro_rollout_batch_size": 2,
    "advantage_estimator": "group_norm",
    "n_samples_per_prompt": 4,
    "kl_estimator": "k3",
    "init_kl_coef": 0.001,
    "kl_target": 0.01,
    "top_p": 0.9,
    "max_ckpt_mem": 1000,
}
"""Defaults as the guide gives them, where the code has others."""


def flags_of(example: str) -> dict[str, Flag]:
    """The options of an example's program; of one that is not known, all that any example has."""
    if example in EXAMPLES:
        table = FLAGS | EXAMPLES[example]
        missing = NOT_IN_GRM_VL_RL if example == "grm_vl_rl" else ()
        return {name: flag for name, flag in table.items() if name not in missing}
    if example == "gsm8k_geo3k":
        return FLAGS
    extra = {name: flag for own in EXAMPLES.values() for name, flag in own.items() if name not in FLAGS}
    return FLAGS | extra
