"""The rollout engine's memory on one rank, in each of its states; and how many sequences it can hold."""

from dataclasses import dataclass
from typing import NamedTuple

from engine.config.batch import replicas, responses_per_rollout
from engine.footprint import rollout_hf, rollout_sglang, rollout_vllm
from engine.footprint.constants import process_terms
from engine.footprint.job import Job
from engine.footprint.states import optimizer, parameters, reference, reference_travels, states_travel
from engine.footprint.terms import Term

Terms = tuple[Term, ...]


@dataclass(frozen=True, slots=True)
class KVCapacity:
    """What the KV cache of one engine replica holds, against what a rollout asks of it."""

    tokens: int
    """Tokens of context in sequences of `max_len`; below that the engine does not start."""
    most: int
    """Sequences that the engine decodes at once, whatever their length."""
    demand: int
    """Responses that a rollout asks of one replica."""
    max_len: int
    """Tokens of the longest sequence that the configuration allows."""

    @property
    def starts(self) -> bool:
        """Whether one sequence of the greatest length fits."""
        return self.tokens >= self.max_len

    def sequences(self, mean_tokens: float) -> int:
        """Sequences of that mean length that are decoded at once: more of them wait or are preempted."""
        return max(1, min(self.most, self.demand, int(self.tokens / max(1.0, mean_tokens))))


def sleeps(job: Job) -> bool:
    """Whether the engine gives its device memory back outside of rollouts."""
    return job.config.rollout.enable_engine_sleep and not job.place.on_cpu


def kv_capacity(job: Job) -> KVCapacity:
    """How much the engine's KV cache holds, by its share of memory (`engine_mem_util`) or its batch (hf)."""
    config = job.config
    demand = responses_per_rollout(config) // replicas(config, job.place.ranks)
    if job.engine == "hf":
        own, columns = rollout_hf.rows(job), rollout_hf.columns(job)
        return KVCapacity(own * columns, own, demand, columns)
    if job.engine == "vllm":
        share, most = rollout_vllm.kv_share(job), rollout_vllm.batch_limits(job)[1]
    else:
        share, most = rollout_sglang.kv_share(job, free_at_start(job)), rollout_sglang.MOST
    longest = config.rollout.max_len
    return KVCapacity(int(share * longest / rollout_vllm.one_sequence(job)), most, demand, longest)


def trainer_at_start(job: Job) -> Terms:
    """What the trainer holds when the engine starts: its models, but no moments before the first step.

    Masters beside the parameters are there from the beginning.
    """
    held = parameters(job)
    if not reference_travels(job):
        held += reference(job)
    for term in () if states_travel(job) else optimizer(job):
        if "masters" in term.name:
            size = term.bytes // 3
            held += (Term("masters", size, f"a third of {term.formula}", term.source, term.where),)
    return held


def free_at_start(job: Job) -> int:
    """Device memory that nobody holds when the engine starts."""
    held = sum(term.bytes for term in (*trainer_at_start(job), *process_terms(job)))
    return max(0, job.place.free - held)


class EngineStates(NamedTuple):
    """What the engine holds on a rank, by what it is doing."""

    starting: Terms
    """All that it asks for as it starts."""
    generating: Terms
    awake: Terms
    """With nothing to do: without the temporaries of generation."""
    synced: Terms
    """In the weight sync and until the next rollout: vLLM takes its KV cache back only then."""
    outside: Terms
    """During log-probabilities and updates."""


def engine_states(job: Job) -> EngineStates:
    """The terms of the job's engine in each of its states."""
    match job.engine:
        case "hf":
            return _hf(job)
        case "sglang":
            return _sglang(job)
        case "vllm":
            return _vllm(job)


def _hf(job: Job) -> EngineStates:
    weights = (rollout_hf.weights(job),)
    batch = (rollout_hf.kv_cache(job), rollout_hf.prompts_cache(job), rollout_hf.activations(job))
    return EngineStates(weights, weights + batch, weights, weights, () if sleeps(job) else weights)


def _sglang(job: Job) -> EngineStates:
    context = (rollout_sglang.context(),)
    held = (rollout_sglang.weights(job), rollout_sglang.kv_cache(job, free_at_start(job)), *context)
    working = (*held, rollout_sglang.working(job))
    return EngineStates(working, working, held, held, context if sleeps(job) else held)


def _vllm(job: Job) -> EngineStates:
    weights, cache = (rollout_vllm.weights(job),), (rollout_vllm.kv_cache(job),)
    graphs, runtime = rollout_vllm.graphs(job), rollout_vllm.runtime(job)
    always = graphs + runtime
    awake = weights + cache + always
    working = (*awake, rollout_vllm.profiled(job))
    starting = working + rollout_vllm.rest_of_share(job, working)
    generating = (*working, rollout_vllm.unprofiled(job, _sampled_at_once(job)))
    if not sleeps(job):
        return EngineStates(starting, generating, awake, awake, awake)
    kept = runtime + (graphs if rollout_vllm.semantics().keeps_graphs_asleep else ())
    return EngineStates(starting, generating, awake, weights + kept, kept)


def _sampled_at_once(job: Job) -> int:
    """Responses asked of a replica: by a rollout, or by an evaluation, one for each of its prompts."""
    config = job.config
    held_out = config.eval.max_eval_samples if config.eval.eval_data else 0
    return max(kv_capacity(job).demand, -(-held_out // replicas(config, job.place.ranks)))
