"""Rules about strategy, rollout engine and model shape: what can be spread how, and what goes with what."""

from collections.abc import Iterator

from engine.config.choices import engine_name, strategy_name, zero_stage
from engine.config.registry import parameters, value_of
from engine.config.rule import Facts, Rule, finding, rule, use
from engine.config.values import show
from engine.findings import Finding, Fix
from engine.models.families import FAMILIES, PACKABLE, takes_layouts

FSDP, STAGE, SHARD = "parallel.fsdp", "parallel.zero_stage", "parallel.fsdp_shard_size"
TP, SP, NPROC = "rollout.engine_tp_size", "parallel.sp_size", "parallel.nproc"
ENGINE = "rollout.engine_type"
FSDP_ONLY = ("memory.fsdp_cpu_offload", "memory.use_mp_opt", SHARD)


@rule(FSDP, STAGE)
def _one_strategy(facts: Facts) -> Iterator[Finding]:
    parallel = facts.config.parallel
    if parallel.fsdp and parallel.zero_stage is not None:
        yield finding(
            "parallel.zero-with-fsdp",
            STAGE,
            f"zero_stage = {parallel.zero_stage} is DeepSpeed's, but fsdp = true asks for FSDP2",
            Fix("leave zero_stage out: FSDP2 shards like ZeRO 3", set={STAGE: None}),
            Fix(f"leave fsdp out: DeepSpeed ZeRO {parallel.zero_stage}", set={FSDP: None}),
        )


@rule(FSDP, STAGE, *FSDP_ONLY)
def _options_of_the_strategy(facts: Facts) -> Iterator[Finding]:
    if strategy_name(facts.config) == "fsdp2":
        return
    for key in FSDP_ONLY:
        value, default = value_of(facts.config, key), parameters()[key].default
        if value == default:
            continue
        name = key.partition(".")[2]
        instead = []
        if key == "memory.fsdp_cpu_offload":
            edits = {key: False, "memory.adam_offload": True}
            instead = [Fix("use DeepSpeed's own: set adam_offload to true instead", set=edits)]
        yield finding(
            "parallel.option-of-other-strategy",
            key,
            f"{name} = {show(value)} belongs to FSDP2, but this run uses DeepSpeed",
            use(key, default),
            *instead,
            Fix("use FSDP2: set fsdp to true and leave zero_stage out", set={FSDP: True, STAGE: None}),
        )


@rule("memory.use_mp_opt", "model.bf16")
def _masters_need_bf16(facts: Facts) -> Iterator[Finding]:
    if facts.config.memory.use_mp_opt and not facts.config.model.bf16:
        yield finding(
            "memory.mp-opt-needs-bf16",
            "memory.use_mp_opt",
            "use_mp_opt = true keeps float32 masters of bfloat16 parameters, but bf16 = false",
            use("model.bf16", True),
            use("memory.use_mp_opt", False),
        )


@rule("model.torch_compile", FSDP, STAGE)
def _compiled_layers_stay_whole(facts: Facts) -> Iterator[Finding]:
    config = facts.config
    if config.model.torch_compile and strategy_name(config) == "deepspeed" and zero_stage(config) == 3:
        yield finding(
            "model.compile-with-zero-3",
            "model.torch_compile",
            "torch_compile = true, but the hooks of ZeRO 3 break every decoder layer into pieces that are "
            "compiled one by one",
            use("model.torch_compile", False),
            use(STAGE, 2),
            Fix("use FSDP2: set fsdp to true and leave zero_stage out", set={FSDP: True, STAGE: None}),
        )


@rule(SHARD, NPROC)
def _shards_divide_ranks(facts: Facts) -> Iterator[Finding]:
    size, world = facts.config.parallel.fsdp_shard_size, facts.world_size
    if size is None or world % size == 0:
        return
    divisors = [d for d in range(1, world + 1) if world % d == 0]
    near = sorted(divisors, key=lambda d: abs(d - size))[:2]
    yield finding(
        "parallel.shard-size-indivisible",
        SHARD,
        f"world size = {world} is not a multiple of fsdp_shard_size = {size}",
        *(use(SHARD, d) for d in near),
    )


@rule(TP, ENGINE)
def _tensor_parallel_needs_an_engine(facts: Facts) -> Iterator[Finding]:
    size = facts.config.rollout.engine_tp_size
    if size > 1 and engine_name(facts.config) == "hf":
        yield finding(
            "rollout.tp-needs-engine",
            TP,
            f"engine_tp_size = {size}, but the hf rollout engine runs on one rank: only vllm and "
            "sglang spread a model over several",
            use(ENGINE, "vllm"),
            use(TP, 1),
        )


