"""Host memory and disk: loading, offloads, sleeping engines, checkpoints."""

from engine.footprint.predict import predict
from engine.footprint.terms import Footprint
from tests.engine.footprint.jobs import GB, QWEN_7B, job, place

P = 7_615_616_512
AWAKE = {"rollout": {"enable_engine_sleep": False}}


def host(footprint: Footprint) -> dict[str, int]:
    return {term.name: term.bytes for term in footprint.host}


def test_every_rank_loads_a_whole_copy_in_float32() -> None:
    terms = host(predict(job(**AWAKE)))
    assert terms["loaded policy"] == 8 * 4 * P  # 244 GB on a machine with eight GPUs
    assert terms["processes"] == 8 * 3 * GB


def test_two_machines_each_load_for_their_own_ranks() -> None:
    assert host(predict(job(where=place(ranks=16)))) == host(predict(job()))


def test_deepspeed_keeps_the_policy_while_the_reference_loads() -> None:
    terms = host(predict(job(parallel={"zero_stage": 2})))
    assert terms["loaded policy"] == 8 * 4 * P
    assert sum(terms.values()) - terms["processes"] == 8 * 6 * P


def test_lora_loads_the_base_in_its_own_dtype() -> None:
    assert host(predict(job(model={"lora_rank": 16}, **AWAKE)))["loaded policy"] == 8 * 2 * P


def test_a_sleeping_engine_may_need_more_than_loading() -> None:
    """Its weights are 2 P of each rank, pinned, so up to 4 P, which loading takes in float32."""
    terms = host(predict(job()))
    assert terms["engine weights"] == 8 * 2 * P == terms["pinned rounding of engine weights"]
    assert terms["final model, one file"] == 5 * GB


def test_adam_in_host_memory_while_the_engine_sleeps() -> None:
    """On one rank nothing is sharded: 8 P of Adam, 2 P of weights, each up to twice for pinned rounding."""
    terms = host(predict(job(where=place("H200", 1), memory={"adam_offload": True})))
    assert terms["Adam"] == 8 * P
    assert terms["engine weights"] == 2 * P  # the vocabulary is a multiple of 64
    assert terms["pinned rounding of Adam"] == terms["Adam"]


def test_offloaded_deepspeed_states_are_those_openrlhf_reported() -> None:
    """12 B per parameter were 840 GB for 70B (OpenRLHF#198); gradients are there too, in ours in float32."""
    each = job("meta-llama/Llama-3.1-70B", parallel={"zero_stage": 2}, memory={"adam_offload": True})
    states = host(predict(each))
    assert states["masters, Adam, gradients"] == 16 * 70_553_706_496
    assert states["masters, Adam, gradients"] * 12 / 16 / GB > 840


def test_parameters_of_the_reference_model_wait_on_the_host() -> None:
    plain = job(where=place("H200", 1), memory={"adam_offload": True})
    away = job(where=place("H200", 1), memory={"adam_offload": True, "ref_reward_offload": True})
    assert host(predict(away))["reference model"] == 2 * P
    assert predict(away).host_bytes == predict(plain).host_bytes + 2 * P


def test_checkpoints_hold_weights_and_moments_in_float32() -> None:
    for sections in ({}, {"parallel": {"zero_stage": 2}}, {"memory": {"use_mp_opt": True}}):
        disk = {term.name: term.bytes for term in predict(job(**sections)).disk}
        assert disk["checkpoints"] == (3 + 1) * 12 * P
    assert disk["final model"] == 2 * P  # of bfloat16 parameters with masters
    assert {t.name: t.bytes for t in predict(job()).disk}["final model"] == 4 * P


def test_a_limit_of_size_keeps_fewer_checkpoints_but_always_one() -> None:
    def kept(**settings: float) -> float:
        disk = {term.name: term.bytes for term in predict(job(QWEN_7B, checkpoint=settings)).disk}
        return disk["checkpoints"] / (12 * P)

    assert kept(max_ckpt_num=5) == 6
    assert kept(max_ckpt_num=5, max_ckpt_mem=200) == 3
    assert kept(max_ckpt_num=5, max_ckpt_mem=1) == 2


def test_checkpoints_of_adapters_are_small() -> None:
    disk = {term.name: term.bytes for term in predict(job(model={"lora_rank": 32})).disk}
    assert disk["checkpoints"] == 4 * 12 * 80_740_352
    assert disk["final model"] == 2 * P
