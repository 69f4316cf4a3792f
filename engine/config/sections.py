"""Every parameter of a run, once. Flags, YAML keys, help and validation all derive from these classes.

Names and meanings follow the reference documents; where they are silent or disagree, the decision is
in `docs/configuration.md`. Imports neither torch nor transformers.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from engine.config.param import param

NonNegative = Annotated[float, Field(ge=0)]
Beta = Annotated[float, Field(ge=0, lt=1)]


class Section(BaseModel):
    """Base of all sections: immutable, no unknown keys, defaults validated like given values."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False)


class ModelSection(Section):
    """The policy and how it is loaded."""

    pretrain: str = param("", "Path or hub id of the pretrained model and tokenizer; `toy:NAME` makes one.")
    critic_pretrain: str | None = param(None, "Path of the critic; default: the policy's.", not_built="any")
    bf16: bool = param(True, "Compute in bfloat16 with float32 master weights; false trains in float32.")
    flash_attn: bool | None = param(
        None, "Use flash-attention; unset: where it is installed and there is a GPU, else SDPA."
    )
    torch_compile: bool = param(False, "Compile the decoder layers with torch.compile.")
    trust_remote_code: bool = param(False, "Run model code that comes with the checkpoint.")
    lora_rank: int = param(0, "Rank of LoRA adapters; 0 trains all weights.", ge=0)
    lora_alpha: int = param(16, "LoRA scaling numerator: adapters count lora_alpha / lora_rank times.", gt=0)
    lora_dropout: float = param(0.0, "Dropout inside LoRA adapters, in updates only.", ge=0, lt=1)
    target_modules: str = param("all-linear", "Modules that get LoRA adapters, comma separated.")


class DataSection(Section):
    """Where prompts come from and how they are rendered."""

    prompt_data: str = param(
        "", "Training prompts: JSONL/parquet path, hub id or `toy:NAME`; several by comma."
    )
    prompt_data_probs: tuple[NonNegative, ...] | None = param(
        None, "Sampling share of each source in prompt_data, summing to 1; default: by size."
    )
    prompt_split: str = param("train", "Split of prompt_data for sources that have splits.")
    input_key: str = param("input", "Column with the prompt: text, or a list of chat messages.")
    label_key: str = param("label", "Column with the ground truth that rule rewards compare against.")
    reference_key: str | None = param(None, "Column with reference text handed to reward functions.")
    images_key: str | None = param(None, "Column with images.", not_built="any")
    system_prompt: str | None = param(None, "System message put before every prompt.")
    input_template: str | None = param(None, "Prompt text with `{input}` where the column's text goes.")
    apply_chat_template: bool = param(False, "Render prompts with the tokenizer's chat template.")
    max_samples: int | None = param(None, "Use at most this many prompts.", unit="prompts", gt=0)
    num_workers: int = param(0, "Data loading processes.", ge=0, not_built="non-default")
    prefetch_factor: int | None = param(None, "Batches loaded ahead per worker.", not_built="any")
    dataloader_pin_memory: bool = param(False, "Pin host memory of batches.", not_built="non-default")


class BatchSection(Section):
    """How many prompts and responses make a rollout, an optimizer step and a forward pass."""

    train_batch_size: int = param(
        128, "TBS: responses per optimizer step, all ranks.", unit="responses", gt=0
    )
    micro_train_batch_size: int = param(
        1, "Responses per training forward on one rank.", unit="responses", gt=0
    )
    rollout_batch_size: int = param(64, "RBS: prompts per rollout, all ranks.", unit="prompts", gt=0)
    micro_rollout_batch_size: int = param(
        2,
        "Responses per forward of generation (hf engine) and of log-probs, one rank.",
        unit="responses",
        gt=0,
    )
    n_samples_per_prompt: int = param(4, "Responses per prompt (the group).", unit="responses", gt=0)
    max_tokens_per_micro_batch: int | None = param(
        None, "Token budget of a training micro-batch; replaces the fixed count.", unit="tokens", gt=0
    )
    strict_batch_rule: bool = param(False, "Make TBS < RBS × n (off-policy steps) an error, not a warning.")


