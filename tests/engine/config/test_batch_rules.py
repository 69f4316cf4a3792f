"""The batch relations: rules find nothing exactly where the arithmetic divides, and every fix repairs."""

import math
import random

import pytest

from engine.config.batch import batch_words, steps_per_rollout
from engine.config.load import Layer, resolve
from engine.config.rules import check
from engine.config.sections import RunConfig
from engine.findings import Finding

COMPLETE = {"model.pretrain": "m", "data.prompt_data": "d", "reward.reward_rule": "math"}


def configured(**values: object) -> RunConfig:
    settings = {"rollout.max_len": 512, "rollout.prompt_max_len": 256, **COMPLETE}
    settings |= {name.replace("__", "."): value for name, value in values.items()}
    return resolve([Layer("test", settings)]).config


def edited(config: RunConfig, edits: dict[str, object]) -> RunConfig:
    for key, value in edits.items():
        section, _, name = key.partition(".")
        changed = getattr(config, section).model_copy(update={name: value})
        config = config.model_copy(update={section: changed})
    return config


def errors(found: list[Finding]) -> set[str]:
    return {finding.id for finding in found if finding.severity == "error"}


def by_id(found: list[Finding], id: str) -> Finding:
    (finding,) = (finding for finding in found if finding.id == id)
    return finding


def random_case(rng: random.Random) -> tuple[RunConfig, int, int | None]:
    pick = rng.choice
    config = configured(
        batch__train_batch_size=pick([1, 2, 6, 8, 12, 16, 24, 32, 48, 64, 96, 100, 128, 256]),
        batch__micro_train_batch_size=pick([1, 2, 3, 4, 8]),
        batch__rollout_batch_size=pick([1, 2, 3, 4, 6, 8, 12, 16, 20, 32, 64]),
        batch__n_samples_per_prompt=pick([2, 3, 4, 8]),
        batch__max_tokens_per_micro_batch=pick([None, None, 512]),
        batch__strict_batch_rule=pick([True, False]),
        optim__max_epochs=pick([1, 1, 2, 3]),
    )
    return config, pick([1, 2, 3, 4, 8]), pick([None, 1, 5, 10, 40, 1000])


def expected(config: RunConfig, world: int, size: int | None) -> set[str]:
    """The errors there should be, by the arithmetic of parameters.md written out once more."""
    batch, epochs = config.batch, config.optim.max_epochs
    tbs, rbs, n = batch.train_batch_size, batch.rollout_batch_size, batch.n_samples_per_prompt
    micro = 1 if batch.max_tokens_per_micro_batch else batch.micro_train_batch_size
    wanted = {
        "batch.tbs-indivisible": tbs % (micro * world) != 0,
        "batch.rbs-indivisible": rbs % world != 0,
        "batch.rollout-indivisible": (rbs * n * epochs) % tbs != 0 and tbs % (rbs * n * epochs) != 0,
        "batch.off-policy": batch.strict_batch_rule and tbs < rbs * n,
        "data.smaller-than-rollout": size is not None and size < rbs,
        "data.no-optimizer-step": size is not None and rbs <= size and size // rbs * rbs * n * epochs < tbs,
    }
    return {id for id, holds in wanted.items() if holds}


def test_rules_agree_with_the_arithmetic_on_random_configurations():
    rng = random.Random(0)
    seen: set[str] = set()
    fine = 0
    for _ in range(4000):
        config, world, size = random_case(rng)
        wanted = expected(config, world, size)
        assert errors(check(config, world_size=world, dataset_size=size)) == wanted, (
            config.batch,
            world,
            size,
        )
        seen |= wanted
        fine += not wanted
    assert len(seen) == 6 and fine > 100  # the cases reach every rule, and configurations without errors


def test_every_fix_repairs_its_finding_and_breaks_no_other_relation():
    rng = random.Random(1)
    tried = 0
    for _ in range(1500):
        config, world, size = random_case(rng)
        found = check(config, world_size=world, dataset_size=size)
        for finding in found:
            for fix in finding.fixes:
                if not fix.set:
                    continue
                after = check(edited(config, fix.set), world_size=world, dataset_size=size)
                assert finding.id not in {f.id for f in after}, (finding, config.batch, world, size)
                allowed = errors(found) | {"data.smaller-than-rollout", "data.no-optimizer-step"}
                assert errors(after) <= allowed | {"batch.off-policy"}, (finding, fix, config.batch, world)
                tried += 1
    assert tried > 1000


