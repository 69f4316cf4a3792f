"""Configurations of all five frameworks become presets that load, each value with where it is from."""

import re
from pathlib import Path

import pytest

from diagnostics.rules.convert import Conversion, convert
from diagnostics.rules.convert_tables import TABLES
from diagnostics.rules.read import open_source, read
from diagnostics.rules.rulesets import job_of
from engine.config.load import Resolved, resolve
from engine.config.rules import check
from presets.loader import load

CONFIGS = Path(__file__).parent / "configs"
JOBS = (
    "lightrft_colocate.sh",
    "openrlhf_ray.sh",
    "trinity_gsm8k.yaml",
    "trinity_traps.yaml",
    "trl_colocate.sh",
    "trl_lora.sh",
    "trl_math.yaml",
    "trl_train.py",
    "verl_dapo_32b.sh",
    "verl_grpo_7b.sh",
    "verl_job.yaml",
    "verl_legacy.sh",
    "verl_lora_3b.sh",
    "verl_megatron.sh",
)


def converted(name: str) -> Conversion:
    (foreign,) = read(open_source(CONFIGS / name))
    return convert(foreign, job_of(foreign))


def loaded(conversion: Conversion, folder: Path) -> Resolved:
    path = folder / "converted.yaml"
    path.write_text(conversion.text)
    preset = load(str(path))
    assert preset.needs == conversion.needs
    return resolve([preset.layer])


@pytest.mark.parametrize("name", JOBS)
def test_every_preset_loads_and_breaks_no_rule_unsaid(name: str, tmp_path: Path) -> None:
    conversion = converted(name)
    resolved = loaded(conversion, tmp_path)
    world = resolved.config.parallel.nproc or 1
    broken = {*conversion.needs, "reward.reward_fn"} if conversion.needs else ()
    ours = {f.id for f in check(resolved.config, world_size=world, broken=broken)} - {"config.missing-value"}
    assert ours - {"reward.missing"} == {f.id for f in conversion.findings if not f.id.startswith("convert.")}


@pytest.mark.parametrize("name", JOBS)
def test_every_value_says_where_it_is_from(name: str) -> None:
    values = [line for line in converted(name).text.splitlines() if line.startswith("  ")]
    assert values and all("  # " in line for line in values)


@pytest.mark.parametrize("name", JOBS)
def test_every_given_setting_is_taken_or_told(name: str) -> None:
    (foreign,) = read(open_source(CONFIGS / name))
    conversion = converted(name)
    told = [finding.cause for finding in conversion.findings if finding.id == "convert.without-equivalent"]
    assert [
        cause
        for cause, reason in zip(told, conversion.without_equivalent, strict=True)
        if reason not in cause
    ] == []
    covered = TABLES[foreign.framework].covered
    for name, setting in foreign.settings.items():
        held = name in job_of(foreign).names.values() or any(re.search(pattern, name) for pattern in covered)
        assert held or name in conversion.text or setting.value == 0 or not setting.line, name


def test_verl(tmp_path: Path) -> None:
    conversion = converted("verl_grpo_7b.sh")
    config = loaded(conversion, tmp_path).config
    batch = config.batch
    assert (batch.rollout_batch_size, batch.n_samples_per_prompt, batch.train_batch_size) == (1024, 5, 1280)
    assert (batch.micro_train_batch_size, batch.micro_rollout_batch_size) == (10, 32)
    assert (config.rollout.max_len, config.rollout.top_p, config.rollout.engine_tp_size) == (1536, 1.0, 2)
    assert (config.algorithm.loss_agg, config.algorithm.kl_estimator) == ("token-mean", "k3")
    assert (config.optim.lr_scheduler, config.optim.l2) == ("constant", 0.01)
    assert (config.eval.eval_interval, config.checkpoint.save_steps) == (20, 80)
    assert config.memory.packing_samples and config.memory.ref_reward_offload and config.parallel.fsdp
    assert conversion.needs == ("reward.reward_rule",)
    assert (
        "rollout_batch_size: 1024  # data.train_batch_size (line 9); prompts per rollout" in conversion.text
    )
    assert (
        "trackers are not in this version: runs write events that rftui shows"
        in conversion.without_equivalent
    )