class RolloutSection(Section):
    """Sampling, lengths and the inference engine."""

    engine_type: Literal["vllm", "sglang", "hf"] | None = param(
        None, "Rollout engine; unset: vllm where it is installed, else hf (transformers)."
    )
    engine_tp_size: int = param(1, "Tensor-parallel ranks per engine replica.", unit="ranks", gt=0)
    engine_mem_util: float = param(
        0.5,
        "Share of device memory for the engine: of the total (vllm, weights included), of the free (sglang).",
        gt=0,
        le=1,
    )
    engine_kv_cache_gb: float | None = param(
        None, "KV cache of the engine per rank; unset: by engine_mem_util, 1 without a GPU.", unit="GiB", gt=0
    )
    enable_engine_sleep: bool = param(True, "Free the engine's device memory outside rollout.")
    engine_quantization: Literal["fp8"] | None = param(
        None, "Quantization of the engine's weights; the trainer's stay as they are."
    )
    engine_prefix_caching: bool = param(True, "Keep and reuse KV blocks of common prompt beginnings.")
    engine_enforce_eager: bool = param(False, "Run the engine without CUDA graphs and compilation.")
    sync_bucket_mb: int = param(512, "Weights gathered at once on their way to the engine.", unit="MiB", gt=0)
    max_len: int = param(4096, "Longest sequence, prompt + response.", unit="tokens", gt=1)
    prompt_max_len: int = param(2048, "Longest prompt; longer ones are left out.", unit="tokens", gt=0)
    generate_max_len: int | None = param(
        None, "Longest response; default: max_len − prompt_max_len.", unit="tokens", gt=0
    )
    generate_min_len: int = param(
        0, "Shortest response: end tokens are masked until then.", unit="tokens", ge=0
    )
    temperature: float = param(1.0, "Sampling temperature.", gt=0)
    top_p: float = param(0.9, "Nucleus sampling mass.", gt=0, le=1)
    top_k: int = param(-1, "Sample among the k likeliest tokens; −1: all.", ge=-1)
    use_fire: bool = param(False, "FIRE sampling: a hotter first token.", not_built="non-default")
    first_token_temperature: float = param(
        10.0, "Temperature of the first token with use_fire.", gt=0, not_built="non-default"
    )


class AlgorithmSection(Section):
    """Advantages, losses and KL control."""

    advantage_estimator: Literal[
        "group_norm", "dr_grpo", "rloo", "reinforce", "reinforce_baseline", "cpgd", "gspo", "gmpo", "gae"
    ] = param(
        "group_norm",
        "How rewards become advantages (group_norm is GRPO).",
        not_built=("reinforce", "reinforce_baseline", "cpgd", "gspo", "gmpo", "gae"),
    )
    kl_estimator: Literal["k1", "k2", "k3"] = param("k3", "Estimator of the KL to the reference model.")
    init_kl_coef: float = param(0.001, "Weight β of the KL term; 0 loads no reference model.", ge=0)
    kl_target: float | None = param(None, "Adapt β towards this KL.", gt=0, unit="nats/token")
    kl_horizon: int = param(10_000, "Responses over which the adaptive β reacts.", unit="responses", gt=0)
    clip_range: float = param(0.2, "Lower side ε of the ratio clip.", gt=0, lt=1)
    clip_range_higher: float | None = param(None, "Upper side of the ratio clip; unset: symmetric.", gt=0)
    dual_clip: float | None = param(None, "Dual clip c for negative advantages (paper: 3).", gt=1)
    loss_agg: Literal["seq-mean-token-mean", "token-mean", "seq-mean-token-sum", "token-sum-norm"] | None = (
        param(None, "How token losses are averaged; unset: the estimator's own (GRPO: seq-mean-token-mean).")
    )
    entropy_coef: float = param(0.0, "Weight of the entropy bonus.", ge=0)
    tis_cap: float | None = param(
        None, "Cap of the truncated importance weight trainer/engine; unset: only logged.", gt=0
    )
    advantages_norm: bool = param(False, "Whiten advantages over all response tokens of the rollout.")
    advantage_clip: float = param(0.0, "Clip advantages to ± this; 0: off.", ge=0)
    cpgd_drift_coef: float = param(0.0, "Weight α of CPGD's policy drift.", ge=0, not_built="non-default")
    dynamic_sampling: bool = param(False, "DAPO: resample zero-variance groups.", not_built="non-default")
    dynamic_sampling_max_rounds: int = param(
        10, "Sampling rounds at most with dynamic_sampling.", gt=0, not_built="non-default"
    )
    freezing_actor_steps: int = param(
        -1, "Train only the critic for this many steps.", unit="steps", ge=-1, not_built="non-default"
    )
    gamma: float = param(1.0, "Discount.", gt=0, le=1, not_built="non-default")
    lambd: float = param(0.95, "GAE λ.", ge=0, le=1, not_built="non-default")
    value_clip: float = param(0.2, "Clip range of the value loss.", gt=0, not_built="non-default")
    enable_ema: bool = param(
        False, "Keep an exponential moving average of the policy.", not_built="non-default"
    )