def test_nearest_values_are_the_nearest():
    config = configured(
        batch__train_batch_size=100,
        batch__rollout_batch_size=32,
        batch__n_samples_per_prompt=8,
        batch__micro_train_batch_size=4,
    )
    finding = by_id(check(config, world_size=2), "batch.tbs-indivisible")
    values = [
        fix.set["batch.train_batch_size"] for fix in finding.fixes if "batch.train_batch_size" in fix.set
    ]
    works = [t for t in range(1, 3000) if t % 8 == 0 and (256 % t == 0 or t % 256 == 0)]
    assert values == [max(t for t in works if t < 100), min(t for t in works if t > 100)] == [64, 128]
    assert finding.fixes[-1].set == {"batch.micro_train_batch_size": 2}
    assert "100" in finding.cause and "4 × 2 = 8" in finding.cause


def test_off_policy_is_a_warning_with_step_count_and_the_satisfying_tbs():
    config = configured(
        batch__train_batch_size=64, batch__rollout_batch_size=64, batch__n_samples_per_prompt=4
    )
    finding = by_id(check(config, world_size=2), "batch.off-policy")
    assert finding.severity == "warning"
    assert "4 optimizer steps per rollout, 3 of them off-policy" in finding.cause
    assert finding.fixes[0].set == {"batch.train_batch_size": 256}
    assert finding.fixes[1].set == {"batch.rollout_batch_size": 16}
    strict = edited(config, {"batch.strict_batch_rule": True})
    assert by_id(check(strict, world_size=2), "batch.off-policy").severity == "error"


def test_on_policy_tbs_respects_the_micro_batches():
    config = configured(
        batch__train_batch_size=12,
        batch__rollout_batch_size=12,
        batch__n_samples_per_prompt=3,
        batch__micro_train_batch_size=8,
    )
    finding = by_id(check(config, world_size=1), "batch.off-policy")
    assert finding.fixes[0].set == {"batch.train_batch_size": math.lcm(36, 8)}


def test_small_data_names_size_rbs_and_the_largest_rbs_that_works():
    config = configured(
        batch__train_batch_size=64, batch__rollout_batch_size=64, batch__n_samples_per_prompt=4
    )
    finding = by_id(check(config, world_size=4, dataset_size=50), "data.smaller-than-rollout")
    assert "50 prompts" in finding.cause and "rollout_batch_size = 64" in finding.cause
    assert finding.fixes[0].set == {"batch.rollout_batch_size": 48}
    limited = edited(config, {"data.max_samples": 20})
    finding = by_id(check(limited, world_size=4, dataset_size=5000), "data.smaller-than-rollout")
    assert "max_samples leaves 20" in finding.cause
    assert {"data.max_samples": 64} in [fix.set for fix in finding.fixes]
    tiny = by_id(check(config, world_size=4, dataset_size=3), "data.smaller-than-rollout")
    assert "at most 3 ranks" in tiny.fixes[0].text


@pytest.mark.parametrize(
    ("key", "id"), [("rollout.engine_tp_size", "parallel.tp"), ("parallel.sp_size", "parallel.sp")]
)
def test_parallel_sizes_divide_world_and_heads(key: str, id: str):
    config = edited(configured(), {key: 3})
    found = check(config, world_size=8, model_config={"num_attention_heads": 28})
    assert [fix.set[key] for fix in by_id(found, f"{id}-indivisible").fixes] == [2, 4]
    assert "28 attention heads" in by_id(found, f"{id}-heads").cause
    nested = check(
        edited(config, {key: 8}), world_size=8, model_config={"text_config": {"num_attention_heads": 28}}
    )
    assert [fix.set[key] for fix in by_id(nested, f"{id}-heads").fixes] == [4]
    for size in (1, 2, 4):
        assert (
            errors(check(edited(configured(), {key: size, "batch.train_batch_size": 256}), world_size=8))
            == set()
        )


def test_prompts_divide_among_replicas_not_ranks():
    config = configured(
        batch__rollout_batch_size=4, batch__train_batch_size=16, batch__n_samples_per_prompt=4
    )
    assert "batch.rbs-indivisible" in errors(check(config, world_size=8))
    assert errors(check(edited(config, {"rollout.engine_tp_size": 2}), world_size=8)) == set()


def test_steps_and_words():
    config = configured(
        batch__train_batch_size=64,
        batch__rollout_batch_size=32,
        batch__n_samples_per_prompt=8,
        batch__micro_train_batch_size=8,
        optim__max_epochs=2,
    )
    assert steps_per_rollout(config) == 8
    words = batch_words(config, 2)
    assert "32 prompts × 8 responses = 256 responses" in words
    assert "8 optimizer steps of 64 per rollout; 7 of them off-policy" in words
    assert "2 ranks × 32 responses per step, in 4 micro-batches of 8" in words
    gathered = configured(
        batch__train_batch_size=1024, batch__rollout_batch_size=32, batch__n_samples_per_prompt=8
    )
    assert "gathered over 4 rollouts" in batch_words(gathered, 1)
    once = configured(
        batch__train_batch_size=256, batch__rollout_batch_size=32, batch__n_samples_per_prompt=8
    )
    assert "1 optimizer step of 256 per rollout; strictly on-policy" in batch_words(once, 1)
