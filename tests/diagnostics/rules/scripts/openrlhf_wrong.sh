export PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True
export NCCL_P2P_DISABLE=1
python -m openrlhf.cli.train_ppo_ray \
   --actor_num_nodes 1 --actor_num_gpus_per_node 7 \
   --vllm_num_engines 4 --vllm_tensor_parallel_size 2 \
   --colocate_all_models --async_train --vllm_enable_sleep --deepspeed_enable_sleep \
   --pretrain Qwen/Qwen2.5-7B-Instruct \
   --advantage_estimator grpo --n_samples_per_prompt 1 \
   --dynamic_filtering --dynamic_filtering_reward_range 1 0 \
   --eval_dataset /data/aime \
   --train_batch_size 256 --micro_train_batch_size 2 \
   --rollout_batch_size 32 --micro_rollout_batch_size 16 \
   --ring_attn_size 2 --zero_stage 2 \
   --eps_clip 0.2 --eps_clip_low_high 0.2 0.28 \
   --rollout_batchsize 64 --train_batch_size 128
