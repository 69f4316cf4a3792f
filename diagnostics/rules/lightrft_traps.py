"""LightRFT's options that are broken, or do something other than they say."""

from collections.abc import Iterator

from diagnostics.rules.foreign import Foreign
from diagnostics.rules.job import Job
from diagnostics.rules.job_lightrft import default
from diagnostics.rules.lightrft_flags import GUIDE, NEWER_ESTIMATORS
from diagnostics.rules.secrets import HIDDEN
from diagnostics.rules.telling import Rule, count, drop, flag, number, shown, text, told, use
from engine.findings import Finding, Fix, Severity


def _backend(foreign: Foreign, job: Job) -> Iterator[Finding]:
    if flag(foreign, "fsdp"):
        if flag(foreign, "enable_ema"):
            cause = "--enable_ema with --fsdp raises NotImplementedError when the models are prepared."
            yield told(
                foreign, "check.lightrft.ema", "error", "enable_ema", cause, drop(foreign, "enable_ema")
            )
        if flag(foreign, "meta_init"):
            cause = (
                "--meta_init leaves the weights as they happen to lie in memory: the model is made on the "
                "meta device and then given empty storage, unless a converted checkpoint is loaded."
            )
            yield told(
                foreign, "check.lightrft.meta-init", "error", "meta_init", cause, drop(foreign, "meta_init")
            )
        if flag(foreign, "fsdp_cpu_offload") and flag(foreign, "adam_offload"):
            cause = (
                "--fsdp_cpu_offload keeps parameters, gradients and Adam's states on the host already; with "
                "--adam_offload they are moved by hand too: 'FSDP parameters should be materialized on CPU'."
            )
            drops = drop(foreign, "adam_offload")
            yield told(
                foreign,
                "check.lightrft.offload-twice",
                "warning",
                "adam_offload",
                cause,
                drops,
                also=("fsdp_cpu_offload",),
            )
        return
    cause = (
        "--fsdp is not given: the examples then fail as they start, with 'TypeError: init_model_context() "
        "got an unexpected keyword argument meta_init', and later at reload_model and offload_model, which "
        "only the FSDP strategy has."
    )
    yield told(foreign, "check.lightrft.without-fsdp", "error", "fsdp", cause, use(foreign, "fsdp", True))


def _critic(foreign: Foreign, job: Job) -> Iterator[Finding]:
    if job.estimator != "gae":
        return
    name = "advantage_estimator"
    if name not in foreign.settings:
        cause = (
            "--advantage_estimator is not given, and is gae by default: PPO with a critic as large as the "
            "policy, where LightRFT's guide says group_norm."
        )
        yield told(
            foreign, "check.lightrft.default-gae", "warning", name, cause, use(foreign, name, "group_norm")
        )
    if flag(foreign, "text_only"):
        yield told(
            foreign,
            "check.lightrft.text-critic",
            "error",
            "text_only",
            "--text_only with a critic (gae) fails with 'Unrecognized configuration class … "
            "AutoModelForVision2Seq': the critic is always a vision-language model.",
            use(foreign, name, "group_norm", "which has no critic"),
            also=(name,),
        )


def _estimator(foreign: Foreign, job: Job) -> Iterator[Finding]:
    name = "advantage_estimator"
    value = text(foreign, name)
    if value in NEWER_ESTIMATORS:
        cause = f"{value} is known to versions since spring 2026 only."
        yield told(foreign, "check.lightrft.newer-estimator", "info", name, cause)
    if value == "reinforce++":
        cause = "the command line takes reinforce++, but the trainer stops at 'Unknown advantage estimator'."
        fix = use(foreign, name, "reinforce_baseline", "which is the nearest")
        yield told(foreign, "check.lightrft.reinforce-plus-plus", "error", name, cause, fix)
    if job.estimator in ("gae", "cpgd") and flag(foreign, "use_kl_loss"):
        yield told(
            foreign,
            "check.lightrft.kl-warning",
            "error",
            "use_kl_loss",
            f"--use_kl_loss with {job.estimator} ends in 'NameError: warnings': the program wants to warn of "
            "a KL that counts twice, and has not imported the module.",
            drop(foreign, "use_kl_loss"),
            use(foreign, name, "group_norm"),
            also=(name,),
        )


