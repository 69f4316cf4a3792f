"""Checkpoints of runs with adapters: these alone are kept, and whole models come out."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from engine.checkpoint.export import main
from engine.checkpoint.store import read_metadata
from engine.config.sections import ModelSection
from engine.findings import Finding, FindingsError
from engine.models.actor import Actor
from engine.models.lora import add_adapters, is_adapter
from tests.engine.checkpoint.policies import adamw, manager, moments, same, save, tiny_actor, train, weights
from tests.engine.tiny import CONFIGS, tiny_model

TOKENS = torch.arange(24).reshape(2, 12)


@pytest.fixture
def base(tmp_path: Path) -> Path:
    folder = tmp_path / "base"
    tiny_model().save_pretrained(folder)
    return folder


def lora_actor(base: Path, **settings: Any) -> Actor:
    model = AutoModelForCausalLM.from_pretrained(base)
    actor = Actor(model, temperature=1.0, chunk_size=64)
    add_adapters(model, ModelSection(**{"lora_rank": 4, **settings}), base=str(base), seed=0)
    return actor


def logits(model: Any) -> torch.Tensor:
    with torch.no_grad():
        result: torch.Tensor = model(TOKENS).logits
    return result


def saved(root: Path, actor: Actor) -> Path:
    optimizer = adamw(actor)
    train(actor, optimizer, range(2))
    path = save(manager(root), 2, actor, optimizer)
    assert path is not None
    return path


def test_a_checkpoint_holds_adapters_and_their_moments_only(base: Path, tmp_path: Path) -> None:
    actor = lora_actor(base)
    path = saved(tmp_path, actor)
    names = set(read_metadata(path / "shards").state_dict_metadata)
    adapters = {name.removeprefix("model.") for name, _ in actor.named_parameters() if is_adapter(name)}
    of_state = ("exp_avg", "exp_avg_sq", "step")
    assert names == {f"model.{n}" for n in adapters} | {
        f"optimizer.{n}.{s}" for n in adapters for s in of_state
    }
    config = json.loads((path / "hf" / "adapter_config.json").read_text())
    assert (config["r"], config["base_model_name_or_path"]) == (4, str(base))


def test_resuming_is_bit_exact(base: Path, tmp_path: Path) -> None:
    actor = lora_actor(base)
    optimizer = adamw(actor)
    train(actor, optimizer, range(2))
    made = manager(tmp_path)
    path = save(made, 2, actor, optimizer)
    assert path is not None
    train(actor, optimizer, range(2, 4))
    other = lora_actor(base, lora_dropout=0.0)
    with torch.no_grad():
        for name, parameter in other.named_parameters():
            if is_adapter(name):
                parameter.fill_(7.0)
    again = adamw(other)
    made.load(path, other, again)
    train(other, again, range(2, 4))
    assert same(weights(actor), weights(other))
    trained = [name for name, p in actor.named_parameters() if p.requires_grad]
    assert len(moments(actor, optimizer)) == 3 * len(trained)
    assert same(moments(actor, optimizer), moments(other, again))


def test_final_and_export_are_the_merged_model(base: Path, tmp_path: Path) -> None:
    actor = lora_actor(base, lora_alpha=5, target_modules="q_proj,v_proj,down_proj")
    path = saved(tmp_path, actor)
    final = manager(tmp_path).save_final(2, actor)
    assert main([str(path), "--to", str(tmp_path / "exported")]) == 0
    for folder in (final, tmp_path / "exported"):
        model, info = AutoModelForCausalLM.from_pretrained(folder, output_loading_info=True)
        assert not info["missing_keys"] and not info["unexpected_keys"]
        assert torch.allclose(logits(model), logits(actor.model), atol=1e-5)
        assert (logits(model) - logits(tiny_model())).abs().max() > 1e-3
    contents = [{p.name: p.read_bytes() for p in f.iterdir()} for f in (final, tmp_path / "exported")]
    assert contents[0] == contents[1]
    assert "adapter_config.json" not in contents[0]
    assert main([str(path), "--to", str(tmp_path / "half"), "--dtype", "bf16"]) == 0
    half = AutoModelForCausalLM.from_pretrained(tmp_path / "half")
    assert half.dtype == torch.bfloat16
    assert torch.allclose(logits(half.float()), logits(actor.model), atol=0.05)


def test_adapters_without_their_model_are_a_finding(
    base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = saved(tmp_path, lora_actor(base))
    to = tmp_path / "model"
    shutil.rmtree(base)
    narrow = CONFIGS["qwen2"]()
    narrow.intermediate_size = 48
    AutoModelForCausalLM.from_config(narrow).save_pretrained(base)
    assert main([str(path), "--to", str(to)]) == 2
    said = capsys.readouterr().err
    assert "export.other-base" in said and "mlp.gate_proj: the adapter is for 64×32, there is 48×32" in said
    shutil.rmtree(base)
    assert main([str(path), "--to", str(to)]) == 2
    said = capsys.readouterr().err
    assert f"export.base-not-loadable: The checkpoint holds LoRA adapters of {base}" in said
    assert sorted(p.name for p in tmp_path.iterdir()) == ["step-2"]


def refusal(path: Path, actor: Actor) -> Finding:
    with pytest.raises(FindingsError) as caught:
        manager(path.parent).load(path, actor, adamw(actor))
    (finding,) = caught.value.findings
    assert finding.id == "checkpoint.does-not-fit"
    return finding


def test_adapters_and_whole_models_are_told_apart(base: Path, tmp_path: Path) -> None:
    adapters = saved(tmp_path / "lora", lora_actor(base))
    whole = saved(tmp_path / "full", tiny_actor())
    finding = refusal(adapters, tiny_actor())
    assert "holds LoRA adapters of rank 4, but this run trains all weights" in finding.cause
    assert finding.fixes[0].set == {"model.lora_rank": 4}
    assert f"export {adapters}" in finding.fixes[1].command
    finding = refusal(whole, lora_actor(base))
    assert "holds all weights of a model, but this run trains LoRA adapters of rank 4" in finding.cause
    assert finding.fixes[0].set == {"model.lora_rank": 0}
    finding = refusal(adapters, lora_actor(base, lora_rank=8))
    assert "adapters of rank 4, but this run has lora_rank = 8" in finding.cause
    assert finding.fixes[0].set == {"model.lora_rank": 4}
    finding = refusal(adapters, lora_actor(base, target_modules="q_proj"))
    assert "of other layers than target_modules names now" in finding.cause
    manager(adapters.parent).load(
        adapters,
        fitting := lora_actor(base, target_modules=finding.fixes[0].set["model.target_modules"]),
        adamw(fitting),
    )


def test_adapters_of_another_strength_or_base_are_refused(base: Path, tmp_path: Path) -> None:
    path = saved(tmp_path, lora_actor(base, lora_alpha=8))
    for other in (lora_actor(base, lora_alpha=16), lora_actor(base.rename(tmp_path / "moved"), lora_alpha=8)):
        with pytest.raises(FindingsError) as caught:
            manager(tmp_path).load(path, other, adamw(other))
        (finding,) = caught.value.findings
        assert finding.id == "checkpoint.does-not-fit"
        assert "8 saved, 16 now" in finding.evidence[0] or "moved now" in finding.evidence[0]
