"""What is said of LightRFT's scripts: its traps, what has no effect, what its asserts refuse."""

from pathlib import Path

import pytest

from tests.diagnostics.rules.checked_scripts import checked, checked_text, ids, one

GOOD = (
    "torchrun --nproc_per_node 8 examples/gsm8k_geo3k/train_colocate.py --pretrain m --prompt_data d --fsdp "
    "--bf16 --flash_attn --text_only --advantage_estimator group_norm --use_kl_loss --kl_estimator k3 "
    "--n_samples_per_prompt 8 --rollout_batch_size 64 --train_batch_size 128 --micro_train_batch_size 4 "
    "--micro_rollout_batch_size 8 --save_steps 20"
)
"""A command that nothing is wrong with but what any LightRFT script is told."""


TWICE = {"check.lightrft.given-twice": "warning"}
NOT_KNOWN = {"check.shell.not-known": "info"}


def said(folder: Path, more: str, without: str = "") -> dict[str, str]:
    """Severity by id of what is said more than of `GOOD`, with some options put in or taken out."""
    base = ids(checked_text(folder, GOOD))
    command = GOOD
    for option in without.split():
        command = command.replace(f" {option}", "", 1)
    found = ids(checked_text(folder, f"{command} {more}\n"))
    return {id: severity for id, severity in found.items() if id not in base}


def test_a_good_script_has_no_error_and_no_warning(tmp_path: Path) -> None:
    assert set(ids(checked_text(tmp_path, GOOD)).values()) == {"info"}


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ("--use_gspo", {"check.lightrft.no-effect.use_gspo": "warning"}),
        ("--loss_agg_mode token-mean", {"check.lightrft.no-effect.loss_agg_mode": "warning"}),
        ("--loss_agg_mode seq-mean-token-mean", {}),
        ("--chunk_size 1024", {"check.lightrft.no-effect.chunk_size": "warning"}),
        ("--load_in_4bit", {"check.lightrft.no-effect.load_in_4bit": "warning"}),
        ("--log_dir logs", {"check.lightrft.no-effect.log_dir": "warning"}),
        ("--rm_use_engine", {"check.lightrft.no-effect.rm_use_engine": "info"}),
        ("--remote_rm_url http://h", {"check.lightrft.no-effect.remote_rm_url": "warning"}),
        ("--high_entropy_token_ratio 0.2", {"check.lightrft.no-effect.high_entropy_token_ratio": "warning"}),
        ("--zero_stage 3", {"check.lightrft.no-effect.zero_stage": "info"}),
        ("--save_hf_ckpt", {"check.lightrft.no-effect.save_hf_ckpt": "warning"}),
        ("--critic_learning_rate 1e-5", {"check.lightrft.no-effect.critic_learning_rate": "warning"}),
        ("--advantages_norm", {"check.lightrft.no-effect.advantages_norm": "warning"}),
        ("--overlong_buffer_len 512", {"check.lightrft.no-effect.overlong_buffer_len": "warning"}),
        ("--overlong_buffer --overlong_buffer_len 512", {}),
        ("--plot_every 5", {"check.lightrft.no-effect.plot_every": "warning"}),
        ("--max_ckpt_mem 1000", {"check.lightrft.no-effect.max_ckpt_mem": "warning"}),
        ("--enable_ema", {"check.lightrft.ema": "error"}),
        ("--meta_init", {"check.lightrft.meta-init": "error"}),
        ("--fsdp_cpu_offload --adam_offload", {"check.lightrft.offload-twice": "warning"}),
        ("--use_fire", {"check.lightrft.fire": "error"}),
        ("--packing_samples", {"check.lightrft.packing": "warning"}),
        ("--freeze_prefix", {"check.lightrft.freeze-prefix": "warning"}),
        ("--sp_size 2", {"check.lightrft.sp-not-applied": "warning"}),
        ("--gamma 0.9", {"check.lightrft.gamma": "warning"}),
        ("--dynamic_sampling", {"check.lightrft.dynamic-sampling": "warning"}),
        ("--engine_type trt", {"check.lightrft.engine": "error"}),
        ("--engine_type hf", {"check.lightrft.engine": "warning"}),
        ("--max_len 4096", {"check.lightrft.max-len": "warning"}),
        ("--lora_rank 8", {"check.lightrft.lora-sync": "warning", "cfg.lr-lora": "info"}),
        ("--input_template 'Question'", {"check.lightrft.template": "warning"}),
        ("--load_checkpoint", {"check.lightrft.resume": "info"}),
        ("--use_wandb $WANDB_API_KEY", NOT_KNOWN | {"check.lightrft.key-on-command-line": "warning"}),
        ("--clip_range 0.2", {"check.lightrft.guide-only": "error"}),
        ("--num_workers 8", {"check.lightrft.guide-only": "error"}),
        ("--micro_train_batchsize 2", {"check.lightrft.unknown-option": "error"}),
        ("--my_own_option 2", {"check.lightrft.unknown-option": "warning"}),
        ("--engine_tp_size 3", {"cfg.tp": "error"}),
        ("--initial_model_shard_size 3", {"check.lightrft.reference-shards": "error"}),
        ("--max_samples 50", {"check.lightrft.no-rollouts": "error"}),
        ("--max_samples 7473", {}),
    ],
)  # fmt: skip
def test_single_options(tmp_path: Path, more: str, expected: dict[str, str]) -> None:
    assert said(tmp_path, more) == expected


