"""SGLang beside the training processes, written against the Python API of version 0.5.23.

**Not run**: where this was written there is no GPU, and SGLang's engine needs one. It follows the library's
released source: `sglang.Engine`, its weight-update sessions, its memory saver, and its sampler, whose
log-probabilities are those of all tokens at the sampling temperature, before `top_k` and `top_p` take some
away but after `min_new_tokens` did. A configuration that would get other numbers than the contract asks for
is refused at the start. `tests/engine/rollout/test_contract.py` runs on it wherever it is installed beside a
GPU.

SGLang runs its shards in processes of its own. The first rank of a tensor-parallel group owns the engine and
tells the others what it answered; weights reach it through CUDA IPC, bucket by bucket.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from engine.config.sections import RunConfig
from engine.findings import EXIT_RUN_FAILED, Finding, FindingsError, Fix, raise_errors
from engine.libraries import require_sglang
from engine.models.loading import ModelSource
from engine.rollout.base import Completion, SamplingParams
from engine.rollout.guest import undisturbed
from engine.rollout.memory_release import free_memory
from engine.rollout.on_disk import Expected
from engine.sharding import buckets
from engine.strategy import Strategy
from engine.strategy.groups import RankGroup

MIB = 1024**2


class SGLangEngine:
    """A `RolloutEngine` on `sglang.Engine`, which only the first rank of `group` holds."""

    names_on_disk = True

    def __init__(
        self,
        engine: Any | None,
        *,
        source: ModelSource,
        group: RankGroup,
        device: torch.device,
        bucket_bytes: int,
    ) -> None:
        self.engine, self.group, self.device = engine, group, device
        self.bucket_bytes = bucket_bytes
        self.eos_token_ids = list(source.eos_token_ids)
        self.expected = Expected.of(source.name, tied=bool(source.config.tie_word_embeddings))
        self.status = "awake"

    def generate(
        self, prompts: Sequence[Sequence[int]], params: SamplingParams, generator: torch.Generator
    ) -> list[list[Completion]]:
        """See `RolloutEngine`. Every response has a seed of its own, drawn from `generator`."""
        if not prompts:
            return []
        if not all(prompts):
            raise ValueError(f"prompt {next(i for i, p in enumerate(prompts) if not p)} has no tokens")
        if params.min_tokens > 0:
            raise ValueError(
                f"min_tokens = {params.min_tokens}: log-probabilities would leave out end tokens"
            )
        self.wake_up()
        count = len(prompts) * params.n
        seeds = torch.randint(2**62, (count,), generator=generator, device=generator.device).tolist()
        answers = self._told_by_first(lambda engine: self._ask(engine, prompts, params, seeds))
        return [answers[i : i + params.n] for i in range(0, count, params.n)]

    def update_weights(self, named: Iterable[tuple[str, Tensor]]) -> None:
        """See `RolloutEngine`. SGLang passes over names that it does not know: they are compared here."""
        if self.status == "asleep":
            raise RuntimeError("the rollout engine is asleep: call wake_up() before update_weights()")
        fitting = self.expected.fitting(named)
        on_device = ((name, tensor.to(self.device)) for name, tensor in fitting)
        if self.engine is None:
            for _ in on_device:  # gathering them is collective
                pass
        else:
            self._push(on_device)
        problems = self.expected.problems()
        if problems:
            raise ValueError("weights do not fit the rollout engine's model: " + "; ".join(problems))

    def sleep(self) -> None:
        """Give up device memory, weights going to host memory."""
        if self.status == "asleep":
            return
        self._told_by_first(lambda engine: engine.release_memory_occupation())
        free_memory(self.device)
        self.status = "asleep"

    def wake_up(self) -> None:
        """Take device memory back, weights included."""
        if self.status == "awake":
            return
        free_memory(self.device)  # what the trainer has cached is what the engine is about to take
        self._told_by_first(lambda engine: engine.resume_memory_occupation())
        self.status = "awake"

    def close(self) -> None:
        """End SGLang's processes."""
        if self.engine is not None:
            self.engine.shutdown()

    def _ask(
        self, engine: Any, prompts: Sequence[Sequence[int]], params: SamplingParams, seeds: Sequence[int]
    ) -> list[Completion]:
        engine.flush_cache()  # what earlier calls left there must not decide how this one computes
        common = {
            "temperature": params.temperature,
            "top_p": params.top_p,
            "top_k": params.top_k if params.top_k > 0 else -1,
            "max_new_tokens": params.max_tokens,
            "stop_token_ids": self.eos_token_ids,
        }
        outputs = engine.generate(
            input_ids=[list(prompt) for prompt in prompts for _ in range(params.n)],
            sampling_params=[{**common, "sampling_seed": seed} for seed in seeds],
            return_logprob=True,
        )
        return [self._completion(output["meta_info"]["output_token_logprobs"]) for output in outputs]

    def _completion(self, sampled: Sequence[tuple[float, int, Any]]) -> Completion:
        tokens = [int(token) for _, token, *_ in sampled]
        return Completion(tokens, [float(p) for p, *_ in sampled], tokens[-1] not in self.eos_token_ids)

    def _push(self, named: Iterator[tuple[str, Tensor]]) -> None:
        assert self.engine is not None
        with undisturbed():
            _succeeded(self.engine.begin_weight_update())
            for bucket in buckets(named, self.bucket_bytes, None):
                _succeeded(self.engine.update_weights_from_tensor(bucket, flush_cache=False))
            _succeeded(self.engine.end_weight_update())
            self.engine.flush_cache()

    def _told_by_first(self, ask: Callable[[Any], Any]) -> Any:
        """What `ask` makes of the engine, on every rank of the group."""
        with undisturbed():  # SGLang takes over signal handlers when it is first used
            box = [ask(self.engine) if self.engine is not None else None]
        if self.group.group is not None:
            dist.broadcast_object_list(box, src=self.group.ranks[0], group=self.group.group)
        return box[0]


