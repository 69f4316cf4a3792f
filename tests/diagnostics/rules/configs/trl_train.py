"""Trains Qwen2.5-0.5B on word problems."""

import torch
from datasets import load_dataset
from peft import LoraConfig
from trl import GRPOConfig, GRPOTrainer

MODEL = "Qwen/Qwen2.5-0.5B-Instruct"
PROMPT = 256
RESPONSE = 512
GROUP = 1


def reward_len(completions, **kwargs):
    return [-abs(20 - len(completion)) for completion in completions]


def main():
    dataset = load_dataset("trl-lib/tldr", split="train")
    args = GRPOConfig(
        output_dir="out",
        num_generations=GROUP,
        max_completion_length=RESPONSE,
        max_prompt_length=PROMPT,
        per_device_train_batch_size=4 * 2,
        learning_rate=5e-4,
        beta=0.04,
        use_vllm=torch.cuda.is_available(),
        model_init_kwargs={"dtype": torch.bfloat16},
    )
    trainer = GRPOTrainer(
        model=MODEL,
        args=args,
        reward_funcs=[reward_len],
        train_dataset=dataset,
        peft_config=LoraConfig(r=32, lora_alpha=64, target_modules="all-linear"),
    )
    trainer.train()


main()
