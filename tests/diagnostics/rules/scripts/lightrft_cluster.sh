#!/bin/bash
#SBATCH -N 2
set -euo pipefail
source ./cluster_env.sh

MODEL=${MODEL:-Qwen/Qwen2.5-7B-Instruct}
NODES=${SLURM_NNODES:-2}
PER_NODE=8
WORLD=$((NODES * PER_NODE))
N=8
TBS=$((WORLD * 4 * 2))

if [ -z "${ENGINE:-}" ]; then
  ENGINE=vllm
fi
if [ "$ENGINE" == "vllm" ]; then
  TP=2
else
  TP=1
fi
if [ "$CLUSTER" == "h200" ]; then MICRO=8; else MICRO=4; fi

COMMON=(
  --pretrain "$MODEL"          # the policy
  --prompt_data "$DATA_ROOT/math"
  --fsdp --bf16 --flash_attn
)
COMMON+=(--gradient_checkpointing)

launch() {
  local estimator=$1
  shift
  torchrun --nnodes=$NODES --nproc_per_node=$PER_NODE --rdzv_backend=c10d \
    examples/math_prm/train_colocate.py "${COMMON[@]}" \
    --advantage_estimator "$estimator" \
    --train_batch_size $TBS --micro_train_batch_size $MICRO \
    --rollout_batch_size 64 --micro_rollout_batch_size 4 --n_samples_per_prompt $N \
    --engine_type "$ENGINE" --engine_tp_size $TP \
    "$@"
}

launch group_norm --use_kl_loss --kl_estimator k3
launch rloo
