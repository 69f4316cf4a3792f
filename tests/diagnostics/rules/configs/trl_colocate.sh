#!/bin/bash
export CUDA_VISIBLE_DEVICES=0,1,2,3,4,5,6,7

accelerate launch \
    --config_file trl_zero3.yaml \
    train_grpo.py \
    --model_name_or_path Qwen/Qwen2.5-3B-Instruct \
    --dtype bfloat16 \
    --dataset_name openai/gsm8k --dataset_config main \
    --reward_funcs accuracy_reward \
    --learning_rate 1e-6 \
    --lr_scheduler_type constant \
    --warmup_steps 0.05 \
    --max_completion_length 1024 \
    --per_device_train_batch_size 8 \
    --gradient_accumulation_steps 8 \
    --num_generations 8 \
    --beta 0.001 \
    --use_vllm --vllm_mode colocate \
    --vllm_gpu_memory_utilization 0.4 \
    --vllm_tensor_parallel_size 2 \
    --vllm_enable_sleep_mode \
    --vllm_max_model_length 2048 \
    --gradient_checkpointing \
    --num_train_epochs 2 \
    --save_steps 100 \
    --output_dir /out/qwen3b
