"""Compiled decoder layers give what eager ones give, and are compiled once for batches of any size."""

import time
from typing import Any

import pytest
import torch
from torch._dynamo.utils import counters
from torch.testing import assert_close

from engine.config.sections import ModelSection
from engine.data.experience import collate
from engine.models.actor import Actor
from engine.models.compile import compile_layers
from engine.models.lora import adapters_disabled, add_adapters
from tests.engine.models.test_actor import experiences
from tests.engine.policy_runs import assert_same_training, case, policy_runs
from tests.engine.tiny import tiny_model

CPU = torch.device("cpu")

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def fresh() -> None:
    torch._dynamo.reset()
    counters.clear()


def actor_of(family: str, *, lora_rank: int = 0) -> Actor:
    model = tiny_model(family)
    actor = Actor(model, temperature=0.8, chunk_size=100).train()
    if lora_rank:
        add_adapters(model, ModelSection(lora_rank=lora_rank), base="somewhere", seed=0)
        for name, parameter in model.named_parameters():
            if ".lora_B." in name:
                torch.nn.init.normal_(parameter, std=0.1, generator=torch.Generator().manual_seed(0))
    return actor


def step(actor: Actor, seed: int, n: int) -> torch.Tensor:
    logprobs, _ = actor(collate(experiences(seed, n), 0, CPU, share_prompts=actor.shares_prompts))
    if logprobs.requires_grad:
        logprobs.sum().backward()
    return logprobs.detach()


@pytest.mark.parametrize("family", ["qwen2", "gemma2"])
def test_same_values_and_gradients_and_one_compilation_for_all_shapes(family: str) -> None:
    eager, compiled = actor_of(family), actor_of(family)
    compile_layers(compiled)
    started = time.process_time()
    graphs = []
    for seed, n in ((0, 6), (1, 6), (2, 3), (3, 8), (5, 2)):
        assert_close(step(compiled, seed, n), step(eager, seed, n), rtol=0, atol=1e-5)
        graphs.append(counters["stats"]["unique_graphs"])
    assert graphs[0] >= 1  # it did compile
    assert graphs[-1] == graphs[0]
    for name, parameter in eager.named_parameters():
        if parameter.grad is not None:
            assert_close(compiled.get_parameter(name).grad, parameter.grad, rtol=1e-5, atol=1e-4, msg=name)
    assert time.process_time() - started < 60


def test_adapters_can_be_switched_off_in_compiled_layers() -> None:
    eager, compiled = actor_of("qwen2", lora_rank=4), actor_of("qwen2", lora_rank=4)
    compile_layers(compiled)
    results = []
    with torch.no_grad():
        for actor in (eager, compiled):
            with_adapters = step(actor, 0, 6)
            with adapters_disabled(actor):
                results.append((with_adapters, step(actor, 0, 6), step(actor, 1, 3)))
    assert counters["stats"]["unique_graphs"] >= 2
    assert (results[0][0] - results[0][1]).abs().max() > 1e-3
    for ours, theirs in zip(*results, strict=True):
        assert_close(theirs, ours, rtol=0, atol=1e-5)


@pytest.mark.dist
@pytest.mark.parametrize(
    "memory",
    [{}, {"gradient_checkpointing": True, "fused_linear_logprob": True}],
    ids=["kept activations", "recomputed activations"],
)
def test_compiled_layers_are_sharded(
    memory: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> None:
    eager = policy_runs(tmp_path_factory.mktemp("eager"), nproc=1, a=case(micro=12))["a"]
    options = case(micro=3, model={"torch_compile": True}, memory=memory)
    compiled = policy_runs(tmp_path_factory.mktemp("compiled"), nproc=2, a=options)["a"]
    assert compiled["compiled graphs"] >= 1
    assert_same_training(eager, compiled, 1e-5)
