"""What is said of OpenRLHF's scripts, with the old option names and the dotted ones."""

from pathlib import Path

import pytest

from diagnostics.rules.openrlhf_flags import DOTTED, NEW
from tests.diagnostics.rules.checked_scripts import checked, checked_text, ids, one

GOOD = (
    "python3 -m openrlhf.cli.train_ppo_ray --actor_num_gpus_per_node 8 --ref_num_gpus_per_node 8 "
    "--vllm_num_engines 4 --vllm_tensor_parallel_size 2 --colocate_all_models --vllm_enable_sleep "
    "--deepspeed_enable_sleep --vllm_gpu_memory_utilization 0.5 --zero_stage 3 --pretrain m "
    "--remote_rm_url reward.py --prompt_data d --advantage_estimator group_norm --n_samples_per_prompt 8 "
    "--rollout_batch_size 128 --train_batch_size 128 --micro_train_batch_size 4 --micro_rollout_batch_size 8 "
    "--use_kl_loss --kl_estimator k3 --packing_samples --param_dtype bf16"
)


def dotted(line: str) -> str:
    """A command with the names of 2026."""
    words = [f"--{DOTTED[word[2:]]}" if word.startswith("--") else word for word in line.split(" ")]
    return " ".join(words)


def said(folder: Path, more: str, without: str = "") -> dict[str, str]:
    """Severity by id of what is said more than of `GOOD`, in both spellings alike."""
    base = ids(checked_text(folder, GOOD))
    line = f"{GOOD.replace(without, '', 1) if without else GOOD} {more}".strip()
    old = {id: s for id, s in ids(checked_text(folder, line)).items() if id not in base}
    new = {id: s for id, s in ids(checked_text(folder, dotted(line))).items() if id not in base}
    assert old == new
    return old


def test_a_good_script_has_no_error_and_no_warning(tmp_path: Path) -> None:
    assert set(ids(checked_text(tmp_path, GOOD)).values()) == {"info"}
    assert set(ids(checked_text(tmp_path, dotted(GOOD))).values()) == {"info"}


PREFIX = "check.openrlhf."
REWARD = "--remote_rm_url reward.py "
TOGETHER = "--colocate_all_models "
BUDGET = "--use_dynamic_batch --train_max_tokens_per_gpu 1000 --max_len 4096 --generate_max_len 1024"


@pytest.mark.parametrize(
    ("more", "without", "expected"),
    [
        ("--critic_pretrain c", "", {"no-effect.critic_pretrain": "warning"}),
        ("--eps_clip 0.1 --eps_clip_low_high 0.2 0.28", "", {"no-effect.eps_clip": "info"}),
        ("--reward_pretrain r", "", {"no-effect.reward-model": "warning"}),
        ("--adam_offload", "", {"no-effect.deepspeed-sleep": "warning"}),
        ("--async_train", "", {"async-sleep": "error"}),
        ("", TOGETHER, {"no-effect.vllm-sleep": "warning", "deepspeed-sleep-alone": "warning"}),
        ("", "--vllm_enable_sleep ", {"no-sleep": "warning"}),
        ("", "--vllm_num_engines 4 ", {"packing-without-vllm": "error"}),
        ("", REWARD, {"no-reward": "error"}),
        ("--dynamic_filtering", REWARD, {"no-reward": "error", "filtering-scores": "error"}),
        ("--dynamic_filtering --dynamic_filtering_reward_range 1 0", "", {"filtering-range": "error"}),
        ("--vllm_generate_batch_size 256", "", {"oversampling": "error"}),
        ("--init_kl_coef 0", "", {"kl-zero": "warning"}),
        ("--kl_target 0", "", {"kl-controller": "error"}),
        ("--ring_attn_size 3", "", {"cfg.sp": "error"}),
        ("", "--vllm_gpu_memory_utilization 0.5 ", {"engine-share": "warning"}),
        ("--use_wandb $KEY", "", {"key-on-command-line": "warning", "check.shell.not-known": "info"}),
        (BUDGET, "--micro_train_batch_size 4 ", {"token-budget": "warning"}),
    ],
)  # fmt: skip
def test_options_in_both_spellings(tmp_path: Path, more: str, without: str, expected: dict[str, str]) -> None:
    found = said(tmp_path, more, without)
    expected = {id if "." in id and id[:2] in ("cf", "ch") else PREFIX + id: s for id, s in expected.items()}
    assert {id: severity for id, severity in found.items() if id in expected} == expected
    assert "error" not in {severity for id, severity in found.items() if id not in expected}


