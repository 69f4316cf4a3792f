"""Trinity-RFT's own values of the settings that are looked at (0.4 to 0.6)."""

from collections.abc import Mapping
from typing import Any

ROLLOUT, VERL = "explorer.rollout_model", "trainer.trainer_config.actor_rollout_ref"

DEFAULTS: Mapping[str, Any] = {
    "mode": "both",
    "algorithm.algorithm_type": "ppo",
    "algorithm.repeat_times": 1,
    "algorithm.optimizer.lr": 1e-6,
    "model.temperature": 1.0,
    "model.top_p": 1.0,
    "buffer.batch_size": 1,
    "buffer.train_batch_size": 0,
    "buffer.total_epochs": 1,
    "explorer.runner_per_model": 8,
    "explorer.eval_interval": 100,
    "explorer.over_rollout.ratio": 0.0,
    f"{ROLLOUT}.engine_type": "vllm",
    f"{ROLLOUT}.engine_num": 1,
    f"{ROLLOUT}.tensor_parallel_size": 1,
    f"{ROLLOUT}.gpu_memory_utilization": 0.9,
    f"{ROLLOUT}.enable_chunked_prefill": False,
    "synchronizer.sync_method": "nccl",
    "synchronizer.sync_style": "fixed",
    "synchronizer.sync_interval": 1,
    "trainer.trainer_type": "verl",
    "trainer.save_hf_checkpoint": "last",
    "trainer.use_dynamic_bsz": True,
    "trainer.ulysses_sequence_parallel_size": 1,
    "trainer.grad_clip": 1.0,
    "trainer.save_interval": 0,
}
GROUPED = {
    "grpo", "rloo", "opmd", "opmd_simple", "gspo", "cispo", "sapo", "asymre", "topr", "mix", "mix_chord",
    "multi_step_grpo", "rec", "bots",
}  # fmt: skip
"""Algorithms whose advantages compare the responses of a task."""
BY_STD = {"grpo", "gspo", "cispo", "sapo", "mix", "mix_chord", "multi_step_grpo"}
WITHOUT_REFERENCE = {"sft", "raft", "asymre", "cispo"}
OFFLINE = {"sft", "dpo"}
MODES = ("explore", "train", "both", "bench", "serve", "colocate")
