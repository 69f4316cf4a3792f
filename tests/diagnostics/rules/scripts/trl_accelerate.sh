#!/bin/bash
ACCELERATE_LOG_LEVEL=info CUDA_VISIBLE_DEVICES=0,1,2,3 nohup accelerate launch \
    --num_processes 4 --mixed_precision bf16 \
    grpo.py \
    --model_name_or_path Qwen/Qwen2.5-1.5B-Instruct \
    --per_device_train_batch_size 8 \
    --gradient_accumulation_steps 4 \
    --num_generations 8 \
    --max_completion_length 512 \
    --use_vllm --vllm_mode colocate > train.log 2>&1 &
