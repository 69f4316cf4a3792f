"""Every check of the environment on a good and on a bad recorded host; no value of a key is ever shown."""

import msgspec
import pytest

from diagnostics.doctor.checks.environment import CHECKS
from diagnostics.doctor.checks.leftovers import LEFTOVERS
from diagnostics.doctor.recorded import Recorded
from tests.diagnostics.doctor.judged import MACHINE, TORCH, assert_found, judge, package

WANDB = MACHINE.but(
    packages=(TORCH, package("wandb", "0.22")), environ={"HOME": "/root"}, files={"/root/.netrc": None}
)
VLLM = MACHINE.but(packages=(TORCH, package("vllm", "0.32.0")))
GATED = MACHINE.but(
    environ={"HOME": "/root"},
    config={"model": {"pretrain": "meta-llama/Llama-3.1-8B"}},
    files={"/root/.cache/huggingface/token": None},
)

GOOD = {
    "env.leftover": [MACHINE.but(environ={"NCCL_DEBUG": "INFO", "NCCL_P2P_DISABLE": "0"})],
    "env.spawn": [VLLM, VLLM.but(environ={"VLLM_WORKER_MULTIPROC_METHOD": "spawn"})],
    "env.secrets": [
        MACHINE,
        WANDB.but(environ={"WANDB_API_KEY": "k"}),
        WANDB.but(environ={"WANDB_MODE": "offline"}),
        WANDB.but(files={"/root/.netrc": "machine api.wandb.ai login user password k"}),
        GATED.but(environ={"HF_TOKEN": "hf_k"}),
        GATED.but(files={"/root/.cache/huggingface/token": "hf_k"}),
    ],
}
BAD = [
    (
        "env.leftover",
        MACHINE.but(environ={"NCCL_P2P_DISABLE": "1", "CUDA_LAUNCH_BLOCKING": "1"}),
        "warning",
        ("NCCL_P2P_DISABLE = 1", "unset NCCL_P2P_DISABLE", "unset CUDA_LAUNCH_BLOCKING"),
    ),
    (
        "env.leftover",
        MACHINE.but(environ={"NCCL_TIMEOUT": "1800"}),
        "info",
        ("know no such variable. rftui reads it", "parallel.nccl_timeout"),
    ),
    (
        "env.leftover",
        MACHINE.but(environ={"NCCL_TIMEOUT": "30min", "NCCL_BACKEND": "mpi"}),
        "error",
        ("refuses to start", "neither nccl nor gloo"),
    ),
    (
        "env.leftover",
        MACHINE.but(environ={"PYTORCH_CUDA_ALLOC_CONF": "expandable_segments: True"}),
        "warning",
        ("an engine that sleeps",),
    ),
    (
        "env.spawn",
        VLLM.but(environ={"VLLM_WORKER_MULTIPROC_METHOD": "fork"}),
        "warning",
        ("forked subprocess", "=spawn"),
    ),
    (
        "env.secrets",
        WANDB.but(environ={"WANDB_PROJECT": "p"}),
        "error",
        ("WANDB_PROJECT is set", "wandb login", "WANDB_MODE=offline"),
    ),
    ("env.secrets", WANDB, "info", ("no key",)),
    ("env.secrets", GATED, "error", ("gated", "hf auth login")),
]


def test_no_check_is_without_a_good_and_a_bad_host():
    ids = {check.id for check in CHECKS}
    assert ids == GOOD.keys() == {id for id, *_ in BAD}


@pytest.mark.parametrize(("id", "recorded"), [(id, one) for id, hosts in GOOD.items() for one in hosts])
def test_a_good_host_passes(id: str, recorded: Recorded, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HF_HOME", "/nowhere")
    result = judge(CHECKS, id, recorded)
    assert result.status == "ok", result


@pytest.mark.parametrize(("id", "recorded", "severity", "words"), BAD)
def test_a_bad_host_is_told_what_to_do(
    id: str, recorded: Recorded, severity: str, words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("HF_HOME", "/nowhere")
    assert_found(judge(CHECKS, id, recorded), severity, *words)


@pytest.mark.parametrize("entry", LEFTOVERS, ids=lambda entry: entry.name)
def test_every_left_over_variable_says_what_it_does_and_what_to_do(entry):
    assert entry.means and not entry.means.endswith(".")
    unset = MACHINE.but(environ={entry.name: ""})
    assert judge(CHECKS, "env.leftover", unset).status == "ok"


@pytest.mark.parametrize(
    ("value", "status"), [("0", "warning"), ("false", "warning"), ("1", "ok"), ("3", "ok")]
)
def test_what_must_not_be_switched_off(value: str, status: str):
    off = MACHINE.but(environ={"TORCH_NCCL_ASYNC_ERROR_HANDLING": value})
    assert judge(CHECKS, "env.leftover", off).status == status


def test_no_value_of_a_key_is_shown(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HF_HOME", "/nowhere")
    secret = "s3cr3t-value"
    hosts = [
        WANDB.but(environ={"WANDB_API_KEY": secret}),
        GATED.but(environ={"HF_TOKEN": secret}),
        GATED.but(files={"/root/.cache/huggingface/token": secret}),
        WANDB.but(environ={"WANDB_PROJECT": secret}, files={"/root/.netrc": f"machine x password {secret}"}),
    ]
    for host in hosts:
        assert secret not in msgspec.json.encode(judge(CHECKS, "env.secrets", host)).decode()
