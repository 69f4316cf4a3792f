# The complete example of LightRFT's guide, as it is printed there.
python train.py \
    # model
    --pretrain /path/to/Qwen2.5-7B-Instruct \
    --reward_pretrain /path/to/reward-model \
    --max_len 4096 \
    --prompt_max_len 2048 \
    \
    # training
    --num_episodes 20 \
    --max_epochs 1 \
    --actor_learning_rate 5e-7 \
    --critic_learning_rate 9e-6 \
    \
    # batches
    --train_batch_size 128 \
    --micro_train_batch_size 1 \
    --rollout_batch_size 64 \
    --micro_rollout_batch_size 2 \
    \
    # algorithm
    --advantage_estimator group_norm \
    --n_samples_per_prompt 8 \
    --kl_estimator k3 \
    --init_kl_coef 0.001 \
    --clip_range 0.2 \
    --clip_range_higher 0.3 \
    --temperature 0.6 \
    \
    # distribution
    --zero_stage 2 \
    --bf16 \
    --gradient_checkpointing \
    --engine_type vllm \
    --engine_tp_size 1 \
    --engine_mem_util 0.85 \
    --enable_engine_sleep \
    --adam_offload \
    --fused_linear_logprob \
    \
    # logs
    --use_tensorboard ./tb_logs \
    --plot_every 10 \
    --save_path ./checkpoints \
    --save_interval 1 \
    --max_ckpt_num 3 \
    --reward_running_norm \
    --advantages_norm
