"""Seconds that a rollout takes: prompts once, then one token of every running response at a time."""

from dataclasses import dataclass

from engine.config.batch import replicas, responses_per_rollout
from engine.footprint import rollout_hf, rollout_vllm
from engine.footprint.flops import Tokens, forward_flops
from engine.footprint.job import Job
from engine.footprint.lengths import Lengths, Responses, prompt_length
from engine.footprint.links import Speeds
from engine.footprint.rollout import kv_capacity

SEGMENTS = 24
"""In which the batch, falling as responses end, counts as constant."""
BANDWIDTH_SHARE = 0.8
"""Of memory bandwidth in decoding: 77 % measured (A100-40, Llama-3.1-8B), 0.8 in AIConfigurator."""
COMPUTE_SHARE = 0.6
"""Of the peak in large matrix products without gradients."""
STEP = 2e-3
"""Scheduling and sampling, besides the model: 1 to 3 ms."""
STEP_SEQUENCE = 20e-6
"""The same for each running sequence, in Python."""
GRAPH_LAYER = 40e-6
"""Of a layer's ten kernels at least, however small they are, inside a CUDA graph: an estimate."""
EAGER_LAYER = 0.2e-3
"""More for each layer without CUDA graphs: 85 s against 62 s in verl's rollouts of a 7B."""
LEAN_LAYER, MODULE_LAYER = 0.13e-3, 0.9e-3
"""Launching the kernels of a layer: of `engine.rollout.lean` (16), of transformers (100); estimates."""
CPU_LAYER = 0.1e-3
SAMPLER_BYTES = 80
"""Read and written per sequence and vocabulary entry by log-probabilities and sampling."""
ALL_REDUCE = 15e-6
"""Of tensor parallelism, twice per layer: 10 to 20 µs, and the bytes over the link."""
OCCUPIED = 7 / 8
"""Of the places of the hf engine's batch, which are filled again once a quarter is free."""


@dataclass(frozen=True, slots=True)
class Generation:
    """Seconds of one rollout. `tail`: those in which less than half of a full batch is running."""

    prefill: float
    decode: float
    tail: float
    limit: str
    """What decides how long a token of a full batch takes."""

    @property
    def seconds(self) -> float:
        return self.prefill + self.decode


