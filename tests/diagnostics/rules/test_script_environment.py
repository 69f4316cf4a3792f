"""Variables that a script sets: what does nothing, what harms, and keys."""

import pytest

from diagnostics.rules.environment import environment_findings
from diagnostics.rules.foreign import Foreign, Framework, Setting
from diagnostics.rules.secrets import HIDDEN, hidden, is_secret_name
from engine.findings import Finding


def of(name: str, value: str, framework: Framework = "verl", ranks: int | None = None) -> list[Finding]:
    environ = {name: Setting(value, 7)}
    return environment_findings(
        Foreign(framework=framework, path="a/run.sh", settings={}, environ=environ, ranks=ranks)
    )


@pytest.mark.parametrize(
    ("framework", "words", "command"),
    [
        ("lightrft", "60 minutes", ""),
        ("verl", "actor_rollout_ref.nccl_timeout seconds, 600", "actor_rollout_ref.nccl_timeout=1800"),
        ("trl", "--ddp_timeout seconds, 1800", "--ddp_timeout 3600"),
    ],
)
def test_nccl_timeout_does_nothing_and_what_does(framework: Framework, words: str, command: str) -> None:
    (finding,) = of("NCCL_TIMEOUT", "1800", framework)
    assert finding.severity == "warning" and words in finding.cause
    assert finding.evidence == ("run.sh line 7: NCCL_TIMEOUT=1800",)
    assert finding.fixes[0].command == command and finding.fixes[-1].text == "take line 7 out"


@pytest.mark.parametrize(
    ("name", "value", "severities"),
    [
        ("NCCL_BACKEND", "gloo", ["warning"]),
        ("NCCL_P2P_DISABLE", "1", ["warning"]),
        ("NCCL_P2P_DISABLE", "0", []),
        ("CUDA_LAUNCH_BLOCKING", "1", ["warning"]),
        ("NCCL_DEBUG", "TRACE", ["warning"]),
        ("NCCL_DEBUG", "INFO", []),
        ("RAY_DEDUP_LOGS", "0", []),
        ("TORCH_NCCL_AVOID_RECORD_STREAMS", "1", []),
        ("NCCL_DESYNC_DEBUG", "1", ["info"]),
        ("NCCL_BLOCKING_WAIT", "1", ["info"]),
        ("NCCL_ASYNC_ERROR_HANDLING", "0", ["warning", "info"]),
        ("NCCL_P2P_DISABLE", "$P2P", []),
        ("CUDA_VISIBLE_DEVICES", "0,1", []),
        ("PYTHONPATH", "/x/site-packages", []),
    ],
)
def test_single_variables(name: str, value: str, severities: list[str]) -> None:
    assert [finding.severity for finding in of(name, value)] == severities


def test_variables_of_one_framework() -> None:
    assert of("IGNORE_EOS", "1") == [] and of("IGNORE_EOS", "0", "lightrft") == []
    assert "as long as generate_max_len" in of("IGNORE_EOS", "1", "lightrft")[0].cause
    assert "overwritten by the launcher" in of("RANK", "0", "lightrft", ranks=8)[0].cause
    assert of("RANK", "0", "verl", ranks=8) == []


@pytest.mark.parametrize(
    ("name", "secret"),
    [
        ("WANDB_API_KEY", True), ("HF_TOKEN", True), ("AWS_SECRET_ACCESS_KEY", True), ("DB_PASSWORD", True),
        ("use_wandb", True), ("logger.wandb.key", True), ("OPENAI_API_KEY", True),
        ("TOKENIZERS_PARALLELISM", False), ("input_key", False), ("max_tokens", False),
        ("loss_agg_mode", False),        ("first_token_temperature", False), ("data.image_key", False),
    ],
)  # fmt: skip
def test_names_of_secrets(name: str, secret: bool) -> None:
    assert is_secret_name(name) is secret


@pytest.mark.parametrize(
    "value", ["", "$KEY", "YOUR_WANDB_API_KEY", "<token>", "{wandb_token}", "true", "xxxxxxxx"]
)
def test_placeholders_are_no_secrets(value: str) -> None:
    assert hidden("WANDB_API_KEY", value) == value


def test_a_key_is_hidden_and_told_of() -> None:
    assert hidden("WANDB_API_KEY", "0123456789abcdef") == HIDDEN
    (finding,) = of("HF_TOKEN", HIDDEN)
    assert finding.severity == "warning" and [fix.command for fix in finding.fixes] == ["", "hf auth login"]
