"""verl's rollout: lengths, engine, sampling, adapters in the engine."""

from collections.abc import Iterator

from diagnostics.rules.foreign import Foreign
from diagnostics.rules.job import Job
from diagnostics.rules.telling import Rule, count, flag, number, text, told, use
from diagnostics.rules.verl_defaults import MODEL, ROLLOUT
from engine.findings import Finding

LORA_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)
"""vLLM's `max_lora_rank` takes these."""


def _lengths(foreign: Foreign, job: Job) -> Iterator[Finding]:
    truncation, overlong = "data.truncation", "data.filter_overlong_prompts"
    if text(foreign, truncation, "error") == "error" and not flag(foreign, overlong):
        default = "" if truncation in foreign.settings else " (verl's default)"
        yield told(
            foreign,
            "check.verl.overlong-prompts",
            "warning",
            truncation,
            f"{truncation} = error{default} without {overlong}: the first prompt of more than "
            f"{job.prompt_len} tokens ends the run, however late it comes.",
            use(foreign, overlong, True),
            use(foreign, truncation, "left", "keeps the end of the prompt"),
            also=(overlong, "data.max_prompt_length"),
        )
    batched, chunked = f"{ROLLOUT}.max_num_batched_tokens", f"{ROLLOUT}.enable_chunked_prefill"
    limit, longest = count(foreign, batched, 8192), job.model_len
    if longest is None and job.prompt_len is not None and job.response_len is not None:
        longest = job.prompt_len + job.response_len
    if limit and longest and limit < longest and not flag(foreign, chunked, True):
        yield told(
            foreign,
            "cfg.len-batched-tokens",
            "error",
            batched,
            f"{batched} = {limit} is less than a sequence of {longest} tokens, and chunked prefill is off: "
            "vLLM refuses to start.",
            use(foreign, batched, longest),
            use(foreign, chunked, True),
            also=(chunked,),
        )
    buffer = count(foreign, "reward_model.overlong_buffer.len")
    if buffer and job.response_len and buffer > job.response_len:
        yield told(
            foreign,
            "check.verl.overlong-buffer",
            "warning",
            "reward_model.overlong_buffer.len",
            f"an overlong buffer of {buffer} tokens is longer than a response ({job.response_len}): all are "
            "penalised.",
            use(foreign, "reward_model.overlong_buffer.len", job.response_len // 4),
        )


def _engine(foreign: Foreign, job: Job) -> Iterator[Finding]:
    if f"{ROLLOUT}.name" not in foreign.settings and ROLLOUT not in foreign.settings:
        yield told(
            foreign,
            "check.verl.no-engine",
            "warning",
            f"{ROLLOUT}.name",
            f'{ROLLOUT}.name is not given: newer versions have no default and stop ("Missing mandatory '
            'value").',
            use(foreign, f"{ROLLOUT}.name", "vllm"),
        )
    if text(foreign, f"{ROLLOUT}.mode") == "sync":
        yield told(
            foreign,
            "check.verl.sync-rollout",
            "warning",
            f"{ROLLOUT}.mode",
            f"{ROLLOUT}.mode = sync: newer versions have only the asynchronous server and refuse it.",
            use(foreign, f"{ROLLOUT}.mode", "async"),
        )
    pipeline = f"{ROLLOUT}.pipeline_model_parallel_size"
    if (count(foreign, pipeline, 1) or 1) > 1:
        yield told(
            foreign,
            "check.verl.rollout-pp",
            "error",
            pipeline,
            f"{pipeline} = {foreign.get(pipeline)}: verl has no pipeline parallelism in rollout.",
            use(foreign, pipeline, 1),
        )
    expert, data = f"{ROLLOUT}.expert_parallel_size", f"{ROLLOUT}.data_parallel_size"
    ep, dp = count(foreign, expert, 1) or 1, count(foreign, data, 1) or 1
    if ep > 1 and ep != job.engine_tp * dp:
        yield told(
            foreign,
            "check.verl.rollout-ep",
            "error",
            expert,
            f"{expert} = {ep} must be tensor × data parallelism of the rollout = {job.engine_tp} × {dp} = "
            f"{job.engine_tp * dp}.",
            use(foreign, expert, job.engine_tp * dp),
            also=(job.name("engine_tp"), data),
        )
    elif dp > 1 and ep == 1:
        yield told(
            foreign,
            "check.verl.rollout-dp",
            "warning",
            data,
            f"{data} = {dp} without expert parallelism was reported to hang the main process.",
            use(foreign, data, 1, "several engines share the prompts all the same"),
            evidence=("volcengine/verl#5607",),
        )


def _validation_sampling(foreign: Foreign, job: Job) -> Iterator[Finding]:
    sample, temperature = f"{ROLLOUT}.val_kwargs.do_sample", f"{ROLLOUT}.temperature"
    if flag(foreign, sample) and number(foreign, temperature, 1.0) == 0:
        cause = f"{sample} with {temperature} = 0: verl asserts a temperature above 0."
        yield told(
            foreign, "check.verl.val-temperature", "error", sample, cause, use(foreign, temperature, 1.0)
        )
    elif flag(foreign, sample) and number(foreign, f"{ROLLOUT}.val_kwargs.temperature", 0) == 0:
        yield told(
            foreign,
            "check.verl.val-temperature",
            "warning",
            sample,
            f"validation samples, but at {ROLLOUT}.val_kwargs.temperature = 0, verl's default: it stays "
            "greedy.",
            use(foreign, f"{ROLLOUT}.val_kwargs.temperature", 1.0),
        )


def _lora(foreign: Foreign, job: Job) -> Iterator[Finding]:
    if not job.lora_rank:
        return
    name, load = f"{MODEL}.lora_rank", f"{ROLLOUT}.load_format"
    if job.engine == "vllm" and job.lora_rank not in LORA_RANKS:
        above = next((rank for rank in LORA_RANKS if rank >= job.lora_rank), None)
        yield told(
            foreign,
            "check.verl.lora-rank",
            "warning" if above else "error",
            name,
            f"vLLM takes LoRA ranks of {', '.join(map(str, LORA_RANKS))}: "
            + (
                f"for {job.lora_rank} it must reserve {above}." if above else f"{job.lora_rank} is too large."
            ),
            use(foreign, name, above or LORA_RANKS[-1]),
        )
    if text(foreign, load, "dummy").startswith("dummy"):
        yield told(
            foreign,
            "check.verl.lora-dummy-load",
            "warning",
            load,
            f"with LoRA only adapters are sent to the engine: with {load} = {text(foreign, load, 'dummy')} "
            "its base model keeps random weights.",
            use(foreign, load, "safetensors"),
            evidence=("volcengine/verl PR 3907",),
        )
    if job.strategy == "megatron":
        yield told(
            foreign,
            "check.verl.lora-megatron",
            "info",
            name,
            "LoRA with Megatron needs a verl of 2025-11 or later with mbridge.",
        )


def _rollout_correction(foreign: Foreign, job: Job) -> Iterator[Finding]:
    names = [key for key in foreign.settings if key.startswith("algorithm.rollout_correction.rollout_")]
    wanted = [key for key in names if foreign.get(key) is not None and not key.endswith("threshold")]
    logs = f"{ROLLOUT}.calculate_log_probs"
    if wanted and not flag(foreign, logs):
        yield told(
            foreign,
            "check.verl.rollout-correction",
            "error",
            wanted[0],
            f"{wanted[0]} weighs by the engine's log-probabilities, but {logs} is off: there are none.",
            use(foreign, logs, True),
            also=(logs,),
        )


RULES: tuple[Rule, ...] = (_lengths, _engine, _validation_sampling, _lora, _rollout_correction)