def _kl(foreign: Foreign, job: Job) -> Iterator[Finding]:
    weight = number(foreign, "init_kl_coef", default(foreign, "init_kl_coef"))
    if flag(foreign, "use_kl_loss") and weight == 0:
        cause = "--use_kl_loss has no effect with init_kl_coef = 0: no reference model is loaded."
        fixes = (use(foreign, "init_kl_coef", 0.001), drop(foreign, "use_kl_loss"))
        yield told(
            foreign, "check.lightrft.kl-zero", "warning", "use_kl_loss", cause, *fixes, also=("init_kl_coef",)
        )
    if (
        not flag(foreign, "use_kl_loss")
        and job.estimator != "cpgd"
        and weight
        and job.kl_estimator in ("k2", "k3")
    ):
        cause = (
            f"the KL is taken off the reward, for which k1 is unbiased; {job.kl_estimator} is for a KL loss."
        )
        fixes = (use(foreign, "kl_estimator", "k1"), use(foreign, "use_kl_loss", True))
        yield told(foreign, "check.lightrft.kl-estimator", "info", "kl_estimator", cause, *fixes)


def _precision(foreign: Foreign, job: Job) -> Iterator[Finding]:
    if not flag(foreign, "bf16"):
        cause = (
            "--bf16 is not given: the engine then runs in fp16 while FSDP casts to bf16, and updates of its "
            "weights can stop at 'mismatch dtype'."
        )
        yield told(foreign, "check.lightrft.no-bf16", "warning", "bf16", cause, use(foreign, "bf16", True))
    if not flag(foreign, "flash_attn"):
        cause = (
            "--flash_attn is not given: attention is then eager, never PyTorch's SDPA, and needs memory that "
            "grows with the square of the length."
        )
        yield told(
            foreign,
            "check.lightrft.eager-attention",
            "warning",
            "flash_attn",
            cause,
            use(foreign, "flash_attn", True),
        )


def _broken(foreign: Foreign, job: Job) -> Iterator[Finding]:
    if flag(foreign, "use_fire"):
        cause = "--use_fire ends in 'NameError: generate_fn' at the first rollout."
        yield told(foreign, "check.lightrft.fire", "error", "use_fire", cause, drop(foreign, "use_fire"))
    if flag(foreign, "packing_samples"):
        pictures = not flag(foreign, "text_only")
        cause = (
            "--packing_samples drops the fields of images, and the actor's step calls it unsupported."
            if pictures
            else "--packing_samples is only in the builder of text; the actor's step calls it unsupported."
        )
        yield told(
            foreign,
            "check.lightrft.packing",
            "error" if pictures else "warning",
            "packing_samples",
            cause,
            drop(foreign, "packing_samples"),
        )
    if flag(foreign, "freeze_prefix"):
        cause = (
            "--freeze_prefix looks for names that begin with 'visual', which are 'model.visual…' since "
            "transformers 4.52: it prints 'Froze 0/N' and freezes nothing."
        )
        fix = Fix("look for 'Froze' in the log; leave it out where it says 0")
        yield told(foreign, "check.lightrft.freeze-prefix", "warning", "freeze_prefix", cause, fix)
    if (count(foreign, "lora_rank") or 0) > 0:
        cause = (
            "--lora_rank: in versions before mid-2026 adapters go to the engine under their own names and "
            "unmerged, so it keeps sampling from the base model."
        )
        fix = Fix("use a version with LoRA merging, or train all weights")
        yield told(foreign, "check.lightrft.lora-sync", "warning", "lora_rank", cause, fix)
    engine = text(foreign, "engine_type", "vllm")
    if "$" not in engine and engine not in ("vllm", "sglang"):
        newer = engine == "hf"
        cause = f"engine_type = {engine} stops with 'Unsupported backend': it is vllm or sglang."
        if newer:
            cause = "engine_type = hf is known to versions since spring 2026 only, and is slow."
        fix = use(foreign, "engine_type", "vllm")
        severity: Severity = "warning" if newer else "error"
        yield told(foreign, "check.lightrft.engine", severity, "engine_type", cause, fix)