def test_deepspeeds_batch_assert_in_its_own_words(tmp_path: Path) -> None:
    found = checked_text(tmp_path, GOOD.replace("--train_batch_size 128", "--train_batch_size 100"))
    finding = one(found, "cfg.batch.deepspeed")
    assert "world_size 100 != 4 * 3 * 8" in finding.cause
    assert [fix.command for fix in finding.fixes] == ["--train_batch_size 96", "--train_batch_size 128"]
    found = checked_text(tmp_path, dotted(GOOD.replace("--train_batch_size 128", "--train_batch_size 100")))
    assert one(found, "cfg.batch.deepspeed").fixes[0].command == "--train.batch_size 96"


def test_a_zero_stage_below_three_cannot_sleep(tmp_path: Path) -> None:
    found = checked_text(tmp_path, GOOD.replace("--zero_stage 3", "--zero_stage 2"))
    assert "Only Zero stage 3 is currently supported" in one(found, "check.openrlhf.sleep-stage").cause


def test_engines_must_have_exactly_the_actors_gpus(tmp_path: Path) -> None:
    found = checked_text(tmp_path, GOOD.replace("--vllm_num_engines 4", "--vllm_num_engines 2"))
    finding = one(found, "check.openrlhf.engines-on-actor")
    assert "2 engines × vllm_tensor_parallel_size 2 = 4, and the actor has 8" in finding.cause
    assert finding.fixes[0].command == "--vllm_num_engines 4"


def test_too_few_batches_for_the_ranks(tmp_path: Path) -> None:
    found = checked_text(tmp_path, GOOD.replace("micro_rollout_batch_size 8", "micro_rollout_batch_size 256"))
    finding = one(found, "check.openrlhf.too-few-batches")
    assert "= 4 batches for 8 groups" in finding.cause
    assert finding.fixes[0].command == "--micro_rollout_batch_size 128"


def test_releases_tell_their_names_apart(tmp_path: Path) -> None:
    found = checked_text(tmp_path, GOOD.replace("--param_dtype bf16", "--bf16 --flash_attn"))
    assert [f.param for f in found.findings if f.id == "check.openrlhf.old-option"] == ["bf16", "flash_attn"]
    mixed = checked_text(tmp_path, f"{dotted(GOOD)} --max_epochs 2")
    assert one(mixed, "check.openrlhf.unknown-option").fixes[0].text == "write --train.max_epochs"


def test_estimators_by_other_names(tmp_path: Path) -> None:
    found = checked_text(tmp_path, GOOD.replace("estimator group_norm", "estimator grpo"))
    assert one(found, "check.openrlhf.bad-choice").fixes[0].command == "--advantage_estimator group_norm"


def test_shipped_scripts_have_no_error() -> None:
    for name in ("openrlhf_hybrid.sh", "openrlhf_dotted.sh"):
        (found,) = checked(name)
        assert "error" not in ids(found).values(), name
    (found,) = checked("openrlhf_hybrid.sh")
    assert ids(found)["check.env.NCCL_BACKEND"] == "warning"
    assert ids(found)["check.env.secret.HF_TOKEN"] == "warning"
    (found,) = checked("openrlhf_dotted.sh")
    assert "micro-batches of up to 32768 tokens" in " ".join(found.arithmetic)


def test_scripts_with_faults() -> None:
    (found,) = checked("openrlhf_slurm.sh")
    finding = one(found, "check.openrlhf.colocated-sizes")
    assert finding.evidence[0] == "openrlhf_slurm.sh line 19: ref_num_gpus_per_node = 2"
    (found,) = checked("openrlhf_training_commands.sh")
    assert one(found, "cfg.batch.deepspeed").evidence[0].startswith("openrlhf_training_commands.sh line 9")
    (found,) = checked("openrlhf_wrong.sh")
    assert [finding.severity for finding in found.findings].count("error") == 12


def test_every_dotted_name_is_an_option() -> None:
    assert set(DOTTED.values()) <= set(NEW) and len(set(DOTTED.values())) == len(DOTTED)
