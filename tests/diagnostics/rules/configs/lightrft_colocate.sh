#!/bin/bash
export NCCL_TIMEOUT=1800
N_SAMPLES=8
RBS=128
TBS=128
torchrun --nnodes 1 --nproc-per-node 8 --master_port 29500 \
    examples/gsm8k_geo3k/train_colocate.py \
    --pretrain Qwen/Qwen2.5-0.5B-Instruct \
    --text_only \
    --save_path ./results/gsm8k \
    --ckpt_path ./results/gsm8k/ckpt \
    --micro_train_batch_size 4 \
    --train_batch_size ${TBS} \
    --micro_rollout_batch_size 4 \
    --rollout_batch_size ${RBS} \
    --advantage_estimator group_norm \
    --max_epochs 1 \
    --num_episodes 20 \
    --lr_warmup_ratio 0.03 \
    --n_samples_per_prompt ${N_SAMPLES} \
    --prompt_max_len 1024 \
    --generate_max_len 2048 \
    --zero_stage 3 \
    --bf16 \
    --actor_learning_rate 1e-6 \
    --use_kl_loss \
    --init_kl_coef 0.001 \
    --kl_estimator k3 \
    --prompt_data /data/gsm8k \
    --input_key prompt \
    --label_key label \
    --eval_steps 20 \
    --eval_split test \
    --apply_chat_template \
    --flash_attn \
    --gradient_checkpointing \
    --save_steps 20 \
    --max_ckpt_num 3 \
    --engine_mem_util 0.6 \
    --engine_tp_size 2 \
    --enable_engine_sleep \
    --l2 1.0e-2 \
    --freeze_prefix \
    --adam_offload \
    --use_wandb 0123456789abcdef0123456789abcdef01234567 \
    --wandb_project lightrft --wandb_run_name gsm8k