def _lengths(foreign: Foreign, job: Job) -> Iterator[Finding]:
    if "max_len" in foreign.settings:
        total = (job.prompt_len or 0) + (job.response_len or 0)
        yield told(
            foreign,
            "check.lightrft.max-len",
            "warning",
            "max_len",
            "--max_len is deprecated and limits only the supervised mix-in; sequences may have "
            f"prompt_max_len + generate_max_len = {job.prompt_len} + {job.response_len} = {total} tokens.",
            Fix("set --prompt_max_len and --generate_max_len, and leave --max_len out"),
            also=("prompt_max_len", "generate_max_len"),
        )
    template = text(foreign, "input_template")
    if template and "$" not in template and "{}" not in template:
        cause = "input_template has no {} for the prompt: the program warns, and goes on without a template."
        yield told(
            foreign, "check.lightrft.template", "warning", "input_template", cause, Fix("put {} in it")
        )
    if "\\n" in template:
        cause = r"input_template holds a backslash and an n, not a new line."
        yield told(
            foreign,
            "check.lightrft.template",
            "warning",
            "input_template",
            cause,
            Fix(r"write it as $'…\n…' in Bash"),
        )


def _saving(foreign: Foreign, job: Job) -> Iterator[Finding]:
    if (number(foreign, "save_steps", -1) or -1) < 0:
        cause = "--save_steps is not given: no checkpoint is written before the end of the run."
        yield told(
            foreign,
            "check.lightrft.no-checkpoints",
            "info",
            "save_steps",
            cause,
            use(foreign, "save_steps", 20),
        )
    if flag(foreign, "load_checkpoint"):
        cause = (
            "--load_checkpoint brings back the weights, but not the position in the data, and under FSDP "
            "neither optimizer nor scheduler ('ckpt … does not exist! Skipping')."
        )
        yield told(foreign, "check.lightrft.resume", "info", "load_checkpoint", cause)


def _key(foreign: Foreign, job: Job) -> Iterator[Finding]:
    """`--use_wandb` is the key itself, which any user of the machine sees among the processes."""
    value = text(foreign, "use_wandb")
    if value == HIDDEN or value.startswith("$"):
        yield told(
            foreign,
            "check.lightrft.key-on-command-line",
            "warning",
            "use_wandb",
            "--use_wandb takes the W&B key itself (not a project, as the guide says): on the command line "
            "everybody on the machine can read it, and it is logged with the arguments.",
            Fix("export WANDB_API_KEY outside of the script, and give --use_wandb true"),
        )


def _required(foreign: Foreign, job: Job) -> Iterator[Finding]:
    for name, what in {"pretrain": "the model", "prompt_data": "the training prompts"}.items():
        empty = name in foreign.settings
        if not foreign.get(name) and (empty or _complete(foreign)):
            cause = f"--{name} ({what}) is {'empty' if empty else 'not given'}."
            yield told(foreign, "check.lightrft.missing", "error", name, cause, Fix(f"give --{name}"))


def _guide(foreign: Foreign, job: Job) -> Iterator[Finding]:
    """Options that are not given, whose defaults the guide has wrong."""
    if not _complete(foreign):
        return
    missing = [
        name for name in GUIDE if name not in foreign.settings and name not in ("max_len", "kl_target")
    ]
    if missing:
        said = ", ".join(
            f"{name} = {shown(default(foreign, name))} ({shown(GUIDE[name])})" for name in missing
        )
        cause = f"not given, and not at the default that LightRFT's guide names (in brackets): {said}."
        yield Finding("check.lightrft.defaults", "info", cause, fixes=(Fix("give those that matter to you"),))


def _complete(foreign: Foreign) -> bool:
    """False where whole arguments come from a variable or command that is not known."""
    return not any(problem.id == "check.lightrft.more-options" for problem in foreign.problems)


RULES: tuple[Rule, ...] = (
    _backend,
    _critic,
    _estimator,
    _kl,
    _precision,
    _broken,
    _lengths,
    _saving,
    _key,
    _required,
    _guide,
)
