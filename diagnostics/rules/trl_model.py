"""How TRL loads and adapts a model: precision, quantization, LoRA under ZeRO and FSDP."""

from collections.abc import Iterator

from diagnostics.rules.foreign import Foreign
from diagnostics.rules.job import Job
from diagnostics.rules.job_trl import loads_bf16
from diagnostics.rules.telling import Rule, flag, given, told, use
from engine.findings import Finding, Fix


def _precision(foreign: Foreign, job: Job) -> Iterator[Finding]:
    if loads_bf16(foreign) is False and not foreign.get("dtype") and job.model and not job.quantized:
        yield told(
            foreign,
            "check.trl.float32-model",
            "warning",
            "dtype",
            "no dtype is given: TRL loads a model that is given by name in float32, which takes twice the "
            "memory for weights and gradients.",
            use(foreign, "dtype", "bfloat16"),
            Fix("in a script: model_init_kwargs={'dtype': 'bfloat16'}"),
        )
    if flag(foreign, "bf16") and flag(foreign, "fp16"):
        cause = "bf16 and fp16 are both on: transformers takes one of them."
        yield told(
            foreign,
            "check.trl.bf16-fp16",
            "error",
            "fp16",
            cause,
            use(foreign, "fp16", False),
            also=("bf16",),
        )
    if flag(foreign, "load_in_4bit") and flag(foreign, "load_in_8bit"):
        cause = "load_in_4bit and load_in_8bit are both on: TRL refuses that."
        yield told(
            foreign,
            "check.trl.bits",
            "error",
            "load_in_8bit",
            cause,
            use(foreign, "load_in_8bit", False),
            also=("load_in_4bit",),
        )


def _adapters(foreign: Foreign, job: Job) -> Iterator[Finding]:
    lora = [name for name in foreign.settings if name.startswith("lora_")]
    if not job.lora_rank:
        if lora and "use_peft" not in foreign.settings:
            cause = f"without effect, for use_peft is off: {', '.join(lora)}."
            yield told(foreign, "check.no-effect", "warning", lora[0], cause, use(foreign, "use_peft", True))
        for name in given(foreign, "load_in_4bit", "load_in_8bit"):
            if flag(foreign, name):
                cause = f"{name} without LoRA: quantized weights cannot be trained."
                yield told(
                    foreign, "check.trl.quantized", "error", name, cause, use(foreign, "use_peft", True)
                )
        return
    targets = foreign.get("lora_target_modules")
    names = targets if isinstance(targets, list) else [targets]
    if any("lm_head" in str(name) for name in names):
        yield told(
            foreign,
            "check.trl.lora-head",
            "error",
            "lora_target_modules",
            "an adapter on lm_head would never be trained: TRL takes the log-probabilities from its weight "
            "directly, and refuses.",
            Fix("take lm_head out of lora_target_modules"),
        )
    if any(isinstance(name, str) and "," in name for name in names):
        yield told(
            foreign,
            "check.trl.lora-commas",
            "error",
            "lora_target_modules",
            f"lora_target_modules holds {', '.join(repr(n) for n in names if ',' in str(n))}: names are "
            "parted by spaces, and no module's name has a comma.",
            Fix("part them by spaces", command="--lora_target_modules q_proj v_proj"),
        )
    if job.strategy == "deepspeed" and job.stage == 3:
        kwargs = foreign.get("gradient_checkpointing_kwargs")
        if isinstance(kwargs, dict) and kwargs.get("use_reentrant") is False and job.checkpointing:
            yield told(
                foreign,
                "check.trl.reentrant",
                "info",
                "gradient_checkpointing_kwargs",
                "use_reentrant: false has no effect with LoRA and ZeRO-3: TRL sets it to true.",
            )
        if job.quantized:
            yield told(
                foreign,
                "cfg.zero",
                "warning",
                "load_in_4bit",
                "a base in 4 bits under ZeRO-3: the quantized weights are gathered whole, and loading needs "
                "bnb_4bit_quant_storage to match.",
                Fix("use ZeRO-2 or DDP with QLoRA"),
                also=(job.name("stage"),),
            )
        if flag(foreign, "use_vllm"):
            yield told(
                foreign,
                "cfg.zero-lora",
                "warning",
                "use_peft",
                "LoRA under ZeRO-3 with vLLM: adapters are merged for every weight sync, with all weights "
                "gathered on each card for it.",
                Fix("use ZeRO-2, or the memory of one whole model more on each card"),
            )


def _adapters_with_engine(foreign: Foreign, job: Job) -> Iterator[Finding]:
    if job.lora_rank and job.colocated and job.engine_tp > 1:
        yield told(
            foreign,
            "check.trl.lora-engine-tp",
            "info",
            "vllm_tensor_parallel_size",
            f"LoRA with an engine over {job.engine_tp} colocated ranks was reported to hang in generation "
            "on machines without NVLink.",
            use(foreign, "vllm_tensor_parallel_size", 1),
            evidence=("huggingface/trl#3671",),
        )
    if job.lora_rank and job.strategy == "deepspeed" and job.stage == 3 and loads_bf16(foreign) is True:
        yield told(
            foreign,
            "cfg.zero-dtypes",
            "info",
            "use_peft",
            "adapters in float32 on a bf16 base under ZeRO-3: DeepSpeed 0.19.2 stops at the first step "
            '("output tensor must have the same type").',
            Fix("use another version of DeepSpeed, or adapters in the base's dtype"),
            evidence=("huggingface/trl#6089",),
        )


def _fsdp(foreign: Foreign, job: Job) -> Iterator[Finding]:
    if job.strategy == "fsdp" and job.lora_rank and loads_bf16(foreign) is True:
        yield told(
            foreign,
            "cfg.fsdp",
            "warning",
            "use_peft",
            "LoRA adapters in float32 on a bf16 base: FSDP wants one dtype in a unit, and version 1 stops "
            "at mixed "
            'ones ("Must flatten tensors with uniform dtype").',
            Fix("use FSDP 2 with uniform dtypes, or DeepSpeed"),
        )


RULES: tuple[Rule, ...] = (_precision, _adapters, _adapters_with_engine, _fsdp)
