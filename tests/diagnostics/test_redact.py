"""What a bug report hides, and what it must not."""

import pytest

from diagnostics.redact import is_secret, redacted, redacted_variable, without_keys

HOME = "/home/ann"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("rft launch x --api-key s3cret --nproc 2", "rft launch x --api-key <hidden> --nproc 2"),
        ("--token=abc --lr 1e-5", "--token=<hidden> --lr 1e-5"),
        ("--fix --token abc", "--fix --token <hidden>"),
        ("WANDB_API_KEY='a b' python x.py", "WANDB_API_KEY=<hidden> python x.py"),
        ("login with hf_AbCdEfGhIjKl now", "login with <hidden> now"),
        ("sk-proj-abcdefghij123456", "<hidden>"),
        ("https://ann:pass@host/x", "https://<hidden>@host/x"),
        ("key 0123456789abcdef0123456789abcdef01234567", "key <hidden>"),
        ("/home/ann/runs and /home/anna/runs", "~/runs and /home/anna/runs"),
        ("HOME=/home/ann", "HOME=~"),
        ("AKIAABCDEFGHIJKLMNOP", "<hidden>"),
    ],
)
def test_secrets_and_the_home_folder_go(text: str, expected: str) -> None:
    assert redacted(text, HOME) == expected


@pytest.mark.parametrize(
    "text",
    [
        "rft doctor --fix --yes gpu.ecc",
        "torch 2.8.0+cu128",
        "max_tokens_per_micro_batch=4096 --input-key prompt",
        "GPU-f3d0c1e0-5b1c-4d0a-9a53-0a1b2c3d4e5f",
        "per_device_train_batch_size_of_the_whole_run_and_all_ranks",
        "TOKENIZERS_PARALLELISM=false",
    ],
)
def test_what_a_report_is_for_stays(text: str) -> None:
    assert redacted(text, HOME) == text


@pytest.mark.parametrize(
    "name", ["HF_TOKEN", "AWS_SECRET_ACCESS_KEY", "OPENAI_API_BASE", "DB_PASSWORD", "my_access", "PASSWD"]
)
def test_names_say_what_is_secret(name: str) -> None:
    assert is_secret(name)
    assert redacted_variable(name, "plain", HOME) == "<hidden>"


def test_a_quoted_line_of_a_log_keeps_its_symbols_and_loses_its_keys() -> None:
    symbol = "undefined symbol: _ZN2at4_ops5zeros4callEN3c108ArrayRefINS2_6SymIntEEENS2_8optional"
    assert without_keys(symbol) == symbol
    line = "401 for https://me:geheim@hub.example/x with hf_abcdefghijklmnop and Bearer abcdef0123456789"
    assert without_keys(line) == "401 for https://<hidden>@hub.example/x with <hidden> and Bearer <hidden>"
