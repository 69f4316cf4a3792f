"""The memory of the `hf` engine: a whole copy of the model on every rank, and a cache for one batch."""

from engine.config.batch import generate_max_len, replicas, responses_per_rollout
from engine.footprint.job import Job
from engine.footprint.rollout_vllm import widest_mlp
from engine.footprint.terms import Term

SLACK_COLUMNS = 64
"""`engine.rollout.hf.SLACK_COLUMNS`."""
LEAN = ("llama", "qwen2", "qwen3")
"""Families that decode without their own modules, of `engine.rollout.lean`."""
ROW_BYTES = 12
"""Per row and column: a token and its log-probability."""
HF = "engine/rollout/hf.py, kv.py, sampling.py"


def rows(job: Job) -> int:
    """Responses decoded at once on a rank."""
    own = responses_per_rollout(job.config) // replicas(job.config, job.place.ranks)
    return max(1, min(job.config.batch.micro_rollout_batch_size, own))


def columns(job: Job) -> int:
    """Tokens that each row of the cache has room for."""
    config = job.config
    own = responses_per_rollout(config) // replicas(config, job.place.ranks)
    slack = SLACK_COLUMNS if own > config.batch.micro_rollout_batch_size else 0
    return config.rollout.prompt_max_len + generate_max_len(config) + slack


def weights(job: Job) -> Term:
    """The engine's own copy of the weights, whole on each rank."""
    size = job.compute_bytes * job.shape.params
    formula = f"{job.compute_bytes} B × {job.shape.params:,} parameters, whole on each rank"
    return Term("engine weights", size, formula, HF, "torch")


def kv_cache(job: Job) -> Term:
    """Allocated at the first token for the longest prompt and response."""
    per_token = job.shape.kv_bytes(1, job.compute_bytes)
    size = rows(job) * columns(job) * (per_token + ROW_BYTES)
    formula = f"{rows(job)} rows × {columns(job):,} columns × ({per_token:,} + {ROW_BYTES}) B"
    return Term("KV cache", size, formula, HF, "torch")


def prompts_cache(job: Job) -> Term:
    """Keys and values of prompts whose responses have not all begun, as long as the longest prompt."""
    prompts = prefilled(job)
    width = job.config.rollout.prompt_max_len
    per_token = job.shape.kv_bytes(1, job.compute_bytes)
    formula = f"{prompts} prompts × {width:,} tokens × {per_token:,} B"
    return Term("KV of prompts", prompts * width * per_token, formula, "engine/rollout/prefill.py", "torch")


def activations(job: Job) -> Term:
    """The temporaries of a prefill, of attention in a decode step, or of sampling: whichever are most."""
    return max(_prefill(job), _repeated(job), _sampling(job), key=lambda term: term.bytes)


def _prefill(job: Job) -> Term:
    shape, number, width = job.shape, job.compute_bytes, widest_mlp(job.shape)
    tokens = prefilled(job) * job.config.rollout.prompt_max_len
    each = number * (3 * width + 4 * shape.hidden)
    formula = f"prefill, {tokens:,} tokens × {number} B × (3 × {width:,} + 4 × {shape.hidden:,})"
    return Term("engine activations", tokens * each, formula, "engine/rollout/prefill.py", "torch")


def _repeated(job: Job) -> Term:
    """transformers repeats a layer's keys and values for all heads where rows are padded."""
    shape, number = job.shape, job.compute_bytes
    if shape.family in LEAN or shape.heads == shape.kv_heads:
        size = rows(job) * number * (3 * widest_mlp(shape) + 4 * shape.hidden)
        return Term("engine activations", size, f"decode step, {rows(job)} rows", HF, "torch")
    elements = 2 * rows(job) * columns(job) * shape.heads * shape.head_dim
    formula = f"keys and values of a layer for all heads, {number} B × {elements:,}"
    return Term("engine activations", elements * number, formula, HF, "torch")


def _sampling(job: Job) -> Term:
    each, entries = sampling_bytes(job), rows(job) * job.shape.vocab
    formula = f"sampling, {rows(job)} rows × {job.shape.vocab:,} entries × {each} B"
    return Term("engine activations", each * entries, formula, "engine/rollout/sampling.py", "torch")


def sampling_bytes(job: Job) -> int:
    """Per row and vocabulary entry, at worst: where the nucleus is so wide that all entries are sorted.

    Logits as the model gives them; their float32 copy; log-probabilities; without end tokens; probabilities;
    then their sum, or sorted with indices, kept ones, their sum.
    """
    rollout = job.config.rollout
    copied = 4 if job.compute_bytes < 4 or rollout.temperature not in (0, 1) else 0
    forbidden = 4 if rollout.generate_min_len > 0 else 0
    filtered = rollout.top_p < 1 and not 0 < rollout.top_k < job.shape.vocab
    return job.compute_bytes + copied + 4 + forbidden + 4 + (4 + 8 + 1 + 4 + 4 if filtered else 4)


def prefilled(job: Job) -> int:
    """Prompts that are put through the model together."""
    return -(-rows(job) // job.config.batch.n_samples_per_prompt)
