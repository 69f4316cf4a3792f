"""A checkpoint as a Hugging Face folder."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from engine.checkpoint import hf_folder
from engine.checkpoint.export import main
from tests.engine.checkpoint.policies import adamw, manager, save, tiny_actor, train

TOKENS = torch.arange(24).reshape(2, 12)


def _saved(root: Path, family: str = "qwen2") -> tuple[Path, torch.Tensor]:
    """A checkpoint after two steps, and the logits of its model."""
    actor = tiny_actor(family)
    optimizer = adamw(actor)
    train(actor, optimizer, range(2))
    path = save(manager(root, family=family), 2, actor, optimizer)
    assert path is not None
    with torch.no_grad():
        return path, actor.model(TOKENS).logits


@pytest.mark.parametrize("family", ["qwen2", "llama"])
def test_the_exported_model_is_the_one_trained(family: str, tmp_path: Path) -> None:
    path, logits = _saved(tmp_path, family)
    to = tmp_path / "new" / "model"
    command = [sys.executable, "-m", "engine.checkpoint.export", str(path), "--to", str(to)]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert f"{to}: " in result.stdout
    assert not result.stderr
    model, info = AutoModelForCausalLM.from_pretrained(to, output_loading_info=True)
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]
    assert model.dtype == torch.float32
    with torch.no_grad():
        assert torch.equal(model(TOKENS).logits, logits)
    tokenizer = AutoTokenizer.from_pretrained(to)
    assert tokenizer.decode(tokenizer("sort 12=")["input_ids"]) == "sort 12="
    assert [p.name for p in to.parent.iterdir()] == ["model"]


def test_dtype_and_several_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, logits = _saved(tmp_path)
    monkeypatch.setattr(hf_folder, "MAX_FILE_BYTES", 20_000)
    to = tmp_path / "model"
    to.mkdir()
    assert main([str(path), "--to", str(to), "--dtype", "bf16"]) == 0
    index = json.loads((to / "model.safetensors.index.json").read_text())
    files = sorted(p.name for p in to.glob("*.safetensors"))
    assert sorted(set(index["weight_map"].values())) == files
    assert len(files) >= 3
    assert index["metadata"]["total_size"] == sum(p.numel() for p in tiny_actor().parameters()) * 2
    model = AutoModelForCausalLM.from_pretrained(to)
    assert model.dtype == torch.bfloat16
    with torch.no_grad():
        assert torch.allclose(model.float()(TOKENS).logits, logits, atol=0.05)


def test_save_final_writes_the_same_model(tmp_path: Path) -> None:
    path, _ = _saved(tmp_path)
    actor = tiny_actor(seed=1)
    made = manager(tmp_path)
    made.load(path, actor, adamw(actor))
    for _ in range(2):
        assert made.save_final(2, actor) == tmp_path / "final"
    assert main([str(path), "--to", str(tmp_path / "exported")]) == 0
    final, exported = (
        {p.name: p.read_bytes() for p in (tmp_path / name).iterdir()} for name in ("final", "exported")
    )
    assert final == exported
    assert sorted(p.name for p in tmp_path.iterdir()) == ["exported", "final", "step-2"]


def test_mistakes_are_findings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, _ = _saved(tmp_path)
    assert main([str(tmp_path), "--to", str(tmp_path / "model")]) == 2
    said = capsys.readouterr().err
    assert "checkpoint.incomplete" in said
    assert f"export {path}" in said
    assert main([str(path), "--to", str(path)]) == 2
    assert "export.target-used" in capsys.readouterr().err
    assert main([str(path), "--to", str(path / "trainer.pt" / "model")]) == 3
    assert "export.not-written" in capsys.readouterr().err
    (path / "trainer.pt").write_bytes(b"short")
    assert main([str(path), "--to", str(tmp_path / "model")]) == 2
    assert "checkpoint.incomplete" in capsys.readouterr().err
    assert not (tmp_path / "model").exists()


def test_a_full_disk_leaves_nothing(
    small_disk: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, _ = _saved(tmp_path)
    (small_disk / "ballast").write_bytes(bytes(4_170_000))
    assert main([str(path), "--to", str(small_disk / "model")]) == 3
    assert "export.not-written" in capsys.readouterr().err
    assert [p.name for p in small_disk.iterdir()] == ["ballast"]
