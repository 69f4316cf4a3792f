#!/bin/bash
# GRPO on GSM8K with rule-based rewards, in the form of LightRFT's own example.

BASE_MODEL="Qwen/Qwen2.5-0.5B-Instruct"
DATASET="/data/gsm8k_parquet"
EXPERIMENT="gsm8k-grpo"
export WANDB_API_KEY="0123456789abcdef0123456789abcdef01234567"
export WANDB_PROJECT="gsm8k"

N_SAMPLES=5              # responses per prompt
EPISODE=30
RBS=128
TBS=128
KL=0.01
LR=1e-6
MAX_LENGTH=3072          # not used below

export MLP_WORKER_NUM=1
export MLP_WORKER_GPU=8
export MLP_ROLE_INDEX=0
export MASTER_ADDR="localhost"
export MASTER_PORT=20090
export NNODES=$MLP_WORKER_NUM
export NODE_RANK=$MLP_ROLE_INDEX
export GPUS_PER_NODE=$MLP_WORKER_GPU
ENGINE_TP=2

now=$(date +"%Y%m%d_%H%M%S")
NAME="${EXPERIMENT}-kl${KL}-lr${LR}-${now}"
mkdir -p "results/${NAME}"

export TORCH_NCCL_AVOID_RECORD_STREAMS=1
export NCCL_DEBUG="WARN"
export IGNORE_EOS=0
export WANDB_MODE="offline"
export NCCL_TIMEOUT=1800

set -x

torchrun \
    --nnodes $NNODES \
    --nproc-per-node $GPUS_PER_NODE \
    --node_rank $NODE_RANK \
    --master-port $MASTER_PORT \
    --master-addr $MASTER_ADDR \
    examples/gsm8k_geo3k/train_colocate.py \
    --pretrain "${BASE_MODEL}" \
    --save_trajectories \
    --advantage_estimator "group_norm" \
    --fsdp \
    --use_kl_loss \
    --flash_attn \
    --rm_use_engine \
    --reward_pretrain "{}" \
    --save_path "results/${NAME}" \
    --ckpt_path "results/${NAME}" \
    --micro_train_batch_size 4 \
    --train_batch_size ${TBS} \
    --micro_rollout_batch_size 4 \
    --rollout_batch_size ${RBS} \
    --max_epochs 1 \
    --num_episodes ${EPISODE} \
    --lr_warmup_ratio 0.03 \
    --n_samples_per_prompt $N_SAMPLES \
    --prompt_max_len 1024 \
    --generate_max_len 2048 \
    --zero_stage 3 \
    --bf16 \
    --actor_learning_rate $LR \
    --init_kl_coef $KL \
    --kl_estimator "k3" \
    --prompt_data "${DATASET}" \
    --input_key "prompt" \
    --label_key "label" \
    --eval_steps 20 \
    --eval_split "test" \
    --apply_chat_template \
    --gradient_checkpointing \
    --save_steps 20 \
    --max_ckpt_num 3 \
    --engine_type sglang \
    --engine_mem_util 0.6 \
    --engine_tp_size $ENGINE_TP \
    --enable_engine_sleep \
    --system_prompt 'Reason step by step inside <think></think>, then give \\boxed{answer}.' \
    --l2 1.0e-2 \
    --freeze_prefix \
    --adam_offload \
    --text_only \
    --use_wandb "${WANDB_API_KEY}" \
    --wandb_project "${WANDB_PROJECT}" \
    --wandb_run_name "${NAME}" \
    2>&1 | tee "logs/node${NODE_RANK}_${now}.log"