@rule(TP)
def _key_value_heads(facts: Facts) -> Iterator[Finding]:
    """An engine splits key/value heads over its ranks, or repeats them: no other number works."""
    size, heads = facts.config.rollout.engine_tp_size, facts.of_model("num_key_value_heads")
    if not isinstance(heads, int) or heads < 1 or heads % size == 0 or size % heads == 0:
        return
    world = facts.world_size
    fitting = [d for d in range(1, world + 1) if world % d == 0 and (heads % d == 0 or d % heads == 0)]
    yield finding(
        "parallel.tp-kv-heads",
        TP,
        f"{heads} key/value heads neither divide by engine_tp_size = {size} nor it by them",
        *(use(TP, d) for d in sorted(fitting, key=lambda d: abs(d - size))[:2]),
    )


@rule(SP)
def _sequences_can_be_split(facts: Facts) -> Iterator[Finding]:
    size, model = facts.config.parallel.sp_size, facts.model or {}
    kind = model.get("model_type")
    if size == 1 or kind is None or takes_layouts(model):
        return
    yield finding(
        "parallel.sp-unsupported-model",
        SP,
        f"sp_size = {size}, but sequences of this {kind} model cannot be split over ranks",
        use(SP, 1),
        evidence=(f"can be, with full attention in every layer: {', '.join(FAMILIES)}",),
    )


@rule("memory.packing_samples")
def _sequences_can_be_packed(facts: Facts) -> Iterator[Finding]:
    kind = (facts.model or {}).get("model_type")
    if not facts.config.memory.packing_samples or kind is None or kind in PACKABLE:
        return
    yield finding(
        "memory.packing-unsupported-model",
        "memory.packing_samples",
        f"packing_samples = true, but sequences of a {kind} model are not known to stay apart when packed",
        use("memory.packing_samples", False),
        evidence=("can be packed: " + ", ".join(sorted(PACKABLE)),),
    )


@rule(ENGINE, "rollout.generate_min_len", "rollout.engine_kv_cache_gb")
def _what_sglang_cannot_follow(facts: Facts) -> Iterator[Finding]:
    rollout = facts.config.rollout
    if engine_name(facts.config) != "sglang":
        return
    if rollout.generate_min_len > 0:
        yield finding(
            "engine.unsupported-setting",
            "rollout.generate_min_len",
            f"generate_min_len = {rollout.generate_min_len}, but sglang's log-probabilities leave out "
            "the end tokens that it masks until then",
            use("rollout.generate_min_len", 0),
            use(ENGINE, "vllm"),
        )
    if rollout.engine_kv_cache_gb is not None:
        yield finding(
            "engine.unsupported-setting",
            "rollout.engine_kv_cache_gb",
            f"engine_kv_cache_gb = {rollout.engine_kv_cache_gb:g}, but sglang sizes its cache by "
            "engine_mem_util alone",
            use("rollout.engine_kv_cache_gb", None),
            use(ENGINE, "vllm"),
        )


@rule("model.lora_rank", "model.target_modules")
def _adapters_have_targets(facts: Facts) -> Iterator[Finding]:
    model = facts.config.model
    if model.lora_rank > 0 and not model.target_modules.replace(",", " ").split():
        yield finding(
            "model.lora-target",
            "model.target_modules",
            f"lora_rank = {model.lora_rank}, but target_modules is empty: nothing would be trained",
            use("model.target_modules", "all-linear"),
        )


@rule("model.flash_attn", "model.bf16")
def _flash_attention_computes_in_bf16(facts: Facts) -> Iterator[Finding]:
    model = facts.config.model
    if model.flash_attn and not model.bf16:
        yield finding(
            "model.flash-needs-bf16",
            "model.flash_attn",
            "flash_attn = true, but flash-attention computes in bfloat16 and bf16 = false",
            use("model.bf16", True),
            Fix("leave flash_attn out: SDPA", set={"model.flash_attn": None}),
        )


RULES: tuple[Rule, ...] = (
    _one_strategy,
    _options_of_the_strategy,
    _masters_need_bf16,
    _compiled_layers_stay_whole,
    _shards_divide_ranks,
    _tensor_parallel_needs_an_engine,
    _key_value_heads,
    _sequences_can_be_split,
    _sequences_can_be_packed,
    _what_sglang_cannot_follow,
    _adapters_have_targets,
    _flash_attention_computes_in_bf16,
)
