"""The toy model: half-taught, cached once, loadable by name through transformers."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from engine.findings import FindingsError
from engine.toy.model import ensure_model
from engine.toy.tasks import get
from engine.toy.tokenizer import build_tokenizer
from engine.toy.warmup import Recipe, held_out_accuracy

QUICK = Recipe(hidden_size=16, intermediate_size=32, layers=1, max_steps=5, stop_accuracy=0.0)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def _cached_here(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RFTUI_CACHE_DIR", str(cache))


def test_answers_in_form_but_mostly_wrong() -> None:
    lines: list[str] = []
    before = torch.get_rng_state()
    folder = ensure_model("toy:sort", lines.append)
    assert torch.equal(before, torch.get_rng_state())
    assert "ready" in lines[-1]

    model = AutoModelForCausalLM.from_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert 0.5e6 <= model.num_parameters() <= 4e6
    assert model.generation_config.eos_token_id == tokenizer.eos_token_id
    assert model.generation_config.pad_token_id == tokenizer.pad_token_id

    torch.manual_seed(5)
    measured = held_out_accuracy(model, tokenizer, get("sort"))
    recorded = json.loads((folder / "warmup.json").read_text())["held_out_accuracy"]
    assert 0.15 <= measured["sampled"] <= 0.5
    assert measured["greedy"] == recorded["greedy"] <= 0.75

    again: list[str] = []
    assert ensure_model("sort", again.append) == folder
    assert again == []


def test_two_processes_make_it_once(cache: Path) -> None:
    code = (
        "from engine.toy.model import ensure_model; from engine.toy.warmup import Recipe;"
        f"lines = []; print(ensure_model('sort', lines.append, {QUICK!r}), len(lines))"
    )
    both = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) for _ in range(2)
    ]
    outputs = [process.communicate()[0].split() for process in both]
    assert outputs[0][0] == outputs[1][0]
    assert sorted(int(lines) > 0 for _, lines in outputs) == [False, True]
    assert not [path for path in (cache / "toy").iterdir() if path.is_dir() and path.suffix]


def test_tokenizer_survives_saving(tmp_path: Path) -> None:
    tokenizer = build_tokenizer()
    folder = ensure_model("sort", recipe=QUICK)
    loaded = AutoTokenizer.from_pretrained(folder)
    text = "sort 314159= Ünï 世界\n\n  a,b"
    assert loaded(text)["input_ids"] == tokenizer(text)["input_ids"]
    assert loaded.decode(loaded(text)["input_ids"]) == text
    assert len(loaded) == len(tokenizer) == 258
    assert len(tokenizer("sort 314159=")["input_ids"]) == 12


def test_unwritable_cache_is_a_finding(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("RFTUI_CACHE_DIR", str(tmp_path / "file"))
    with pytest.raises(FindingsError, match="RFTUI_CACHE_DIR") as caught:
        ensure_model("sort", recipe=QUICK)
    assert caught.value.exit_code == 3
