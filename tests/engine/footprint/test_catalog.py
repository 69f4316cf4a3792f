"""Finding a model's shape by name."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from huggingface_hub import try_to_load_from_cache

from engine.findings import FindingsError
from engine.footprint.bundled import table
from engine.footprint.catalog import find_model, shape_of_size
from engine.footprint.hub_cache import cached_config
from engine.footprint.model_config import shape_of
from engine.footprint.typical import config_of_size
from engine.toy.recipe import VOCABULARY, Recipe
from engine.toy.tokenizer import build_tokenizer
from engine.toy.warmup import build_model
from tests.engine.footprint.meta_models import TINY, numel

REVISION = "0123456789abcdef0123456789abcdef01234567"


def cache(hub: Path, name: str, config: object, revision: str = REVISION) -> Path:
    """Put a `config.json` where `huggingface_hub` would."""
    folder = hub / f"models--{name.replace('/', '--')}"
    snapshot = folder / "snapshots" / revision
    snapshot.mkdir(parents=True)
    (folder / "refs").mkdir(exist_ok=True)
    (folder / "refs" / "main").write_text(revision)
    (snapshot / "config.json").write_text(json.dumps(config))
    return snapshot / "config.json"


@pytest.fixture(autouse=True)
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


def ids_of_error(name: str) -> list[str]:
    with pytest.raises(FindingsError) as error:
        find_model(name)
    return [finding.id for finding in error.value.findings]


def test_a_folder_is_read(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(TINY["qwen3_moe"]))
    assert find_model(str(tmp_path)).family == "qwen3_moe"
    assert find_model(f"{tmp_path}/").hidden == 32


def test_a_folder_wins_over_a_bundled_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "Qwen/Qwen2.5-7B"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(TINY["llama"]))
    assert find_model("Qwen/Qwen2.5-7B").family == "llama"


def test_what_is_no_model_folder_is_a_finding(tmp_path: Path) -> None:
    (tmp_path / "weights.bin").write_text("")
    with pytest.raises(FindingsError, match=r"no config\.json[^→]*weights\.bin"):
        find_model(str(tmp_path))
    assert ids_of_error(str(tmp_path / "weights.bin")) == ["model.path-invalid"]
    assert ids_of_error(str(tmp_path / "nowhere")) == ["model.path-missing"]
    for name in ("./nowhere", "~nobody-here/model", str(tmp_path / "weights.bin" / "model"), "a/b/c"):
        assert ids_of_error(name) == ["model.path-missing"]


@pytest.mark.parametrize("text", ["{", "", "[1]", '{"model_type": "llama"}', "\x00"])
def test_a_broken_file_is_a_finding(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.json").write_text(text)
    assert ids_of_error(str(tmp_path))[0].startswith("model.config-")


def test_the_cache_is_found_where_the_hub_library_finds_it(hub: Path) -> None:
    file = cache(hub, "some/model", TINY["gemma2"])
    cache(hub, "gpt2", TINY["gpt2"])
    assert try_to_load_from_cache("some/model", "config.json", cache_dir=hub) == str(file)
    assert cached_config("some/model") == file
    assert find_model("some/model").family == "gemma2"
    assert find_model("gpt2").hidden == 32  # and not the bundled one


def test_the_cache_moves_with_its_environment_variables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HF_HUB_CACHE")
    monkeypatch.delenv("HF_HOME", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    at_home = cache(tmp_path / ".cache/huggingface/hub", "a/model", {})
    assert cached_config("a/model") == at_home
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cached_config("a/model") is None
    monkeypatch.setenv("HF_HOME", str(tmp_path / "elsewhere"))
    assert cached_config("a/model") is None
    assert cached_config("b/model") is None
    moved = cache(tmp_path / "elsewhere/hub", "b/model", {})
    assert cached_config("b/model") == moved


def test_the_cached_revision_is_that_of_main(hub: Path) -> None:
    cache(hub, "some/model", TINY["gemma2"], revision="b" * 40)
    cache(hub, "some/model", TINY["llama"], revision="a" * 40)
    assert find_model("some/model").family == "llama"


def test_a_cached_model_without_config_is_looked_up_in_the_table(hub: Path) -> None:
    cache(hub, "Qwen/Qwen2.5-7B", {}).unlink()
    assert find_model("Qwen/Qwen2.5-7B").layers == 28


@pytest.mark.parametrize(
    ("name", "hub_id"),
    [
        ("Qwen/Qwen2.5-7B", "Qwen/Qwen2.5-7B"),
        ("Qwen2.5-7B", "Qwen/Qwen2.5-7B"),
        ("qwen2.5-7b-instruct", "Qwen/Qwen2.5-7B-Instruct"),
        ("Llama-3.1-8B", "meta-llama/Llama-3.1-8B"),
        ("qwen2.5-vl-7b", "Qwen/Qwen2.5-VL-7B-Instruct"),
        ("DEEPSEEK-AI/DeepSeek-R1-Distill-Llama-70B", "deepseek-ai/DeepSeek-R1-Distill-Llama-70B"),
        ("gpt2", "openai-community/gpt2"),
    ],
)
def test_bundled_models_are_found_by_what_people_call_them(name: str, hub_id: str) -> None:
    assert find_model(name).name == hub_id


def test_every_bundled_name_is_there_once_and_leads_to_its_own_entry() -> None:
    ids = [hub_id for entry in table() for hub_id in entry.ids]
    assert len(ids) == len(set(map(str.lower, ids)))
    for entry in table():
        assert {find_model(hub_id).params for hub_id in entry.ids} == {entry.params}


def test_an_unknown_name_is_a_finding_with_the_nearest_names() -> None:
    with pytest.raises(FindingsError) as error:
        find_model("Qwen2.5-7B-Instrct")
    (finding,) = error.value.findings
    assert finding.id == "model.unknown"
    assert "Qwen/Qwen2.5-7B-Instruct" in finding.fixes[0].text
    assert any("--params" in fix.command for fix in finding.fixes)
    for name in ("", "org/none", "zzz", "a" * 300, "a\x00b", "é/ü"):
        assert ids_of_error(name) == ["model.unknown"]


def test_the_toy_model_is_the_one_that_is_made() -> None:
    tokenizer = build_tokenizer()
    model = build_model(Recipe(), tokenizer)
    shape = find_model("toy:sort")
    assert len(tokenizer) == VOCABULARY
    assert (shape.params, shape.n_tensors) == (numel(model), len(list(model.parameters())))
    assert shape.family == model.config.model_type
    assert ids_of_error("toy:srt") == ["data.unknown-toy-task"]


@pytest.mark.parametrize("size", ["100M", "350m", "0.5B", "1.5B", "3B", " 7b", "13B", "32b", "70B", "0.4T"])
def test_a_size_gives_a_typical_dense_shape(size: str) -> None:
    shape = shape_of_size(size)
    asked = float(size.strip()[:-1]) * {"M": 1e6, "B": 1e9, "T": 1e12}[size[-1].upper()]
    assert abs(shape.params / asked - 1) < 0.03
    assert not shape.exact and "typical" in shape.note and size.strip() in shape.note
    assert shape.experts is None and shape.vision is None
    assert shape.heads % shape.kv_heads == 0


def test_all_sizes_in_range_are_met_within_three_percent() -> None:
    sizes = [1e8 * 1.07**i for i in range(132)]
    errors = [abs(shape_of_size(f"{size / 1e9:.4f}B").params / size - 1) for size in sizes]
    assert sizes[-1] > 7e11 and max(errors) < 0.03


@pytest.mark.parametrize("size", ["150M", "1B", "7B", "24B", "70B", "600B", "30B-A3B"])
def test_the_config_of_a_size_is_that_of_its_shape(size: str) -> None:
    shape = shape_of_size(size)
    read = shape_of(config_of_size(size), size)
    assert replace(shape, exact=True, note="") == read and shape.params == read.params


def test_a_size_with_active_parameters_is_a_mixture_of_experts() -> None:
    shape = shape_of_size("30B-A3B")
    assert shape.experts and not shape.exact
    assert shape.params == find_model("Qwen3-30B-A3B").params
    with pytest.raises(FindingsError, match="Qwen3-30B-A3B"):
        shape_of_size("30B-A20B")


@pytest.mark.parametrize("text", ["", "seven", "7", "-7B", "7GB", "1e9B", "0B", "50M", "5T", "7B7B", "nanB"])
def test_nonsense_sizes_are_findings_with_examples(text: str) -> None:
    with pytest.raises(FindingsError, match=r"7B.*30B-A3B") as error:
        shape_of_size(text)
    assert error.value.findings[0].id == "model.size-invalid"


def test_it_is_quick_and_light() -> None:
    program = """
import sys, time
import engine.findings
start = time.process_time()
from engine.footprint.catalog import find_model
imported = time.process_time()
find_model("Qwen2.5-7B").params
found = time.process_time()
heavy = {"torch", "transformers", "numpy", "huggingface_hub"} & set(sys.modules)
print((imported - start) * 1e3, (found - imported) * 1e3, *heavy)
"""
    root = Path(__file__).resolve().parents[3]
    run = [sys.executable, "-c", program]
    times = []
    for _ in range(4):
        done = subprocess.run(run, cwd=root, capture_output=True, text=True, check=True)
        imported, found, *heavy = done.stdout.split()
        assert not heavy
        times.append((float(imported), float(found)))
    assert min(imported for imported, _ in times) <= 50
    assert min(found for _, found in times) <= 5
