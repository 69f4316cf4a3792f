"""What the engine and the sync really allocate, counted on a CPU, against the terms that predict it."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch.testing._internal.distributed.fake_pg import FakeStore
from transformers import AutoModelForCausalLM, MistralConfig, PreTrainedConfig, Qwen2Config

from engine.checkpoint import hf_folder
from engine.config.choices import installed
from engine.footprint import host, rollout_hf, rollout_vllm
from engine.footprint.job import Job
from engine.footprint.model_config import shape_of
from engine.footprint.sync import sync_terms
from engine.rollout import hf, lean, vllm
from engine.rollout.base import SamplingParams
from engine.rollout.hf import HFEngine
from engine.sharding import whole_in_buckets
from engine.simulate.tracker import MemoryTracker
from engine.strategy.fully_sharded import FullySharded
from tests.engine.footprint.jobs import CPU, job, place

SIZES = {
    "hidden_size": 128,
    "intermediate_size": 384,
    "num_hidden_layers": 4,
    "num_attention_heads": 8,
    "num_key_value_heads": 2,
    "bos_token_id": None,
    "eos_token_id": 1,
    "pad_token_id": 0,
}


def tiny(config: PreTrainedConfig, ranks: int = 1, **sections: dict[str, Any]) -> Job:
    return replace(job(where=place(CPU, ranks), **sections), shape=shape_of(config.to_dict(), "tiny"))


def generated(config: PreTrainedConfig, each: Job, shorter: int = 0) -> int:
    """Bytes at the worst moment of a rollout whose responses all reach the cap; the model's own are left out.

    `shorter`: by how many tokens each prompt is shorter than the one before, the first as long as it may be.
    """
    settings, batch = each.config.rollout, each.config.batch
    dtype = torch.bfloat16 if each.config.model.bf16 else torch.float32
    engine = HFEngine(
        AutoModelForCausalLM.from_config(config, dtype=dtype),
        eos_token_ids=[1],
        pad_token_id=0,
        max_batch=batch.micro_rollout_batch_size,
    )
    response = settings.max_len - settings.prompt_max_len
    params = SamplingParams(
        n=batch.n_samples_per_prompt,
        temperature=1.0,
        top_p=settings.top_p,
        max_tokens=response,
        min_tokens=settings.generate_min_len,
    )
    prompts = [[2 + i] * (settings.prompt_max_len - shorter * i) for i in range(batch.rollout_batch_size)]
    tracker = MemoryTracker()
    with tracker, tracker.phase("rollout"):
        engine.generate(prompts, params, torch.Generator().manual_seed(0))
    return tracker.peaks("cpu")["rollout"].bytes


def hf_job(
    config: PreTrainedConfig, prompt: int, response: int, *, top_p: float = 1.0, bf16: bool = False
) -> Job:
    """8 prompts × 4 responses on one rank, 16 at a time."""
    return tiny(
        config,
        model={"bf16": bf16},
        rollout={
            "engine_type": "hf",
            "max_len": prompt + response,
            "prompt_max_len": prompt,
            "generate_min_len": response,
            "top_p": top_p,
        },
        batch={
            "rollout_batch_size": 8,
            "n_samples_per_prompt": 4,
            "train_batch_size": 32,
            "micro_rollout_batch_size": 16,
        },
    )


def predicted(each: Job) -> int:
    terms = (rollout_hf.kv_cache, rollout_hf.prompts_cache, rollout_hf.activations)
    return sum(term(each).bytes for term in terms)


@pytest.mark.parametrize(
    ("vocab", "prompt", "response", "top_p", "bf16", "decisive"),
    [
        (2_000, 64, 64, 1.0, False, "prefill"),
        (2_000, 256, 32, 1.0, False, "prefill"),
        (60_000, 64, 32, 1.0, False, "sampling"),
        (60_000, 64, 32, 0.9, False, "sampling"),
        (60_000, 64, 32, 0.9, True, "sampling"),
    ],
)
def test_a_rollout_of_the_hf_engine_is_within_5_percent(
    vocab: int, prompt: int, response: int, top_p: float, bf16: bool, decisive: str
) -> None:
    config = Qwen2Config(vocab_size=vocab, **SIZES)
    each = hf_job(config, prompt, response, top_p=top_p, bf16=bf16)
    assert rollout_hf.activations(each).formula.startswith(decisive)
    assert predicted(each) == pytest.approx(generated(config, each), rel=0.05)


def test_repeated_keys_and_values_of_padded_rows_are_bounded() -> None:
    config = MistralConfig(vocab_size=2000, sliding_window=None, **SIZES)
    each = hf_job(config, 16, 128)
    assert "for all heads" in rollout_hf.activations(each).formula
    assert 1.0 <= predicted(each) / generated(config, each, shorter=1) < 1.25  # columns held in reserve


@pytest.fixture
def four_ranks() -> Iterator[int]:
    dist.init_process_group("fake", rank=0, world_size=4, store=FakeStore())
    yield 4
    dist.destroy_process_group()


@pytest.mark.parametrize("engine", ["hf", "vllm"])
@pytest.mark.parametrize("bucket_mb", [1, 4])
@pytest.mark.parametrize(("vocab", "width"), [(20_000, 2048), (200, 4096)])
def test_a_sync_of_shards_is_within_5_percent(
    four_ranks: int, engine: str, bucket_mb: int, vocab: int, width: int
) -> None:
    """Of vLLM the part that holds memory stands in: a module's weights are kept until all have come, then it
    is made anew."""
    config = Qwen2Config(**SIZES | {"vocab_size": vocab, "hidden_size": 256, "intermediate_size": width})
    each = tiny(config, four_ranks, rollout={"engine_type": engine, "sync_bucket_mb": bucket_mb})
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    FullySharded(each.config, torch.device("cpu"), four_ranks).shard(model, trainable=True)
    tracker = MemoryTracker()
    with tracker, torch.no_grad():
        named = [(name, parameter.detach()) for name, parameter in model.named_parameters()]
        tracker.mark("shards", (shard.to_local() for _, shard in named))
        with tracker.phase("sync"):
            whole = whole_in_buckets(named, max_bytes=bucket_mb * 2**20, dtype=torch.bfloat16)
            take_all(whole, engine)
    peak = tracker.peaks("cpu")["sync"]
    temporaries = peak.bytes - peak.categories["shards"]
    assert sum(term.bytes for term in sync_terms(each)) == pytest.approx(temporaries, rel=0.05)


def take_all(named: Iterator[tuple[str, torch.Tensor]], engine: str) -> None:
    held: list[torch.Tensor] = []
    for name, tensor in named:
        if engine == "vllm":
            held.append(tensor)
            if "gate_proj" not in name:  # waits for up_proj
                torch.empty(sum(t.numel() for t in held), dtype=tensor.dtype)
                held.clear()
        del tensor


def test_numbers_repeated_from_modules_that_import_torch_are_theirs() -> None:
    assert rollout_hf.SLACK_COLUMNS == hf.SLACK_COLUMNS
    assert set(rollout_hf.LEAN) == {name.removesuffix("ForCausalLM").lower() for name in lean.FAMILY}
    assert rollout_vllm.CPU_KV_CACHE == vllm.CPU_KV_CACHE_GB * 2**30
    assert host.EXPORT == hf_folder.MAX_FILE_BYTES


@pytest.mark.skipif(not installed("vllm"), reason="vLLM is not installed")
def test_vllms_defaults_are_those_of_the_installed_version() -> None:
    from vllm.engine.arg_utils import EngineArgs
    from vllm.platforms import current_platform
    from vllm.usage.usage_lib import UsageContext

    if not current_platform.is_cpu():
        pytest.skip("read on a CPU, where they do not depend on the card")
    for tp in (1, 2):
        defaults = [limit[UsageContext.LLM_CLASS] for limit in EngineArgs().get_batch_defaults(tp)]
        each = job(where=place(CPU, 2), rollout={"engine_tp_size": tp, "max_len": 4096})
        assert rollout_vllm.batch_limits(each) == tuple(defaults)