def generation(job: Job, lengths: Lengths) -> Generation:
    """One rollout, on the replica with the most prompts; all are taken to have the same."""
    config, speeds = job.config, Speeds.of(job.place)
    responses, prompt = Responses.of(config, lengths), prompt_length(config, lengths)
    count = max(1, responses_per_rollout(config) // replicas(config, job.place.ranks))
    context = prompt + responses.mean_square / (2 * responses.mean)
    batch = _batch(job, count, prompt, responses)
    decode = Decode(job, speeds)
    waiting = (count - batch) * responses.mean / batch * decode.step(batch, context)
    ending, tail = _ending(decode, batch, prompt, responses)
    return Generation(
        prefill=_prefill(job, speeds, count, prompt),
        decode=waiting + ending,
        tail=tail,
        limit=decode.limit(batch, context),
    )


@dataclass(frozen=True, slots=True)
class Decode:
    """One token for each running sequence of an engine replica."""

    job: Job
    speeds: Speeds

    @property
    def tp(self) -> int:
        return self.job.config.rollout.engine_tp_size if self.job.engine != "hf" else 1

    def step(self, batch: float, context: float) -> float:
        """Seconds, with `context` tokens of each sequence in the cache."""
        model = max(self.memory(batch, context), self.compute(batch), self._least())
        sampling = batch * self.job.shape.vocab * SAMPLER_BYTES / self.speeds.bandwidth
        return model + sampling + self._all_reduce(batch) + self._overhead(batch)

    def limit(self, batch: float, context: float) -> str:
        """What takes the longest part of a step."""
        seconds = {
            "memory bandwidth": self.memory(batch, context),
            "arithmetic": self.compute(batch),
            "tensor-parallel links": self._all_reduce(batch),
            "scheduling and launches": self._overhead(batch),
        }
        return max(seconds, key=lambda name: seconds[name])

    def memory(self, batch: float, context: float) -> float:
        """Seconds to read the weights once and every sequence's keys and values."""
        kv = self.job.shape.kv_bytes(self.tp, self.job.compute_bytes)
        read = self._weights_read(batch) + batch * context * kv
        return read / (BANDWIDTH_SHARE * self.speeds.bandwidth)

    def compute(self, batch: float) -> float:
        return 2 * self.job.shape.params_matmul * batch / (self.tp * COMPUTE_SHARE * self.speeds.peak)

    def _weights_read(self, batch: float) -> float:
        """Bytes on each rank: of a mixture, those of the experts that any of the sequences goes to."""
        job, shape = self.job, self.job.shape
        fp8 = job.config.rollout.engine_quantization == "fp8" and job.engine != "hf"
        whole = rollout_vllm.weight_bytes(shape, self.tp, job.compute_bytes, fp8=fp8)
        if shape.experts is None:
            return whole
        experts = shape.experts
        layers = shape.layers - experts.dense_layers
        each = 3 * shape.hidden * experts.width * layers * (1 if fp8 else job.compute_bytes) / self.tp
        touched = experts.count * (1 - (1 - experts.per_token / experts.count) ** batch)
        return whole - (experts.count - touched) * each

    def _all_reduce(self, batch: float) -> float:
        if self.tp == 1:
            return 0.0
        size = self.job.shape.hidden * batch * self.job.compute_bytes
        return 2 * self.job.shape.layers * (ALL_REDUCE + 2 * size / self.speeds.link)

    def _least(self) -> float:
        return 0.0 if self.job.place.on_cpu else GRAPH_LAYER * self.job.shape.layers

    def _overhead(self, batch: float) -> float:
        job = self.job
        if job.engine == "hf":
            layer = LEAN_LAYER if job.shape.family in rollout_hf.LEAN else MODULE_LAYER
            return STEP / 2 + (CPU_LAYER if job.place.on_cpu else layer) * job.shape.layers
        eager = EAGER_LAYER * job.shape.layers if job.config.rollout.engine_enforce_eager else 0.0
        return STEP + STEP_SEQUENCE * batch + eager


def _batch(job: Job, count: int, prompt: float, responses: Responses) -> float:
    """Sequences that run at once while others wait."""
    shared = job.config.rollout.engine_prefix_caching and job.engine != "hf"
    own_prompt = prompt / job.config.batch.n_samples_per_prompt if shared else prompt
    capacity = kv_capacity(job)
    if job.engine == "hf":
        full = min(count, capacity.most)
        return full if count <= capacity.most else max(1.0, OCCUPIED * full)
    return min(count, capacity.sequences(own_prompt + responses.mean))


def _ending(decode: Decode, batch: float, prompt: float, responses: Responses) -> tuple[float, float]:
    """Seconds in which `batch` responses run to their ends, and those of them with less than half running."""
    total = tail = begin = 0.0
    for i in range(SEGMENTS):
        share = (i + 0.5) / SEGMENTS
        end = responses.at((i + 1) / SEGMENTS)
        seconds = (end - begin) * decode.step(max(1.0, batch * (1 - share)), prompt + (begin + end) / 2)
        total += seconds
        tail += seconds if share > 0.5 else 0.0
        begin = end
    return total, tail


def _prefill(job: Job, speeds: Speeds, count: int, prompt: float) -> float:
    """The n responses to a prompt share its pass, in vLLM by its prefix cache."""
    shares = job.engine == "hf" or job.config.rollout.engine_prefix_caching
    passes = count / job.config.batch.n_samples_per_prompt if shares else count
    tp = job.config.rollout.engine_tp_size if job.engine != "hf" else 1
    flops = forward_flops(job.shape, Tokens(prompt, 1, prompt**2))
    return passes * flops / (tp * COMPUTE_SHARE * speeds.peak)
