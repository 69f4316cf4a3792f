#!/bin/bash
# A vision-language run on two GPUs with what the guide calls GSPO.
export GPUS_PER_NODE=2
RBS=129
ENGINE_TP=4
IMAGES=10

torchrun --nproc-per-node $GPUS_PER_NODE examples/gsm8k_geo3k/train_colocate.py \
    --pretrain /models/Qwen2.5-VL-7B-Instruct \
    --advantage_estimator "gspo" \
    --use_gspo \
    --loss_agg_mode token-mean \
    --fsdp --mixed_mm_data --bf16 --flash_attn \
    --packing_samples \
    --use_fire \
    --sp_size 2 \
    --micro_train_batch_size 4 --train_batch_size 100 \
    --micro_rollout_batch_size 8 --rollout_batch_size ${RBS} \
    --n_samples_per_prompt 8 \
    --max_len 4096 \
    --prompt_data /data/geo3k --input_key prompt --images_key images --label_key label \
    --engine_tp_size $ENGINE_TP --engine_mem_util 0.6 \
    --limit_mm_image_per_prompt $IMAGES \
    --dynamic_sampling \
    --remote_rm_url http://localhost:5000
