"""What is vLLM's own: settings that reach it, families with other names for weights, why it refuses."""

import json
import os
import resource
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch

from engine.config.sections import RolloutSection
from engine.findings import FindingsError
from engine.models.weight_names import checkpoint_weights
from engine.rollout import vllm as adapter
from engine.rollout.base import SamplingParams
from engine.rollout.guest import environment
from engine.rollout.vllm_refusals import explain
from tests.engine.rollout.engine_models import build, save
from tests.engine.rollout.started import prepare, start

pytestmark = [
    pytest.mark.vllm,
    pytest.mark.skipif(find_spec("vllm") is None, reason="vllm is not installed"),
]
PROMPTS = [[5, 6, 7], [8], [9, 10, 11, 12]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tmp_path_factory.mktemp("llama"), "llama")


def configured(folder: Path, **rollout: object) -> Any:
    """The configuration that vLLM makes of ours, without building the engine."""
    config, source, strategy = prepare(folder, engine_type="vllm", **rollout)
    with environment(adapter._environment(strategy)):
        from vllm import EngineArgs

        return EngineArgs(**adapter.engine_arguments(config, source, strategy)).create_engine_config()


def test_every_setting_reaches_the_engine(folder: Path) -> None:
    settings: dict[str, Any] = {
        "engine_mem_util": 0.35,
        "engine_kv_cache_gb": 0.03,
        "engine_prefix_caching": False,
        "max_len": 96,
        "bf16": True,
        "trust_remote_code": True,
        "seed": 7,
    }
    built = start(folder, engine_type="vllm", **settings).llm.llm_engine.vllm_config  # type: ignore[attr-defined]
    assert built.cache_config.gpu_memory_utilization == 0.35
    assert built.cache_config.kv_cache_memory_bytes == int(0.03 * 1024**3)
    assert built.cache_config.enable_prefix_caching is False
    assert built.model_config.max_model_len == 96
    assert built.model_config.dtype == torch.bfloat16
    assert built.model_config.trust_remote_code is True
    assert built.model_config.seed == 7
    assert built.model_config.enforce_eager is True
    assert built.parallel_config.tensor_parallel_size == 1
    assert built.parallel_config.distributed_executor_backend == "external_launcher"
    assert built.scheduler_config.async_scheduling is False


def test_settings_left_alone_reach_the_engine_too(folder: Path) -> None:
    made = configured(folder, engine_enforce_eager=False, engine_kv_cache_gb=None)
    assert made.model_config.enforce_eager is False
    assert made.model_config.quantization is None
    assert made.model_config.dtype == torch.float32
    assert made.model_config.trust_remote_code is False
    assert made.cache_config.enable_prefix_caching is True
    assert made.cache_config.kv_cache_memory_bytes == 1024**3, "on a CPU"


def test_quantization_reaches_the_engine(folder: Path) -> None:
    assert configured(folder, engine_quantization="fp8", bf16=True).model_config.quantization == "fp8"


@pytest.mark.parametrize("family", ["llama", "qwen3", "gemma2", "qwen3_moe", "mixtral"])
def test_families_follow_the_weights_pushed_to_them(family: str, tmp_path: Path) -> None:
    from vllm.distributed.parallel_state import destroy_model_parallel

    destroy_model_parallel()  # made for the first engine of a process: a dense one has no expert ranks
    engine = start(save(tmp_path, family), engine_type="vllm")
    for seed in (0, 1):
        model = build(family, seed=seed)
        if seed:
            engine.update_weights(checkpoint_weights(model, model.named_parameters()))
        params = SamplingParams(n=2, temperature=0.8, top_p=0.9, max_tokens=12)
        groups = engine.generate(PROMPTS, params, torch.Generator().manual_seed(0))
        for prompt, group in zip(PROMPTS, groups, strict=True):
            for c in group:
                tokens = torch.tensor(c.token_ids)
                with torch.no_grad():
                    logits = model(torch.tensor([[*prompt, *c.token_ids]])).logits[0, len(prompt) - 1 : -1]
                expected = (logits / 0.8).log_softmax(-1).gather(-1, tokens[:, None])[:, 0]
                torch.testing.assert_close(torch.tensor(c.logprobs), expected, atol=1e-5, rtol=0)


def test_pushing_weights_again_and_again_takes_no_more_memory(folder: Path) -> None:
    engine, model = start(folder, engine_type="vllm"), build("llama", hidden_size=128)
    weights = list(checkpoint_weights(model, model.named_parameters()))
    for _ in range(5):
        engine.update_weights(weights)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(40):
        engine.update_weights(weights)
    size = sum(tensor.nbytes for _, tensor in weights)
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 < 5 * size