def start(config: RunConfig, source: ModelSource, strategy: Strategy) -> SGLangEngine:
    """The engine of this rank's group; see `start_engine`. Collective.

    Raises FindingsError: environment.missing-extra, environment.unsupported-version, engine.needs-gpu,
    engine.start-failed.
    """
    version = require_sglang()
    raise_errors(_unsupported(strategy.device))
    group = strategy.tensor_group
    replicas = strategy.world_size // group.size
    strategy.print(f"rollout engine SGLang {version}: {replicas} replica(s) on {group.size} rank(s) each")
    engine = None
    if group.rank == 0:
        with undisturbed():
            import sglang

            try:
                engine = sglang.Engine(**engine_arguments(config, source, strategy))
            except (RuntimeError, ValueError) as error:
                raise FindingsError([_start_failed(config, error)]) from error
    if group.group is not None:
        dist.barrier(group.group)
    return SGLangEngine(
        engine,
        source=source,
        group=group,
        device=strategy.device,
        bucket_bytes=config.rollout.sync_bucket_mb * MIB,
    )


def engine_arguments(config: RunConfig, source: ModelSource, strategy: Strategy) -> dict[str, Any]:
    """The arguments of `sglang.Engine`."""
    rollout = config.rollout
    return {
        "model_path": source.name,
        "skip_tokenizer_init": True,
        "trust_remote_code": source.trust_remote_code,
        "dtype": str(strategy.compute_dtype).removeprefix("torch."),
        "random_seed": config.run.seed,
        "tp_size": strategy.tensor_group.size,
        "base_gpu_id": strategy.device.index or 0,
        "context_length": rollout.max_len,
        "mem_fraction_static": rollout.engine_mem_util,
        "quantization": rollout.engine_quantization,
        "disable_radix_cache": not rollout.engine_prefix_caching,
        "disable_cuda_graph": rollout.engine_enforce_eager,
        "enable_memory_saver": rollout.enable_engine_sleep,
        "enable_weights_cpu_backup": rollout.enable_engine_sleep,
        "enable_deterministic_inference": True,  # only then does it honour the seed of a response
        "sampling_backend": "pytorch",
        "log_level": "error",
    }


def _unsupported(device: torch.device) -> list[Finding]:
    """What SGLang cannot do here; settings that it cannot follow are found by the rules."""
    if device.type == "cuda":
        return []
    fix = Fix("Sample with transformers.", set={"rollout.engine_type": "hf"})
    cause = f"the sglang rollout engine takes its weights on a GPU, and this rank works on {device.type}"
    return [Finding("engine.needs-gpu", "error", cause, fixes=(fix,), param="rollout.engine_type")]


def _start_failed(config: RunConfig, error: Exception) -> Finding:
    rollout = config.rollout
    return Finding(
        id="engine.start-failed",
        severity="error",
        cause="sglang did not start; its own processes said why in this rank's log "
        f"(engine_mem_util = {rollout.engine_mem_util:g}, max_len = {rollout.max_len}, "
        f"engine_tp_size = {rollout.engine_tp_size})",
        evidence=tuple(str(error).strip().splitlines()[:4]),
        fixes=(
            Fix("If memory ran out, give the engine a smaller share, or spread it over more ranks."),
            Fix("Sample with transformers.", set={"rollout.engine_type": "hf"}),
        ),
        param="rollout.engine_type",
    )


def _succeeded(result: Any) -> None:
    """SGLang reports a failed step of a weight update in what it returns."""
    success, message = (
        (result[0], result[1]) if isinstance(result, tuple) else (result.success, result.message)
    )
    if not success:
        raise FindingsError(
            [Finding("engine.weights-refused", "error", f"sglang did not take the weights: {message}")],
            EXIT_RUN_FAILED,
        )