@pytest.mark.parametrize(
    ("without", "more", "expected"),
    [
        ("--fsdp", "", {"check.lightrft.without-fsdp": "error"}),
        ("--bf16", "", {"check.lightrft.no-bf16": "warning"}),
        ("--flash_attn", "", {"check.lightrft.eager-attention": "warning"}),
        ("--use_kl_loss", "", {"check.lightrft.kl-estimator": "info"}),
        ("", "--init_kl_coef 0", {"check.lightrft.kl-zero": "warning"}),
        ("", "--advantage_estimator gspo", TWICE | {"check.lightrft.bad-choice": "error"}),
        ("", "--advantage_estimator reinforce++", TWICE | {"check.lightrft.reinforce-plus-plus": "error"}),
    ],
)  # fmt: skip
def test_combinations(tmp_path: Path, without: str, more: str, expected: dict[str, str]) -> None:
    assert said(tmp_path, more, without) == expected


def test_the_default_is_a_critic_which_text_cannot_have(tmp_path: Path) -> None:
    found = checked_text(tmp_path, GOOD.replace("--advantage_estimator group_norm ", ""))
    assert ids(found)["check.lightrft.default-gae"] == "warning"
    assert ids(found)["check.lightrft.text-critic"] == "error"
    assert "AutoModelForVision2Seq" in one(found, "check.lightrft.text-critic").cause
    assert "NameError: warnings" in one(found, "check.lightrft.kl-warning").cause


@pytest.mark.parametrize(("tbs", "fixes"), [(100, {96, 128}), (4, {32}), (129, {128, 160})])
def test_train_batches_that_do_not_divide(tmp_path: Path, tbs: int, fixes: set[int]) -> None:
    found = checked_text(tmp_path, GOOD.replace("--train_batch_size 128", f"--train_batch_size {tbs}"))
    finding = one(found, "cfg.batch.lightrft")
    assert f"train_batch_size = {tbs} is no multiple" in finding.cause and "4 × 8 = 32" in finding.cause
    assert {f"--train_batch_size {size}" for size in fixes} <= {fix.command for fix in finding.fixes}


def test_a_smaller_micro_batch_is_offered_where_it_divides(tmp_path: Path) -> None:
    found = checked_text(tmp_path, GOOD.replace("--train_batch_size 128", "--train_batch_size 80"))
    assert "--micro_train_batch_size 2" in [fix.command for fix in one(found, "cfg.batch.lightrft").fixes]


def test_prompts_and_responses_per_rank(tmp_path: Path) -> None:
    found = checked_text(tmp_path, GOOD.replace("--rollout_batch_size 64", "--rollout_batch_size 60"))
    assert "a rollout has 56 and not 60" in one(found, "check.lightrft.rollout-batch").cause
    found = checked_text(tmp_path, GOOD.replace("--rollout_batch_size 64", "--rollout_batch_size 4"))
    assert one(found, "check.lightrft.rollout-batch").severity == "error"
    found = checked_text(tmp_path, GOOD.replace("micro_rollout_batch_size 8", "micro_rollout_batch_size 7"))
    assert "64 responses, which is no multiple" in one(found, "check.lightrft.micro-rollout").cause


