#!/bin/bash
#SBATCH -N 2
IMAGE="nvcr.io/nvidia/pytorch:24.07-py3"
JOBLOG="$(realpath .)/train-$SLURM_JOB_ID.log"
nodes=$(scontrol show hostnames "$SLURM_JOB_NODELIST")
nodes_array=( $nodes )
node_1=${nodes_array[0]}

srun --nodes=1 --ntasks=1 -w "$node_1" --container-image="$IMAGE" bash -c \
    "pip install ray[default] && /root/.local/bin/ray start --head --block" &>> ${JOBLOG} &
sleep 30s

srun --overlap --nodes=1 --ntasks=1 -w "$node_1" --container-image="$IMAGE" bash -c \
"pip install ray[default] \
&& /root/.local/bin/ray job submit --address=http://localhost:8265 \
    --runtime-env-json='{\"working_dir\": \"/openrlhf\"}' \
    -- python3 -m openrlhf.cli.train_ppo_ray \
    --ref_num_nodes 1 \
    --ref_num_gpus_per_node 2 \
    --actor_num_nodes 1 \
    --actor_num_gpus_per_node 4 \
    --vllm_num_engines 4 \
    --vllm_tensor_parallel_size 2 \
    --colocate_actor_ref \
    --pretrain OpenRLHF/Llama-3-8b-sft-mixture \
    --reward_pretrain OpenRLHF/Llama-3-8b-rm-mixture \
    --micro_train_batch_size 8 \
    --train_batch_size 128 \
    --micro_rollout_batch_size 16 \
    --rollout_batch_size 1024 \
    --vllm_enable_sleep \
    --use_wandb {wandb_token}" &>> ${JOBLOG}