def test_verl_with_token_budgets_and_sequence_parallelism(tmp_path: Path) -> None:
    conversion = converted("verl_dapo_32b.sh")
    config = loaded(conversion, tmp_path).config
    assert config.parallel.sp_size == 8 and config.parallel.nproc == 8
    assert config.batch.max_tokens_per_micro_batch == 8 * 22528
    assert config.algorithm.clip_range_higher == 0.28 and config.algorithm.init_kl_coef == 0.0
    assert config.reward.overlong_buffer_len == 4096
    reasons = " ".join(conversion.without_equivalent)
    assert "16 machines: this version runs on one" in reasons and "groups are not resampled" in reasons


def test_trl(tmp_path: Path) -> None:
    conversion = converted("trl_colocate.sh")
    config = loaded(conversion, tmp_path).config
    batch = config.batch
    assert (batch.rollout_batch_size, batch.n_samples_per_prompt, batch.train_batch_size) == (64, 8, 512)
    assert (config.parallel.zero_stage, config.parallel.nproc) == (3, 8)
    assert (config.data.prompt_data, config.reward.reward_rule) == ("openai/gsm8k:main", "math")
    assert (config.rollout.max_len, config.rollout.prompt_max_len) == (2048, 1024)
    assert config.algorithm.tis_cap == 3.0 and config.memory.fused_linear_logprob
    assert conversion.needs == ()


def test_trinity(tmp_path: Path) -> None:
    conversion = converted("trinity_gsm8k.yaml")
    config = loaded(conversion, tmp_path).config
    assert (config.batch.rollout_batch_size, config.batch.train_batch_size) == (96, 768)
    assert (config.data.input_key, config.data.label_key) == ("question", "answer")
    assert (config.algorithm.kl_estimator, config.optim.actor_learning_rate) == ("k2", 1e-5)
    assert "engines on cards of their own" in " ".join(conversion.without_equivalent)


@pytest.mark.parametrize("name", ["lightrft_colocate.sh", "openrlhf_ray.sh"])
def test_keys_are_never_written(name: str) -> None:
    conversion = converted(name)
    shown = conversion.text + repr(conversion.findings)
    assert "use_wandb" in shown
    assert "0123456789abcdef" not in shown and "abcdefabcdef" not in shown


def test_lightrft_is_nearly_ours(tmp_path: Path) -> None:
    conversion = converted("lightrft_colocate.sh")
    config = loaded(conversion, tmp_path).config
    assert config.optim.num_episodes == 20 and config.rollout.generate_max_len == 2048
    assert config.model.flash_attn and config.memory.adam_offload and config.parallel.zero_stage == 3
    assert config.checkpoint.save_steps == 160, "20 rollouts of 8 optimizer steps"
    assert "freeze_prefix" in conversion.without_equivalent["there is no such setting here"]


def test_openrlhf(tmp_path: Path) -> None:
    config = loaded(converted("openrlhf_ray.sh"), tmp_path).config
    assert (config.rollout.engine_tp_size, config.rollout.engine_mem_util) == (2, 0.6)
    assert config.data.input_key == "context_messages" and config.algorithm.init_kl_coef == 0.001


def test_a_zero_stage_that_fsdp_leaves_without_effect_is_not_taken(tmp_path: Path) -> None:
    conversion = converted("../scripts/lightrft_gsm8k.sh")
    config = loaded(conversion, tmp_path).config
    assert (config.parallel.fsdp, config.parallel.zero_stage) == (True, None)
    assert "parallel.zero-with-fsdp" not in {finding.id for finding in conversion.findings}