class OptimSection(Section):
    """Length of training, optimizer and learning rate."""

    num_episodes: int = param(1, "Passes over the prompt set.", unit="episodes", gt=0)
    max_epochs: int = param(1, "Passes over each rollout.", unit="epochs", gt=0)
    max_steps: int | None = param(None, "Stop after this many optimizer steps.", unit="steps", gt=0)
    actor_learning_rate: float = param(5e-7, "Peak learning rate of the policy.", ge=0)
    critic_learning_rate: float = param(
        9e-6, "Peak learning rate of the critic.", ge=0, not_built="non-default"
    )
    lr_scheduler: Literal["cosine", "linear", "constant"] = param(
        "cosine", "Learning rate after warm-up; cosine and linear end at 10 % of the peak."
    )
    lr_warmup_ratio: float = param(0.03, "Share of all steps with rising learning rate.", ge=0, le=1)
    max_norm: float = param(1.0, "Clip the global gradient norm to this.", gt=0)
    l2: float = param(0.0, "Weight decay (AdamW).", ge=0)
    adam_betas: tuple[Beta, Beta] = param((0.9, 0.95), "Adam's β1, β2.")


class ParallelSection(Section):
    """Processes and how the model is spread over them."""

    nproc: int | None = param(
        None,
        "Ranks on this machine; unset: one per GPU, or 1 without GPU.",
        unit="ranks",
        gt=0,
        aliases=("nproc_per_node",),
    )
    nnodes: int = param(1, "Machines.", gt=0, not_built="non-default")
    master_port: int | None = param(None, "Port of the rendezvous; unset: a free one.", ge=1, le=65535)
    fsdp: bool | None = param(
        None, "Use FSDP2; false: DeepSpeed ZeRO; unset: DeepSpeed if zero_stage is set, else FSDP2."
    )
    zero_stage: Literal[1, 2, 3] | None = param(None, "DeepSpeed ZeRO stage; unset: 2.")
    fsdp_shard_size: int | None = param(
        None,
        "Shard over this many neighbouring ranks and replicate over the rest (HSDP); unset: over all.",
        unit="ranks",
        gt=0,
    )
    sp_size: int = param(1, "Ranks that share each sequence (Ulysses).", unit="ranks", gt=0)
    dist_backend: Literal["nccl", "gloo"] | None = param(
        None, "Collective backend; unset: NCCL_BACKEND, else nccl with a GPU and gloo without."
    )
    nccl_timeout: int | None = param(
        None, "Process-group timeout; unset: NCCL_TIMEOUT, else 1800.", unit="s", gt=0
    )
    hang_after: float | None = param(
        None,
        "Look for a hang when no rank gets further for this long; unset: 3 × the phase's usual time.",
        unit="s",
        gt=0,
    )
    on_hang: Literal["report", "stop", "restart"] = param(
        "report", "What a hang brings about: a report, an end, or an end and a resume from the checkpoint."
    )


class MemorySection(Section):
    """Memory against speed."""

    gradient_checkpointing: bool = param(False, "Recompute activations in the backward pass.")
    fsdp_cpu_offload: bool = param(
        False, "Keep FSDP parameters, gradients and optimizer states in host memory."
    )
    adam_offload: bool = param(
        False, "Optimizer states in host memory: outside updates (FSDP2), always (DeepSpeed)."
    )
    use_mp_opt: bool = param(False, "Bfloat16 parameters with float32 masters inside the optimizer (FSDP2).")
    ref_reward_offload: bool = param(
        False, "Keep reference and reward models in host memory outside their phase."
    )
    packing_samples: bool = param(False, "Put sequences one after another in one row, without padding.")
    fused_linear_logprob: bool = param(
        False, "Fuse output head and log-probs: at most chunk_size rows of logits, none kept for backward."
    )
    chunk_size: int = param(
        4096, "Response tokens whose logits exist at once in log-prob computation.", unit="tokens", gt=0
    )


