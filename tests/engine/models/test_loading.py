"""Pretrained models as they are found: with settings transformers refuses to save, broken, or incomplete."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from safetensors.torch import load_file, save_file

from engine.config.sections import RunConfig
from engine.findings import FindingsError
from engine.models.loading import ModelSource, load_source
from tests.engine.tiny import save_tiny_model


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return save_tiny_model(tmp_path / "model")


def source_of(folder: Path) -> ModelSource:
    config = RunConfig.model_validate({"model": {"pretrain": str(folder)}})
    ranks = cast(Any, SimpleNamespace(device=torch.device("cpu")))  # more of them matters to toy models only
    return load_source(config, ranks, print)


def finding_of(folder: Path) -> str:
    with pytest.raises(FindingsError) as caught:
        source_of(folder).load(torch.float32)
    assert caught.value.exit_code == 2
    (finding,) = caught.value.findings
    return f"{finding.id}: {finding.cause} {finding.evidence}"


def test_generation_settings_that_contradict_each_other_are_saved_as_they_are(
    folder: Path, tmp_path: Path
) -> None:
    """Llama 2 is published with a temperature but without `do_sample`."""
    path = folder / "generation_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "temperature": 0.6, "top_p": 0.9}))
    source = source_of(folder)
    source.save_assets(tmp_path)
    saved = json.loads((tmp_path / "generation_config.json").read_text())
    assert (saved["temperature"], saved["top_p"]) == (0.6, 0.9)
    assert saved["eos_token_id"] == source.eos_token_ids[0]


def test_assets_need_neither_hub_nor_original_folder(folder: Path, tmp_path: Path) -> None:
    source = source_of(folder)
    folder.rename(tmp_path / "elsewhere")
    source.save_assets(tmp_path / "assets")
    assert json.loads((tmp_path / "assets" / "config.json").read_text())["model_type"] == "qwen2"


def test_weights_that_cannot_be_read_are_a_finding(folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    assert "model.not-loadable" in finding_of(folder)
    weights.unlink()
    assert "model.not-loadable" in finding_of(folder)


def test_missing_weights_are_not_made_up(folder: Path) -> None:
    path = folder / "model.safetensors"
    tensors = load_file(path)
    del tensors["model.norm.weight"]
    save_file(tensors, path, metadata={"format": "pt"})
    said = finding_of(folder)
    assert "model.missing-weights" in said
    assert "model.norm.weight" in said