def refusal(folder: Path, **rollout: object) -> Any:
    with pytest.raises(FindingsError) as error:
        start(folder, engine_type="vllm", **rollout)
    (finding,) = error.value.findings
    return finding


def test_too_small_a_cache_names_the_numbers_to_change(folder: Path) -> None:
    finding = refusal(folder, engine_kv_cache_gb=0.0002, max_len=256, engine_mem_util=0.4)
    assert finding.id == "engine.out-of-memory"
    for part in (
        "max_len = 256",
        "engine_mem_util = 0.4",
        "engine_tp_size = 1",
        "engine_kv_cache_gb = 0.0002",
    ):
        assert part in finding.cause
    settings = {name for fix in finding.fixes for name in fix.set}
    assert settings >= {"rollout.engine_kv_cache_gb", "rollout.engine_tp_size"}


def test_more_cache_than_the_machine_has_is_refused_with_what_is_free(folder: Path) -> None:
    finding = refusal(folder, engine_kv_cache_gb=100_000.0)
    assert finding.id == "engine.out-of-memory"
    assert 0 < finding.fixes[0].set["rollout.engine_kv_cache_gb"] < 100_000


def test_longer_than_the_model_is_refused_with_its_length(folder: Path) -> None:
    finding = refusal(folder, max_len=4096)
    assert (finding.id, finding.fixes[0].set) == ("engine.beyond-context", {"rollout.max_len": 256})


def test_quantization_without_kernels_is_refused(folder: Path) -> None:
    finding = refusal(folder, engine_quantization="fp8", bf16=True)
    assert (finding.id, finding.fixes[0].set) == (
        "engine.unsupported-model",
        {"rollout.engine_quantization": None},
    )


def test_a_model_that_vllm_does_not_know_is_refused(tmp_path: Path) -> None:
    folder = save(tmp_path, "llama")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"architectures": ["NoSuchForCausalLM"]}))
    finding = refusal(folder)
    assert finding.id == "engine.unsupported-model"
    assert "NoSuchForCausalLM" in " ".join(finding.evidence)
    assert finding.fixes[-1].set == {"rollout.engine_type": "hf"}


GPU_REFUSALS = {
    "Free memory on device cuda:0 (30.12/79.1 GiB) on startup is less than desired GPU memory utilization "
    "(0.5, 39.55 GiB). Decrease GPU memory utilization or reduce GPU memory used by other processes.": (
        "only 30.12 of 79.1 GiB are free",
        {"rollout.engine_mem_util": 0.38},
    ),
    "To serve at least one request with the models's max seq len (4096), (8.0 GiB KV cache is needed, which "
    "is larger than the available KV cache memory (3.5 GiB). Based on the available memory, the estimated "
    "maximum model length is 1792. Try increasing": (
        "the KV cache of one sequence takes 8 GiB, 3.5 GiB are there",
        {"rollout.engine_mem_util": 0.7, "rollout.max_len": 1792, "rollout.engine_tp_size": 2},
    ),
    "No available memory for the cache blocks. Try increasing `gpu_memory_utilization`": (
        "weights and activations leave nothing for the KV cache",
        {"rollout.engine_mem_util": 0.7, "rollout.engine_tp_size": 2},
    ),
}


@pytest.mark.parametrize("text", GPU_REFUSALS, ids=["little free", "small cache", "no cache"])
def test_what_vllm_says_on_a_gpu_is_understood(text: str) -> None:
    words, fixes = GPU_REFUSALS[text]
    finding = explain(ValueError(text), RolloutSection(), torch.device("cuda", 0))
    assert finding is not None and finding.id == "engine.out-of-memory"
    assert words in finding.cause
    assert {k: v for fix in finding.fixes for k, v in fix.set.items()} == fixes


def test_errors_that_are_nobodys_setting_keep_their_traceback() -> None:
    assert explain(TypeError("an argument"), RolloutSection(), torch.device("cuda", 0)) is None


def test_no_sleep_is_said_once(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    start(folder, engine_type="vllm")
    assert capsys.readouterr().out.count("warning engine.no-sleep") == 1
    start(folder, engine_type="vllm", enable_engine_sleep=False)
    assert "no-sleep" not in capsys.readouterr().out
    assert "VLLM_ENABLE_V1_MULTIPROCESSING" not in os.environ, "its environment is only lent to it"