class RewardSection(Section):
    """What scores a response. Only the response is scored, never the prompt."""

    reward_rule: str | None = param(
        None, "Built-in rule rewards, comma separated, each with `@weight` if not 1."
    )
    reward_fn: str | None = param(None, "Own reward: `package.module:function` or `file.py:function`.")
    reward_pretrain: str | None = param(None, "Reward model path(s), each with `@weight`.", not_built="any")
    remote_rm_url: str | None = param(None, "URL(s) of reward servers.", not_built="any")
    rm_use_engine: bool = param(False, "Run the reward model in the engine.", not_built="non-default")
    reward_running_norm: bool = param(False, "Divide rewards by their running standard deviation.")
    reward_running_norm_minus_mean: bool = param(False, "Also subtract their running mean.")
    reward_clip: float = param(0.0, "Clip rewards to ± this; 0: off.", ge=0)
    overlong_buffer_len: int = param(
        0, "Responses this close to generate_max_len are penalised linearly; 0: off.", unit="tokens", ge=0
    )
    overlong_penalty: float = param(1.0, "Penalty at full length.", ge=0)


class EvalSection(Section):
    """Held-out evaluation, with its own sampling."""

    eval_data: str | None = param(None, "Held-out prompts: same forms as prompt_data.")
    eval_split: str = param("test", "Split of eval_data for sources that have splits.")
    eval_interval: int = param(
        0, "Evaluate every this many optimizer steps, besides start and end.", unit="steps", ge=0
    )
    eval_temperatures: tuple[NonNegative, ...] = param(
        (0.0,), "Temperatures to evaluate at; 0 is greedy. The first names eval/accuracy.", min_length=1
    )
    eval_top_p: float = param(1.0, "Nucleus mass in evaluation.", gt=0, le=1)
    max_eval_samples: int = param(500, "Evaluate on at most this many prompts.", unit="prompts", gt=0)


class LoggingSection(Section):
    """What is written besides events."""

    log_interval: int = param(1, "Print a line of metrics every this many steps.", unit="steps", gt=0)
    log_dir: str | None = param(None, "Directory of length histograms.", not_built="any")
    plot_every: int = param(
        10, "Steps between length histograms.", unit="steps", gt=0, not_built="non-default"
    )
    num_trajectories_to_save: int = param(
        32, "Responses per step written to the trajectory database; 0: none.", unit="responses", ge=0
    )
    trajectory_url: str | None = param(None, "SQLAlchemy URL for trajectories; default: SQLite in the run.")
    use_tensorboard: str | None = param(None, "TensorBoard log directory.", not_built="any")
    use_wandb: str | None = param(None, "Weights & Biases project name.", not_built="any")
    wandb_org: str | None = param(None, "Weights & Biases organisation.", not_built="any")
    wandb_run_name: str | None = param(None, "Weights & Biases run name.", not_built="any")
    use_mlflow: str | None = param(None, "MLflow tracking URI.", not_built="any")


class CheckpointSection(Section):
    """Saving, keeping and loading checkpoints."""

    save_path: str | None = param(
        None, "Directory of checkpoints; default: checkpoints in the run directory."
    )
    ckpt_path: str | None = param(
        None, "Checkpoint (or directory of them) to resume from; default: save_path."
    )
    load_checkpoint: bool = param(
        False, "Resume from ckpt_path; without one, from save_path if it holds a checkpoint."
    )
    save_interval: int = param(1, "Save every this many episodes; 0: only at the end.", unit="episodes", ge=0)
    save_steps: int | None = param(None, "Also save every this many optimizer steps.", unit="steps", gt=0)
    max_ckpt_num: int = param(3, "Keep at most this many checkpoints.", gt=0)
    max_ckpt_mem: float = param(1000, "Keep at most this much of checkpoints.", unit="GB", gt=0)


class VlmSection(Section):
    """Vision-language models."""

    mixed_mm_data: bool = param(False, "Mix multimodal and text-only prompts.", not_built="non-default")
    processor: str | None = param(None, "Multimodal processor; default: the model's.", not_built="any")


class RunSection(Section):
    """Identity and reproducibility."""

    run_dir: str | None = param(
        None, "Run directory; set by `rft launch`, default under torchrun: runs/<time>."
    )
    seed: int = param(42, "Seed of data order, sampling and initialisation.", ge=0)


class RunConfig(Section):
    """The whole configuration of a run, in sections; every parameter name is unique across sections."""

    model: ModelSection = ModelSection()
    data: DataSection = DataSection()
    batch: BatchSection = BatchSection()
    rollout: RolloutSection = RolloutSection()
    algorithm: AlgorithmSection = AlgorithmSection()
    optim: OptimSection = OptimSection()
    parallel: ParallelSection = ParallelSection()
    memory: MemorySection = MemorySection()
    reward: RewardSection = RewardSection()
    eval: EvalSection = EvalSection()
    logging: LoggingSection = LoggingSection()
    checkpoint: CheckpointSection = CheckpointSection()
    vlm: VlmSection = VlmSection()
    run: RunSection = RunSection()
