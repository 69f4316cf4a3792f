"""Rollout inside the training process, on a copy of the policy as a transformers model."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PreTrainedModel

from engine.config.sections import RunConfig
from engine.findings import Finding, FindingsError, Fix
from engine.models.loading import ModelSource
from engine.rollout.base import Completion, SamplingParams
from engine.rollout.batch import DecodeBatch
from engine.rollout.kv import SlotCache
from engine.rollout.lean import LeanDecoder, supports
from engine.rollout.prefill import Forward, PromptQueue
from engine.rollout.sampling import sample
from engine.rollout.weights import copy_weights
from engine.strategy import Strategy

CACHED_ATTENTION = {"full_attention", "sliding_attention", "chunked_attention"}
CHECK_EVERY = {"cpu": 1}
"""Decoded tokens between looks for ended responses, by device type."""
CHECK_EVERY_ASYNC = 8
"""The same on accelerators, where each look makes the host wait for the device."""
SLACK_COLUMNS = 64
"""Spare cache columns when responses begin at different times: how often the cache is shifted."""


@dataclass(slots=True)
class WorkDone:
    """Counts of the latest `generate`."""

    prefill_tokens: int = 0
    decode_steps: int = 0
    decode_rows: int = 0
    """Tokens that went through decoding: the sum of active rows over steps."""


class HFEngine:
    """A `RolloutEngine` on a transformers causal language model, which it owns from now on.

    At most `max_batch` responses are decoded at once. A finished response leaves the batch and, once a
    quarter of the places is free, new ones begin in it. Models of the Llama family decode with `LeanDecoder`
    (`fused=False`: with their own modules like all others). Sleeping moves the weights to host memory; on
    a CPU it only changes the status.
    """

    names_on_disk = False

    def __init__(
        self,
        model: PreTrainedModel,
        *,
        eos_token_ids: Collection[int],
        pad_token_id: int,
        max_batch: int,
        fused: bool = True,
    ) -> None:
        """Raises FindingsError (exit 2) for models whose state is no key/value cache."""
        _check_attention(model)
        self.model = model.eval().requires_grad_(False)
        self.device: torch.device = model.device
        self.pad_token_id, self.max_batch = pad_token_id, max_batch
        self.end_tokens = torch.zeros(
            model.get_output_embeddings().weight.shape[0], dtype=torch.bool, device=self.device
        )
        self.end_tokens[list(eos_token_ids)] = True
        self.forward = Forward(model)
        self.fused = fused and supports(model)
        self.lean = LeanDecoder(model) if self.fused else None
        self.asleep = False
        self.work = WorkDone()

    @property
    def status(self) -> str:
        """`awake` or `asleep`."""
        return "asleep" if self.asleep else "awake"

    def generate(
        self, prompts: Sequence[Sequence[int]], params: SamplingParams, generator: torch.Generator
    ) -> list[list[Completion]]:
        """`params.n` responses to each prompt, in the order of the prompts; wakes a sleeping engine.

        The same prompts and generator state give the same responses.
        """
        self.wake_up()  # not in inference mode, where parameters would become tensors that nothing may update
        self.work = WorkDone()
        if not prompts:
            return []
        if not all(prompts):
            raise ValueError(f"prompt {next(i for i, p in enumerate(prompts) if not p)} has no tokens")
        with torch.inference_mode():
            return self._generate(prompts, params, generator)

    def _generate(
        self, prompts: Sequence[Sequence[int]], params: SamplingParams, generator: torch.Generator
    ) -> list[list[Completion]]:
        queue = PromptQueue(prompts, params.n, self.forward, self.device, self.pad_token_id)
        batch = self._new_batch(prompts, params)
        refill_at = max(1, batch.free // 4)
        done: dict[tuple[int, int], Completion] = {}
        while queue or batch.rows:
            if queue and batch.free >= refill_at:
                logits = batch.append(queue.take(batch.free))
                forbidden = self.end_tokens if params.min_tokens > 0 else None
            else:
                logits = self._decode(batch)
                forbidden = batch.forbidden()
            batch.record(*sample(logits, params, generator, forbidden))
            done.update(((row.prompt, row.sample), completion) for row, completion in batch.retire())
        self.work.prefill_tokens = queue.prefilled_tokens
        return [[done[prompt, i] for i in range(params.n)] for prompt in range(len(prompts))]

    def update_weights(self, named: Iterable[tuple[str, Tensor]]) -> None:
        """Copy full tensors into the engine's parameters; see `RolloutEngine.update_weights`."""
        if self.asleep:
            raise RuntimeError("the rollout engine is asleep: call wake_up() before update_weights()")
        copy_weights(self.model, named)

    def sleep(self) -> None:
        """Move the weights to host memory."""
        if self.asleep:
            return
        self.asleep = True
        if self.device.type != "cpu":
            self.lean = None
            self.model.to("cpu")
            torch.get_device_module(self.device).empty_cache()

    def wake_up(self) -> None:
        """Move the weights back to the device."""
        if not self.asleep:
            return
        self.asleep = False
        if self.device.type != "cpu":
            self.model.to(self.device)
            self.lean = LeanDecoder(self.model) if self.fused else None

    def close(self) -> None:
        """Nothing runs for it."""

    def _new_batch(self, prompts: Sequence[Sequence[int]], params: SamplingParams) -> DecodeBatch:
        responses = len(prompts) * params.n
        slack = SLACK_COLUMNS if responses > self.max_batch else 0
        cache = SlotCache(
            min(self.max_batch, responses),
            max(map(len, prompts)) + params.max_tokens + slack,
            transposed_keys=self.lean is not None and self.lean.small_ops,
        )
        check_every = CHECK_EVERY.get(self.device.type, CHECK_EVERY_ASYNC)
        return DecodeBatch(cache, params, self.end_tokens, check_every)

    def _decode(self, batch: DecodeBatch) -> Tensor:
        """Run the newest tokens through the model: logits [rows, vocabulary] for the next column."""
        batch.make_room()
        tokens, positions, mask = batch.inputs()
        if self.lean is not None:
            logits = self.lean(tokens, positions, batch.cache, mask)
        else:
            logits = self.forward(tokens[:, None], positions[:, None], batch.cache, mask)
        batch.advance()
        self.work.decode_steps += 1
        self.work.decode_rows += len(tokens)
        return logits


def start(config: RunConfig, source: ModelSource, strategy: Strategy) -> HFEngine:
    """The engine of this rank on its own copy of the model."""
    return HFEngine(
        source.load(strategy.compute_dtype, flash=False).to(strategy.device),
        eos_token_ids=source.eos_token_ids,
        pad_token_id=source.pad_token_id,
        max_batch=config.batch.micro_rollout_batch_size,
    )


def _check_attention(model: PreTrainedModel) -> None:
    kinds = set(getattr(model.config.get_text_config(decoder=True), "layer_types", None) or ())
    unknown = sorted(kinds - CACHED_ATTENTION)
    if unknown:
        raise FindingsError(
            [
                Finding(
                    "rollout.hf-unsupported-model",
                    "error",
                    f"the hf rollout engine cannot run {type(model).__name__}: its layers of kind "
                    f"{', '.join(unknown)} keep a state other than keys and values",
                    fixes=(Fix("use a model whose layers are all attention layers"),),
                    param="rollout.engine_type",
                )
            ]
        )
