"""Trains with FSDP2 while vLLM samples from the model in the same processes; rank 0 saves what was seen.

Arguments: output file, model folder, tensor-parallel ranks of an engine.
"""

import json
import os
import random
import signal
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

from engine.config.sections import RunConfig
from engine.data.experience import Experience, collate
from engine.leaving import leave
from engine.models.actor import Actor
from engine.models.loading import load_source
from engine.models.logprob_pass import compute_logprobs
from engine.rollout.base import Completion, SamplingParams
from engine.rollout.start import start_engine
from engine.strategy import Strategy, get_strategy

PROMPTS: list[list[int]] = [[5, 6, 7], [8], [9, 10, 11, 12, 13], [20, 21], [40, 41, 42], [7, 7, 7, 7]]
PARAMS = SamplingParams(n=2, temperature=0.7, top_p=0.9, top_k=20, max_tokens=12, min_tokens=3)


def process_state() -> dict[str, Any]:
    """What a library must leave alone, in comparable form."""
    return {
        "environment": dict(os.environ),
        "dtype": str(torch.get_default_dtype()),
        "threads": torch.get_num_threads(),
        "set_num_threads": repr(torch.set_num_threads),
        "precision": torch.get_float32_matmul_precision(),
        "rng": [
            torch.get_rng_state().tolist(),
            np.random.get_state()[1].tolist(),
            list(random.getstate()[1]),
        ],
        "handlers": [repr(signal.getsignal(n)) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGQUIT)],
        "excepthook": repr(sys.excepthook),
    }


def changed(before: dict[str, Any]) -> list[str]:
    after = process_state()
    return [name for name in before if before[name] != after[name]]


def experiences(groups: list[list[Completion]], prompts: list[list[int]]) -> list[Experience]:
    return [
        Experience(
            prompt_ids=tuple(prompt),
            response_ids=completion.token_ids,
            engine_logprobs=torch.tensor(completion.logprobs),
            truncated=completion.truncated,
        )
        for prompt, group in zip(prompts, groups, strict=True)
        for completion in group
    ]


def difference(actor: Actor, sampled: list[Experience], strategy: Strategy) -> float:
    """Largest |trainer − engine| log-prob over all ranks."""
    rows = compute_logprobs(actor, sampled, strategy, pad_token_id=0, micro_batch_size=4)
    largest = max(float((row - e.engine_logprobs).abs().max()) for row, e in zip(rows, sampled, strict=True))
    return strategy.all_reduce_number(largest, "max")


def main() -> None:
    output, folder, tensor_parallel = sys.argv[1:]
    rollout = {
        "engine_type": "vllm",
        "engine_tp_size": int(tensor_parallel),
        "engine_kv_cache_gb": 0.05,
        "engine_enforce_eager": True,
        "prompt_max_len": 16,
        "max_len": 64,
        "temperature": PARAMS.temperature,
    }
    config = RunConfig.model_validate({"model": {"pretrain": folder, "bf16": False}, "rollout": rollout})
    strategy = get_strategy(config)
    source = load_source(config, strategy, print)
    torch.manual_seed(17)
    before = process_state()
    engine = start_engine(config, source, strategy)
    seen: dict[str, Any] = {"changed by start": changed(before), "differences": [], "again": []}
    parallel = engine.llm.llm_engine.vllm_config.parallel_config  # type: ignore[attr-defined]
    seen["tensor parallel size"] = parallel.tensor_parallel_size
    strategy.setup_inference_engine(engine)
    actor = Actor(source.load(torch.float32), temperature=PARAMS.temperature, chunk_size=4096)
    strategy.prepare_model(actor, trainable=True)
    optimizer = strategy.make_optimizer(actor, lr=1e-2)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda _: 1.0)
    generator = torch.Generator().manual_seed(5 + strategy.rank)
    mine = list(strategy.deal(PROMPTS))
    for _ in range(3):
        strategy.update_engine_weights(actor)
        state = generator.get_state()
        before = process_state()
        groups = strategy.gather_and_generate(mine, PARAMS, generator)
        seen["changed by generate"] = changed(before)
        generator.set_state(state)
        seen["again"].append(strategy.gather_and_generate(mine, PARAMS, generator) == groups)
        sampled = experiences(groups, mine)
        seen["differences"].append(difference(actor, sampled, strategy))
        batch = collate(sampled[:1], 0, strategy.device, share_prompts=actor.shares_prompts)
        strategy.backward(actor(batch)[0].mean(), actor, optimizer)
        strategy.optimizer_step(optimizer, actor, scheduler)
    seen["stale"] = difference(
        actor, experiences(strategy.gather_and_generate(mine, PARAMS, generator), mine), strategy
    )
    ranks = strategy.gather_objects(seen)
    if ranks is not None:
        Path(output).write_text(json.dumps(ranks))


if __name__ == "__main__":
    main()
    leave(0)
