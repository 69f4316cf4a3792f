"""The memory of the `hf` engine: a whole copy of the model on every rank, and a cache for one batch."""

from engine.config.batch import generate_max_len, replicas, responses_per_rollout
from engine.footprint.job import Job
from engine.footprint.rollout_vllm import widest_mlp
from engine.footprint.terms import Term

SLACK_COLUMNS = 64
"""`engine.rollout.hf.SLACK_COLUMNS`."""
LEAN = ("llama", "qwen2", "qwen3")
"""Families that decode without their own modules, of `engine.rollout.lean`."""
SAMPLING_BYTES = 16
"""Per row and vocabulary entry, beside logits: float32, at temperature, log-probabilities, probabilities."""
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
    """The larger of a prefill's temporaries and of a decode step with its logits."""
    shape, number = job.shape, job.compute_bytes
    width = widest_mlp(shape)
    per_token = number * (3 * width + 4 * shape.hidden)
    prefill = prefilled(job) * job.config.rollout.prompt_max_len * per_token
    decode = rows(job) * (per_token + shape.vocab * (number + SAMPLING_BYTES))
    words = (
        f"{rows(job)} rows × {shape.vocab:,} entries × ({number} + {SAMPLING_BYTES}) B of logits and sampling"
    )
    if shape.family not in LEAN:
        repeated = 2 * rows(job) * columns(job) * shape.heads * shape.head_dim * number
        decode += repeated
        words += f" + {repeated / 1e6:.0f} MB of one layer's keys and values repeated for all heads"
    if prefill > decode:
        words = (
            f"{prefilled(job)} prompts × {job.config.rollout.prompt_max_len:,} tokens × {number} B × "
            f"(3 × {width:,} + 4 × {shape.hidden:,}), one layer's temporaries"
        )
    return Term("engine activations", max(prefill, decode), words, HF, "torch")


def prefilled(job: Job) -> int:
    """Prompts that are put through the model together."""
    return -(-rows(job) // job.config.batch.n_samples_per_prompt)
