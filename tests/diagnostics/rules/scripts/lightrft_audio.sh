#!/bin/bash
CKPT_LOCAL=""
NUM_GPUS=$(nvidia-smi --list-gpus | wc -l)
torchrun --nproc-per-node $NUM_GPUS \
    examples/r1_aqa/train_colocate.py \
    --pretrain "" \
    --fsdp --flash_attn --bf16 --use_kl_loss \
    $( [ -n "${CKPT_LOCAL}" ] && echo "--ckpt_path_local ${CKPT_LOCAL}" ) \
    --micro_train_batch_size 4 --train_batch_size 512 \
    --micro_rollout_batch_size 4 --rollout_batch_size 64 \
    --prompt_data /data/avqa --engine_type sglang --engine_tp_size 2