def test_fewer_responses_than_the_guide_asks_are_fine_and_more_are_told(tmp_path: Path) -> None:
    """The guide wants TBS ≥ RBS × n; the code takes several steps per rollout, and rarely the reverse."""
    found = checked_text(tmp_path, GOOD)
    assert "512 responses / 128 per step = 4 optimizer steps per rollout" in " ".join(found.arithmetic)
    found = checked_text(tmp_path, GOOD.replace("--train_batch_size 128", "--train_batch_size 1024"))
    assert "ACCUMULATION MODE" in one(found, "check.lightrft.accumulates").cause


def test_dynamic_sampling_with_larger_micro_batches_than_groups(tmp_path: Path) -> None:
    line = GOOD.replace("--n_samples_per_prompt 8", "--n_samples_per_prompt 2")
    found = checked_text(tmp_path, f"{line} --dynamic_sampling")
    assert "range() arg 3" in one(found, "check.lightrft.dynamic-sampling-groups").cause


def test_without_torchrun(tmp_path: Path) -> None:
    found = checked_text(tmp_path, GOOD.replace("torchrun --nproc_per_node 8", "python"))
    assert one(found, "check.lightrft.no-torchrun").severity == "error"


def test_an_example_has_defaults_and_options_of_its_own(tmp_path: Path) -> None:
    line = "torchrun --nproc_per_node 8 examples/r1_aqa/train_colocate.py --pretrain m --prompt_data d --fsdp"
    found = checked_text(tmp_path, f"{line} --ckpt_path_local /tmp/x")
    assert "512 prompts × 8 responses" in found.arithmetic[1]
    assert "check.lightrft.default-gae" not in ids(found)
    assert ids(checked_text(tmp_path, f"{GOOD} --ckpt_path_local /x"))["check.lightrft.unknown-option"]


def test_the_shipped_form_of_a_script_has_no_error() -> None:
    (found,) = checked("lightrft_gsm8k.sh")
    assert "error" not in ids(found).values()
    assert ids(found)["check.env.NCCL_TIMEOUT"] == "warning"
    assert one(found, "check.env.secret.WANDB_API_KEY").evidence == (
        "lightrft_gsm8k.sh line 7: WANDB_API_KEY=<hidden>",
    )
    assert found.arithmetic[0] == (
        "8 ranks train, and sample on the same GPUs with 4 engines of tensor parallelism 2."
    )


def test_no_key_is_ever_shown() -> None:
    for name in ("lightrft_gsm8k.sh", "openrlhf_hybrid.sh"):
        (found,) = checked(name, "8xA100-80")
        text = repr(found)
        assert "0123456789abcdef" not in text and "hf_abcdefghijklmnop" not in text and "<hidden>" in text


def test_the_example_of_the_guide() -> None:
    (found,) = checked("lightrft_guide.sh")
    assert one(found, "check.shell.broken-continuation").severity == "error"
    guide = [finding for finding in found.findings if finding.id == "check.lightrft.guide-only"]
    assert [finding.param for finding in guide] == ["clip_range", "clip_range_higher", "save_interval"]
    assert "--save_steps" in guide[2].cause
    assert {"check.lightrft.without-fsdp", "check.lightrft.no-torchrun", "check.lightrft.missing"} <= set(
        ids(found)
    )


def test_what_depends_on_the_machine_is_told_and_not_judged() -> None:
    (found,) = checked("lightrft_audio.sh")
    assert "cfg.batch.lightrft" not in ids(found) and ids(found)["check.lightrft.more-options"] == "info"
    assert ids(found)["check.lightrft.missing"] == "error"  # --pretrain ""
    clustered = checked("lightrft_cluster.sh")[0]
    assert 'MICRO is "8" or "4", by the condition in line 21' in one(clustered, "check.shell.depends").cause
