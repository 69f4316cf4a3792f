"""What can be said of the SGLang adapter where SGLang cannot run: refusals, arguments, names it checks."""

from pathlib import Path

import pytest
import torch

from engine.models.weight_names import checkpoint_weights
from engine.rollout import sglang as adapter
from engine.rollout.on_disk import Expected
from tests.engine.rollout.engine_models import build, save
from tests.engine.rollout.started import prepare


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tmp_path_factory.mktemp("qwen2"), "qwen2")


def test_a_machine_without_a_gpu_is_refused() -> None:
    (finding,) = adapter._unsupported(torch.device("cpu"))
    assert (finding.id, finding.param) == ("engine.needs-gpu", "rollout.engine_type")
    assert adapter._unsupported(torch.device("cuda", 0)) == []


def test_every_setting_is_an_argument(folder: Path) -> None:
    settings = {
        "engine_mem_util": 0.35,
        "engine_prefix_caching": False,
        "engine_quantization": "fp8",
        "max_len": 96,
        "bf16": True,
        "trust_remote_code": True,
        "seed": 7,
        "enable_engine_sleep": False,
    }
    arguments = adapter.engine_arguments(*prepare(folder, engine_type="sglang", **settings))
    assert arguments["mem_fraction_static"] == 0.35
    assert arguments["disable_radix_cache"] is True
    assert arguments["disable_cuda_graph"] is True
    assert arguments["quantization"] == "fp8"
    assert arguments["context_length"] == 96
    assert arguments["dtype"] == "bfloat16"
    assert arguments["trust_remote_code"] is True
    assert arguments["random_seed"] == 7
    assert arguments["enable_memory_saver"] is False


@pytest.mark.parametrize("family", ["qwen2", "llama", "mixtral"])
def test_a_whole_push_is_what_the_checkpoint_holds(family: str, tmp_path: Path) -> None:
    folder, model = save(tmp_path, family), build(family, seed=1)
    expected = Expected.of(str(folder), tied=model.config.tie_word_embeddings)
    weights = list(checkpoint_weights(model, model.named_parameters()))
    assert [name for name, _ in expected.fitting(weights)] == [name for name, _ in weights]
    assert expected.problems() == []


def test_all_that_does_not_fit_is_named_at_once(folder: Path) -> None:
    expected, model = Expected.of(str(folder), tied=True), build("qwen2")
    expected.shapes["model.layers.2.extra.weight"] = (
        4,
    )  # as some checkpoints have: nothing the trainer trains
    weights = dict(checkpoint_weights(model, model.named_parameters()))
    assert len([*expected.fitting(weights.items())]) == len(weights)
    assert expected.problems() == []
    del weights["model.norm.weight"]
    weights["lm_head.weight"] = weights.pop("model.embed_tokens.weight")  # either name of the pair will do
    weights["model.layers.0.mlp.up_proj.weight"] = torch.zeros(3)
    weights["model.layers.9.mlp.up_proj.weight"] = torch.zeros(3)
    kept = [name for name, _ in expected.fitting(weights.items())]
    assert len(kept) == len(weights) - 2
    assert expected.problems() == [
        "model.layers.0.mlp.up_proj.weight is (3,), expected (64, 128)",
        "unknown parameter model.layers.9.mlp.up_proj.weight",
        "missing parameter model.norm.weight",
    ]
