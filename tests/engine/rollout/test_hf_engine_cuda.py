"""The hf engine on a GPU."""

import pytest
import torch

from engine.rollout.base import SamplingParams
from engine.rollout.hf import HFEngine
from tests.engine.rollout.rollout_models import EOS, FUSED, PAD, UNFUSED, build_model

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")]
PROMPTS = [[5, 6, 7], [8], [9, 10, 11, 12, 13, 14, 15, 16, 17], [18, 19, 20], [21, 22]]


def build_engine(family: str, dtype: torch.dtype = torch.float32) -> HFEngine:
    model = build_model(family).to("cuda", dtype)
    return HFEngine(model, eos_token_ids=[EOS], pad_token_id=PAD, max_batch=7)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-4), (torch.bfloat16, 0.5)])
@pytest.mark.parametrize("family", FUSED + UNFUSED)
def test_log_probs_equal_a_plain_forward(family: str, dtype: torch.dtype, tolerance: float) -> None:
    reference = build_model(family)
    generator = torch.Generator("cuda").manual_seed(0)
    results = build_engine(family, dtype).generate(PROMPTS, SamplingParams(n=3, max_tokens=20), generator)
    for prompt, group in zip(PROMPTS, results, strict=True):
        for completion in group:
            response = torch.tensor(completion.token_ids)
            with torch.no_grad():
                logits = reference(torch.tensor([[*prompt, *response]])).logits[0, len(prompt) - 1 : -1]
            expected = logits.log_softmax(-1).gather(-1, response[:, None])[:, 0]
            torch.testing.assert_close(torch.tensor(completion.logprobs), expected, atol=tolerance, rtol=0)


def test_sleep_frees_device_memory_and_weights_can_be_updated_after_any_wake() -> None:
    engine = build_engine("qwen2", torch.bfloat16)
    params = SamplingParams(n=2, temperature=0.0, max_tokens=8)
    generator = torch.Generator("cuda")
    expected = engine.generate(PROMPTS, params, generator)
    held = torch.cuda.memory_allocated()
    engine.sleep()
    assert torch.cuda.memory_allocated() < held
    assert engine.generate(PROMPTS, params, generator) == expected
    engine.update_weights(build_model("qwen2").named_parameters())
    assert engine.generate(PROMPTS, params, generator) == expected
