"""What the memory options free on a GPU. One rank; the models are random and small."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, Qwen2Config

from engine.config.sections import RunConfig
from engine.data.experience import Experience, collate
from engine.models.actor import Actor
from engine.strategy import Strategy, get_strategy

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")]

SIZES = {
    "vocab_size": 32000,
    "hidden_size": 512,
    "intermediate_size": 2048,
    "num_hidden_layers": 4,
    "num_attention_heads": 8,
    "num_key_value_heads": 8,
}


@pytest.fixture(autouse=True)
def clean() -> Iterator[None]:
    yield
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
    torch.cuda.empty_cache()


def prepared(trainable: bool = True, **sections: dict[str, Any]) -> tuple[Strategy, Actor]:
    config = RunConfig.model_validate(sections)
    strategy = get_strategy(config)
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(Qwen2Config(**SIZES))
    actor = Actor(model, temperature=1.0, chunk_size=config.memory.chunk_size)
    strategy.prepare_model(actor, trainable=trainable)
    return strategy, actor


def batch(strategy: Strategy) -> Any:
    made = [Experience(tuple(range(2, 66)), list(range(100, 356)), torch.zeros(256), False) for _ in range(4)]
    return collate(made, 0, strategy.device, share_prompts=False)


def update(strategy: Strategy, actor: Actor) -> torch.optim.Optimizer:
    optimizer = strategy.make_optimizer(actor, lr=1e-4)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0)
    logprobs, _ = actor(batch(strategy))
    strategy.backward(-logprobs.mean(), actor, optimizer)
    assert strategy.optimizer_step(optimizer, actor, scheduler) > 0
    return optimizer


@pytest.mark.parametrize("use_mp_opt", [False, True])
def test_optimizer_states_leave_the_device_and_come_back(use_mp_opt: bool) -> None:
    strategy, actor = prepared(memory={"adam_offload": True, "use_mp_opt": use_mp_opt})
    optimizer = update(strategy, actor)
    n = sum(p.numel() for p in actor.parameters())
    states = n * (12 if use_mp_opt else 8)  # moments, and masters with use_mp_opt
    before = [v.to_local().clone() for s in optimizer.state.values() for v in s.values() if v.ndim]
    held = torch.cuda.memory_allocated()
    strategy.maybe_offload_optimizer(optimizer)
    assert held - torch.cuda.memory_allocated() > 0.95 * states
    strategy.maybe_load_optimizer(optimizer)
    after = [v.to_local() for s in optimizer.state.values() for v in s.values() if v.ndim]
    assert all(a.is_cuda and torch.equal(a, b) for a, b in zip(after, before, strict=True))


def test_a_reference_model_waits_in_host_memory() -> None:
    strategy, reference = prepared(trainable=False, memory={"ref_reward_offload": True})
    asleep = torch.cuda.memory_allocated()
    strategy.maybe_load_model(reference)
    assert torch.cuda.memory_allocated() > asleep
    with torch.no_grad():
        logprobs, _ = reference(batch(strategy))
    assert torch.isfinite(logprobs).all()
    strategy.maybe_offload_model(reference)
    assert torch.cuda.memory_allocated() <= asleep + 2**20


def test_parameters_stay_in_host_memory_with_fsdp_cpu_offload() -> None:
    strategy, actor = prepared(memory={"fsdp_cpu_offload": True})
    n = sum(p.numel() for p in actor.parameters())
    update(strategy, actor)
    torch.cuda.empty_cache()
    assert torch.cuda.memory_allocated() < n  # less than a byte of each stays


@pytest.mark.parametrize("deepspeed_stage", [2, 3])
def test_zero_trains_as_fsdp2_does(deepspeed_stage: int) -> None:
    pytest.importorskip("deepspeed")
    norms = []
    for parallel in ({"fsdp": True}, {"zero_stage": deepspeed_stage}):
        strategy, actor = prepared(parallel=parallel, model={"bf16": False})
        optimizer = strategy.make_optimizer(actor, lr=1e-4)
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0)
        for _ in range(3):
            logprobs, _ = actor(batch(strategy))
            strategy.backward(-logprobs.mean(), actor, optimizer)
            norms.append(strategy.optimizer_step(optimizer, actor, scheduler))
        torch.distributed.destroy_process_group()
    assert norms[:3] == pytest.approx(norms[3:], rel=1e-3)
