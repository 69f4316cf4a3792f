#!/bin/bash
# A baseline and a larger group, one after the other.
python prepare_data.py --out /data/gsm8k
for SAMPLES in 8 16; do
torchrun --nproc_per_node 4 examples/gsm8k_geo3k/train_colocate.py --pretrain m --prompt_data d --fsdp --bf16 \
  --flash_attn --advantage_estimator group_norm --n_samples_per_prompt $SAMPLES
done
python3 -m verl.trainer.main_ppo data.train_batch_size=8 trainer.n_gpus_per_node=4
echo done
