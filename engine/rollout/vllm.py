"""vLLM inside the training process, for versions 0.20 to 0.32: all that depends on the library is here.

The ranks of a tensor-parallel group each build an engine around their shard (`external_launcher`) and step
through the same requests. Nothing between them tells one rank what the other does, so whatever could depend
on timing (asynchronous scheduling) is off, and each call begins from the same seed and an empty prefix cache.
"""

import math
import os
import warnings
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from engine.config.sections import RunConfig
from engine.findings import EXIT_RUN_FAILED, EXIT_UNFIT, Finding, FindingsError, render
from engine.libraries import require_vllm
from engine.models.loading import ModelSource
from engine.rollout.base import Completion, SamplingParams
from engine.rollout.batch import not_finite
from engine.rollout.guest import environment, own_random_state, undisturbed
from engine.rollout.memory_release import free_memory, wait_for_release
from engine.rollout.vllm_refusals import explain, not_importable
from engine.strategy import Strategy

GIB = 1024**3
CPU_KV_CACHE_GB = 1.0
"""Where `engine_kv_cache_gb` is unset and there is no device memory to take a share of."""


class VLLMEngine:
    """A `RolloutEngine` on this rank's shard of a vLLM engine.

    Sleeping (CUDA only) moves the weights to host memory and drops the KV cache. Waking brings back the
    weights at once and the cache when it is needed, so that a weight sync finds room.
    """

    names_on_disk = True

    def __init__(
        self, llm: Any, *, eos_token_ids: Collection[int], device: torch.device, sleeps: bool
    ) -> None:
        self.llm, self.device, self.sleeps = llm, device, sleeps
        self.eos_token_ids = list(eos_token_ids)
        self.status = "awake"
        self._cache_asleep = False
        self._temperature = 1.0
        self._runner = llm.llm_engine.model_executor.driver_worker.worker.model_runner
        # vLLM reports log-probs at temperature 1, or after filtering; an instance's own methods come first.
        self._runner.sampler.compute_logprobs = self._logprobs
        self._runner.sampler.gather_logprobs = _of_sampled_tokens
        # Its own end at the interpreter's exit would come after that of the process group, and complain.
        if finalizer := getattr(llm.llm_engine.engine_core, "_finalizer", None):
            finalizer.atexit = False

    def generate(
        self, prompts: Sequence[Sequence[int]], params: SamplingParams, generator: torch.Generator
    ) -> list[list[Completion]]:
        """See `RolloutEngine`. The same prompts and generator state give the same responses.

        The ranks of a tensor-parallel group give the same prompts and draw from generators in the same state.
        """
        if not prompts:
            return []
        if not all(prompts):
            raise ValueError(f"prompt {next(i for i, p in enumerate(prompts) if not p)} has no tokens")
        self.wake_up()
        if self._cache_asleep:
            self._take_back("kv_cache")
            self._cache_asleep = False
        self.llm.reset_prefix_cache()  # what earlier calls left there must not decide how this one computes
        self._temperature = params.temperature or 1.0
        seed = int(torch.randint(2**62, (1,), generator=generator, device=generator.device))
        with own_random_state(seed):
            outputs = self.llm.generate(
                [{"prompt_token_ids": list(prompt)} for prompt in prompts],
                self._sampling(params),
                use_tqdm=False,
            )
        groups = [[self._completion(i, o) for o in output.outputs] for i, output in enumerate(outputs)]
        if params.temperature > 0:
            return groups
        return [[_copy(group[0]) for _ in range(params.n)] for group in groups]

    def update_weights(self, named: Iterable[tuple[str, Tensor]]) -> None:
        """See `RolloutEngine`; of the names that vLLM does not accept, the first ends the push.

        Layer by layer, weights go through the processing that follows loading from disk: quantization, and
        the packed form that some kernels want.
        """
        if self.status == "asleep":
            raise RuntimeError("the rollout engine is asleep: call wake_up() before update_weights()")
        from vllm.config import set_current_vllm_config

        with set_current_vllm_config(self._runner.vllm_config), torch.no_grad():
            problems = _load(self._runner.model, named, self._runner.model_config)
        self.llm.reset_prefix_cache()
        if problems:
            raise ValueError("weights do not fit the rollout engine's model: " + "; ".join(problems))

    def sleep(self) -> None:
        """Give up device memory, and return when it is free. On a CPU only the status changes."""
        if self.status == "asleep":
            return
        if self.sleeps:
            from vllm.device_allocator.cumem import CuMemAllocator

            if self._cache_asleep:
                self._take_back("kv_cache")
            before, held = free_memory(self.device), CuMemAllocator.get_instance().get_current_usage()
            self.llm.sleep(level=1)
            self._cache_asleep = True
            wait_for_release(lambda: free_memory(self.device), before=before, released=held)
        self.status = "asleep"

    def wake_up(self) -> None:
        """Take device memory back."""
        if self.status == "awake":
            return
        if self.sleeps:
            self._take_back("weights")
        self.status = "awake"

    def _take_back(self, tag: str) -> None:
        free_memory(self.device)  # what the trainer has cached is what the engine is about to take
        self.llm.wake_up(tags=[tag])

    def close(self) -> None:
        """Take down vLLM, and with it the process group, which it takes for its own."""
        self.llm.llm_engine.engine_core.shutdown()

    def _sampling(self, params: SamplingParams) -> Any:
        from vllm import SamplingParams as VLLMSamplingParams

        return VLLMSamplingParams(
            n=params.n if params.temperature > 0 else 1,  # vLLM refuses several greedy responses
            temperature=params.temperature,
            top_p=params.top_p,
            top_k=max(params.top_k, 0),
            max_tokens=params.max_tokens,
            min_tokens=params.min_tokens,
            stop_token_ids=self.eos_token_ids,
            ignore_eos=True,  # the end tokens are those above
            logprobs=0,
            flat_logprobs=True,
            detokenize=False,
        )

    def _logprobs(self, logits: Tensor) -> Tensor:
        """Log-probabilities [rows, vocabulary] at the temperature of the present call."""
        logits = logits.float()
        if self._temperature != 1:
            logits = logits / self._temperature
        return logits.log_softmax(-1)

    def _completion(self, prompt: int, output: Any) -> Completion:
        tokens, logprobs = list(output.token_ids), list(output.logprobs.logprobs)
        if not math.isfinite(sum(logprobs)):
            raise FindingsError([not_finite(prompt)], EXIT_RUN_FAILED)
        return Completion(tokens, logprobs, truncated=tokens[-1] not in self.eos_token_ids)


