"""TRL's own values of the settings that are looked at (GRPOConfig and ModelConfig of TRL 1.16)."""

from collections.abc import Mapping
from typing import Any

DEFAULTS: Mapping[str, Any] = {
    "per_device_train_batch_size": 8,
    "per_device_eval_batch_size": 8,
    "gradient_accumulation_steps": 1,
    "generation_batch_size": None,
    "steps_per_generation": None,
    "num_generations": 8,
    "num_generations_eval": None,
    "max_completion_length": 512,
    "max_prompt_length": None,
    "num_iterations": 1,
    "temperature": 1.0,
    "top_p": 1.0,
    "top_k": 0,
    "beta": 0.0,
    "epsilon": 0.2,
    "epsilon_high": None,
    "scale_rewards": "group",
    "loss_type": "dapo",
    "importance_sampling_level": "token",
    "learning_rate": 1e-6,
    "lr_scheduler_type": "linear",
    "max_grad_norm": 1.0,
    "weight_decay": 0.0,
    "num_train_epochs": 3.0,
    "max_steps": -1,
    "gradient_checkpointing": True,
    "eval_strategy": "no",
    "use_vllm": False,
    "vllm_mode": "colocate",
    "vllm_gpu_memory_utilization": 0.3,
    "vllm_tensor_parallel_size": 1,
    "vllm_enable_sleep_mode": False,
    "vllm_max_model_length": None,
    "vllm_importance_sampling_correction": True,
    "vllm_importance_sampling_mode": "sequence_mask",
    "vllm_importance_sampling_clip_max": 3.0,
    "sync_ref_model": False,
    "use_peft": False,
    "lora_r": 16,
    "lora_alpha": 32,
    "lora_dropout": 0.05,
    "load_in_4bit": False,
    "load_in_8bit": False,
    "dtype": "float32",
    "dataset_train_split": "train",
    "dataset_test_split": "test",
    "seed": 42,
    "save_steps": 500,
}
SHIPPED_ACCELERATE: Mapping[str, Mapping[str, Any]] = {
    "single_gpu": {"distributed_type": "NO", "num_processes": 1},
    "multi_gpu": {"distributed_type": "MULTI_GPU", "num_processes": 8},
    **{
        f"zero{stage}": {
            "distributed_type": "DEEPSPEED",
            "num_processes": 8,
            "deepspeed_config.zero_stage": stage,
        }
        for stage in (1, 2, 3)
    },
    **{
        f"fsdp{version}": {
            "distributed_type": "FSDP",
            "num_processes": 8,
            "fsdp_config.fsdp_version": version,
        }
        for version in (1, 2)
    },
}
"""What `--accelerate_config NAME` of `trl grpo` means."""
