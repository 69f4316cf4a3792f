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
    decode = Decode(job)
    waiting = (count - batch) * responses.mean / batch * decode.step(batch, context)
    ending, tail = _ending(decode, batch, prompt, responses)
    return Generation(
        prefill=_prefill(job, speeds, count, prompt),
        decode=waiting + ending,
        tail=tail,
        limit=decode.limit(batch, context),
    )


class Decode:
    """One token for each running sequence of an engine replica, in seconds."""

    def __init__(self, job: Job) -> None:
        shape, rollout, speeds = job.shape, job.config.rollout, Speeds.of(job.place)
        self.experts = shape.experts
        self.tp = rollout.engine_tp_size if job.engine != "hf" else 1
        fp8 = rollout.engine_quantization == "fp8" and job.engine != "hf"
        number = job.compute_bytes
        self.weights = rollout_vllm.weight_bytes(shape, self.tp, number, fp8=fp8)
        self.expert = 0.0
        """Bytes of one expert in all layers, on each rank."""
        if shape.experts:
            sparse = shape.layers - shape.experts.dense_layers
            self.expert = 3 * shape.hidden * shape.experts.width * sparse * (1 if fp8 else number) / self.tp
        self.kv = shape.kv_bytes(self.tp, number)
        self.bandwidth = BANDWIDTH_SHARE * speeds.bandwidth
        self.product = 2 * shape.params_matmul / (self.tp * COMPUTE_SHARE * speeds.peak)
        self.sampling = shape.vocab * SAMPLER_BYTES / speeds.bandwidth
        self.reduction = 2 * shape.hidden * number / speeds.link
        self.reductions = 2 * shape.layers if self.tp > 1 else 0
        self.least = 0.0 if job.place.on_cpu else GRAPH_LAYER * shape.layers
        self.fixed, self.sequence = _overheads(job)

    def step(self, batch: float, context: float) -> float:
        """All of it, with `context` tokens of each sequence in the cache."""
        model = max(self.memory(batch, context), self.compute(batch), self.least)
        return model + batch * self.sampling + self.links(batch) + self.overhead(batch)

    def limit(self, batch: float, context: float) -> str:
        """What takes the longest part of a step."""
        seconds = {
            "memory bandwidth": self.memory(batch, context),
            "arithmetic": self.compute(batch),
            "tensor-parallel links": self.links(batch),
            "scheduling and launches": self.overhead(batch),
        }
        return max(seconds, key=lambda name: seconds[name])

    def memory(self, batch: float, context: float) -> float:
        """To read the weights once, of a mixture those of the experts in use, and all keys and values."""
        read = self.weights + batch * context * self.kv
        if self.experts:
            unused = (1 - self.experts.per_token / self.experts.count) ** batch
            read -= self.experts.count * unused * self.expert
        return read / self.bandwidth

    def compute(self, batch: float) -> float:
        return self.product * batch

    def links(self, batch: float) -> float:
        """Two sums over the ranks in each layer."""
        return self.reductions * (ALL_REDUCE + self.reduction * batch)

    def overhead(self, batch: float) -> float:
        """Scheduling, and launches where there are no CUDA graphs."""
        return self.fixed + self.sequence * batch


def _overheads(job: Job) -> tuple[float, float]:
    """Seconds of a step besides the model, and of each sequence in it."""
    layers = job.shape.layers
    if job.engine == "hf":
        launch = LEAN_LAYER if job.shape.family in rollout_hf.LEAN else MODULE_LAYER
        return STEP / 2 + (CPU_LAYER if job.place.on_cpu else launch) * layers, 0.0
    eager = EAGER_LAYER * layers if job.config.rollout.engine_enforce_eager else 0.0
    return STEP + eager, STEP_SEQUENCE


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