def start(config: RunConfig, source: ModelSource, strategy: Strategy) -> VLLMEngine:
    """The engine of this rank; see `start_engine`. Collective.

    Raises FindingsError: environment.missing-extra, environment.unsupported-version,
    environment.not-importable, engine.out-of-memory,
    engine.beyond-context, engine.unsupported-model.
    """
    version = require_vllm()
    replicas, ranks = strategy.world_size // strategy.tensor_group.size, strategy.tensor_group.size
    strategy.print(f"rollout engine vLLM {version}: {replicas} replica(s) on {ranks} rank(s) each")
    sleeps = config.rollout.enable_engine_sleep and strategy.device.type == "cuda"
    if config.rollout.enable_engine_sleep and not sleeps:
        strategy.print(render(_no_sleep(strategy.device)))
    with undisturbed(), environment(_environment(strategy)), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # vLLM's own, of no use to who starts a run
        run = os.environ.get("MASTER_PORT", str(os.getpid()))
        try:
            from vllm import LLM
        except (ImportError, OSError) as error:
            raise FindingsError([not_importable(version, error)], EXIT_UNFIT) from error
        _name_shared_memory(run)
        try:
            llm = LLM(**engine_arguments(config, source, strategy))
        except Exception as error:
            finding = explain(error, config.rollout, strategy.device)
            if finding is None:
                raise
            raise FindingsError([finding]) from error
        _forget_shared_memory(run)
    return VLLMEngine(llm, eos_token_ids=source.eos_token_ids, device=strategy.device, sleeps=sleeps)


def engine_arguments(config: RunConfig, source: ModelSource, strategy: Strategy) -> dict[str, Any]:
    """The arguments of `vllm.LLM`."""
    rollout, on_cpu = config.rollout, strategy.device.type == "cpu"
    kv_cache_gb = rollout.engine_kv_cache_gb or (CPU_KV_CACHE_GB if on_cpu else None)
    return {
        "model": source.name,
        "skip_tokenizer_init": True,
        "trust_remote_code": source.trust_remote_code,
        "generation_config": "vllm",  # not the model's, whose sampling defaults would be mixed into ours
        "dtype": str(strategy.compute_dtype).removeprefix("torch."),
        "seed": config.run.seed,
        "distributed_executor_backend": "external_launcher",
        "tensor_parallel_size": rollout.engine_tp_size,
        "max_model_len": rollout.max_len,
        "gpu_memory_utilization": rollout.engine_mem_util,
        "kv_cache_memory_bytes": int(kv_cache_gb * GIB) if kv_cache_gb else None,
        "quantization": rollout.engine_quantization,
        "enable_prefix_caching": rollout.engine_prefix_caching,
        "enforce_eager": rollout.engine_enforce_eager,
        "enable_sleep_mode": rollout.enable_engine_sleep and not on_cpu,
        "async_scheduling": False,
        "logprobs_mode": "raw_logprobs",
        "use_tqdm_on_load": False,
    }


def _environment(strategy: Strategy) -> dict[str, str]:
    """What vLLM reads from the environment while it is imported and built."""
    return {
        "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
        "VLLM_USE_V2_MODEL_RUNNER": "0",  # the first one has the sampler whose log-probs are set right here
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",
        "VLLM_NO_USAGE_STATS": "1",
        "VLLM_LOGGING_LEVEL": os.environ.get("VLLM_LOGGING_LEVEL", "ERROR"),
        "RANK": str(strategy.rank),
        "LOCAL_RANK": str(strategy.device.index or 0),
    }


