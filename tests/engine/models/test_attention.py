"""The attention implementation: the fastest that computes what the model is, and never a slow one unsaid."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.testing import assert_close
from transformers import BloomConfig

from engine.config.sections import RunConfig
from engine.data.experience import collate
from engine.data.prompt_layout import PromptLayout, lay_out
from engine.findings import FindingsError
from engine.models import attention_sdpa
from engine.models.actor import Actor
from engine.models.attention import EAGER, FLASH, SDPA, choose_attention
from engine.models.loading import load_source
from tests.engine.models.test_actor import experiences
from tests.engine.models.test_packing import distinct
from tests.engine.tiny import CONFIGS, save_tiny_model, tiny_model

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


def run(**model: Any) -> RunConfig:
    return RunConfig.model_validate({"model": model})


@pytest.mark.parametrize(
    ("family", "device", "importable", "settings", "name", "reason"),
    [
        ("qwen2", CUDA, True, {}, FLASH, "flash-attention"),
        ("qwen2", CUDA, True, {"flash_attn": True}, FLASH, "flash-attention"),
        ("qwen2", CUDA, True, {"flash_attn": False}, SDPA, "SDPA (flash_attn is false)"),
        ("qwen2", CUDA, True, {"bf16": False}, SDPA, "bf16 is false"),
        ("qwen2", CUDA, False, {}, SDPA, "not installed"),
        ("qwen2", CPU, True, {}, SDPA, "SDPA (there is no GPU)"),
        ("llama", CPU, None, {}, SDPA, "SDPA (there is no GPU)"),
        ("gemma2", CUDA, True, {}, FLASH, "flash-attention"),
        ("gemma2", CUDA, False, {}, EAGER, "SDPA cannot cap attention scores"),
        ("gemma2", CPU, True, {}, EAGER, "gemma2 models do at 50; no flash-attention: there is no GPU"),
    ],
)
def test_the_choice(
    family: str,
    device: torch.device,
    importable: bool | None,
    settings: dict[str, Any],
    name: str,
    reason: str,
) -> None:
    chosen = choose_attention(run(**settings), CONFIGS[family](), device, importable=importable)
    assert chosen.name == name
    assert reason in chosen.reason
    assert [f.id for f in chosen.findings] == ["model.eager-attention"] * (name == EAGER)
    assert all(f.severity == "warning" and reason in f.cause for f in chosen.findings)


@pytest.mark.parametrize(
    ("family", "device", "importable", "id"),
    [
        ("qwen2", CUDA, False, "environment.missing-extra"),
        ("qwen2", CPU, None, "environment.missing-extra"),
        ("qwen2", CPU, True, "model.no-flash"),
    ],
)
def test_flash_attention_asked_for_in_vain(
    family: str, device: torch.device, importable: bool | None, id: str
) -> None:
    if id == "environment.missing-extra":
        try:
            import flash_attn  # noqa: F401
        except ImportError:
            pass
        else:
            pytest.skip("flash-attention is installed here")
    with pytest.raises(FindingsError) as caught:
        choose_attention(run(flash_attn=True), CONFIGS[family](), device, importable=importable)
    assert [f.id for f in caught.value.findings] == [id]


def test_a_family_without_sdpa_is_told_of() -> None:
    chosen = choose_attention(run(), BloomConfig(), CUDA, importable=True)
    assert chosen.name == EAGER
    (finding,) = chosen.findings
    assert "bloom models have no form with SDPA" in finding.cause


@pytest.mark.parametrize("family", CONFIGS)
def test_a_model_is_loaded_with_what_was_chosen(family: str, tmp_path: Path) -> None:
    save_tiny_model(tmp_path)
    tiny_model(family).save_pretrained(tmp_path)
    source = load_source(run(pretrain=str(tmp_path)), cast(Any, SimpleNamespace(device=CPU)), print)
    expected = EAGER if family == "gemma2" else SDPA
    assert source.attention.name == expected
    for flash in (True, False):
        assert source.load(torch.float32, flash=flash).config._attn_implementation == expected


def by_stretches(q: Tensor, k: Tensor, v: Tensor, layout: PromptLayout) -> Tensor:
    """What a kernel for stretches of any length computes, [1, H, N, D] → [1, N, H, D]."""
    stretches = layout.stretches
    if stretches.keys is not None:
        k, v = k[:, :, stretches.keys], v[:, :, stretches.keys]
    outputs = []
    for s in range(len(stretches.query_ends) - 1):
        rows = slice(*stretches.query_ends[s : s + 2].tolist())
        seen = slice(*stretches.key_ends[s : s + 2].tolist())
        n, m = rows.stop - rows.start, seen.stop - seen.start
        assert 0 < n <= stretches.longest_query
        assert n <= m <= stretches.longest_key
        mask = torch.ones(n, m, dtype=torch.bool).tril(m - n)
        outputs.append(F.scaled_dot_product_attention(q[:, :, rows], k[:, :, seen], v[:, :, seen], mask))
    return torch.cat(outputs, dim=2).transpose(1, 2)


@pytest.mark.parametrize(
    ("prompts", "responses", "owner"),
    [([3, 1, 5], [], []), ([4, 2], [3, 0, 5, 1], [1, 0, 0, 1]), ([4], [0, 0], [0, 0])],
)
def test_stretches_say_what_the_padded_places_say(
    prompts: list[int], responses: list[int], owner: list[int]
) -> None:
    torch.manual_seed(0)
    layout = lay_out(prompts, responses, owner, CPU)
    assert layout.n_tokens == sum(prompts) + sum(responses)
    q, k, v = torch.randn(3, 1, 2, layout.n_tokens, 8)
    assert_close(attention_sdpa.laid_out(q, k, v, layout, None), by_stretches(q, k, v, layout))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
@pytest.mark.parametrize("arrangement", ["shared", "packed", "padded"])
def test_flash_attention_computes_what_sdpa_does(arrangement: str, tmp_path: Path) -> None:
    pytest.importorskip("flash_attn")
    folder, results = save_tiny_model(tmp_path), []
    some = experiences(n=24) if arrangement == "shared" else distinct()
    batch = collate(some, 0, CUDA, share_prompts=True, pack=arrangement == "packed")
    assert (batch.layout is None) == (arrangement == "padded")
    assert batch.layout is None or (batch.layout.responses.numel() > 0) == (arrangement == "shared")
    for flash in (True, False):
        config = run(pretrain=str(folder), flash_attn=flash)
        source = load_source(config, cast(Any, SimpleNamespace(device=CUDA)), print)
        assert source.attention.name == (FLASH if flash else SDPA)
        actor = Actor(source.load(torch.bfloat16), temperature=1.0, chunk_size=1000).to(CUDA)
        logprobs, _ = actor(batch)
        logprobs.sum().backward()
        gradient = torch.cat([p.grad.flatten() for p in actor.parameters() if p.grad is not None])
        results.append((logprobs.detach(), gradient.float()))
    (one, its_gradient), (other, other_gradient) = results
    assert_close(one, other, rtol=0, atol=0.05)
    assert F.cosine_similarity(its_gradient, other_gradient, dim=0) > 0.99