def _load(model: Any, named: Iterable[tuple[str, Tensor]], model_config: Any) -> list[str]:
    """Load weights into a running model; what was unknown, misshapen or missing comes back in words."""
    from vllm.model_executor.model_loader.reload import finalize_layerwise_reload, initialize_layerwise_reload

    latest = "no parameter"
    broken: list[Exception] = []

    def watched() -> Iterator[tuple[str, Tensor]]:
        nonlocal latest
        try:
            for name, tensor in named:
                latest = f"{name} {tuple(tensor.shape)}"
                yield name, tensor
        except Exception as error:  # of whoever gathers the weights
            broken.append(error)
            raise

    tied = _tied_names(model)
    _forget_packed_experts(model)
    initialize_layerwise_reload(model)
    expected = {name for name, _ in model.named_parameters()}
    try:
        loaded = set(model.load_weights(watched()))
        twins = {name for names in tied if names & loaded for name in names - loaded}
        missing = expected - loaded - twins | _incomplete(model)
    except (ValueError, KeyError, IndexError, AssertionError, RuntimeError) as error:
        if error in broken:
            raise
        return [f"{latest} is not accepted: {error or type(error).__name__}"]
    finally:
        finalize_layerwise_reload(model, model_config)
    for name in twins:  # they share the weight, but not what their layers made of it
        layer = model.get_submodule(name.rpartition(".")[0])
        layer.quant_method.process_weights_after_loading(layer)
    return [f"missing parameter {name}" for name in sorted(missing)]


def _tied_names(model: nn.Module) -> list[set[str]]:
    """The names of each parameter that has several."""
    names: dict[int, set[str]] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        names.setdefault(id(parameter), set()).add(name)
    return [group for group in names.values() if len(group) > 1]


def _forget_packed_experts(model: nn.Module) -> None:
    """Experts on a CPU are packed once, for a kernel that is not told of new weights: have it made again."""
    for module in model.modules():
        method = getattr(module, "quant_method", None)
        if getattr(method, "moe_kernel", None) is not None and next(module.parameters()).device.type == "cpu":
            method.moe_kernel = None  # type: ignore[union-attr]


def _incomplete(model: nn.Module) -> set[str]:
    """Parameters made of several of the checkpoint's (query, key and value), some of which did not come."""
    from vllm.model_executor.layers.linear import MergedColumnParallelLinear, QKVParallelLinear
    from vllm.model_executor.model_loader.reload.layerwise import get_layerwise_info

    found = set()
    for name, layer in model.named_modules():
        if isinstance(layer, MergedColumnParallelLinear | QKVParallelLinear):
            info = get_layerwise_info(layer)
            if info.can_load() and info.load_numel < info.load_numel_total:
                found.add(f"{name} ({info.load_numel} of {info.load_numel_total} numbers came)")
    return found


def _of_sampled_tokens(logprobs: Tensor, num_logprobs: int, token_ids: Tensor) -> Any:
    """What `Sampler.gather_logprobs` gives for no further tokens, without ranks, which nothing reads here."""
    from vllm.v1.outputs import LogprobsTensors

    tokens = token_ids.unsqueeze(-1)
    return LogprobsTensors(tokens.to(torch.int32), logprobs.gather(-1, tokens), torch.zeros_like(token_ids))


def _copy(completion: Completion) -> Completion:
    return Completion(list(completion.token_ids), list(completion.logprobs), completion.truncated)


def _name_shared_memory(run: str) -> None:
    """Tensor-parallel ranks on a CPU meet in shared memory that is named after the last part of an address.

    With an external launcher that is `env://` for every run on the machine, so that two runs would meet.
    """
    from vllm.v1.executor.uniproc_executor import ExecutorWithExternalLauncher

    def distributed_args(_: Any) -> tuple[str, int, int]:
        return f"env://{run}", int(os.environ["RANK"]), int(os.environ["LOCAL_RANK"])

    ExecutorWithExternalLauncher._distributed_args = distributed_args


def _forget_shared_memory(run: str) -> None:
    """All ranks have it open by now: without a name it goes when they go, however they end.

    The queue between the driver and its workers has no use here, where every rank drives its own engine.
    """
    from vllm.distributed.parallel_state import get_tp_group

    get_tp_group().mq_broadcaster = None
    for path in Path("/dev/shm").glob(f"{run}-tp:*cpushm*"):
        path.unlink(missing_ok=True)


def _no_sleep(device: torch.device) -> Finding:
    return Finding(
        "engine.no-sleep",
        "warning",
        f"enable_engine_sleep has no effect on this machine: vLLM has no memory to free on {device.type}",
        param="rollout.enable_engine_sleep",
    )
