"""Host memory and disk: loading, offloads, sleeping engines, checkpoints."""

import subprocess
import sys
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, Qwen2Config

from engine.footprint.predict import predict
from engine.footprint.terms import Footprint
from tests.engine.footprint.jobs import GB, QWEN_7B, job, place

P = 7_615_616_512
AWAKE = {"rollout": {"enable_engine_sleep": False}}


def host(footprint: Footprint) -> dict[str, int]:
    return {term.name: term.bytes for term in footprint.host}


def test_one_rank_loads_a_whole_copy_in_float32() -> None:
    terms = host(predict(job(**AWAKE)))
    assert terms["loaded policy"] == 4 * P  # 30 GB, not 244, on a machine with eight GPUs
    assert terms["processes"] == 8 * 3 * GB


def test_two_machines_need_what_one_needs() -> None:
    assert host(predict(job(where=place(ranks=16)))) == host(predict(job()))


def test_deepspeed_keeps_the_float32_values_beside_its_parameters() -> None:
    terms = host(predict(job(parallel={"zero_stage": 2}, **AWAKE)))
    assert terms["loaded policy"] == 8 * 4 * P and terms["policy in bfloat16"] == 8 * 2 * P
    assert sum(terms.values()) - terms["processes"] == 8 * 6 * P


def test_in_float32_deepspeed_keeps_the_policy_while_the_reference_loads() -> None:
    terms = host(predict(job(model={"bf16": False}, parallel={"zero_stage": 2}, **AWAKE)))
    assert terms["loaded policy"] == 8 * 4 * P
    assert terms["loaded reference model"] == 4 * P  # of which FSDP2 gives each rank its shard


def test_the_hf_engine_is_loaded_by_every_rank() -> None:
    rollout = {"engine_type": "hf", **AWAKE["rollout"]}
    assert host(predict(job(model={"bf16": False}, rollout=rollout)))["loaded engine"] == 8 * 4 * P


def test_weights_as_they_are_in_the_file_take_no_memory_of_a_rank() -> None:
    """Of LoRA the base is loaded in bfloat16: its pages are the file's."""
    assert "loaded policy" not in host(predict(job(model={"lora_rank": 16}, **AWAKE)))


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


def test_loading_takes_what_is_measured(tmp_path: Path) -> None:
    """Memory of a process that loads a model of 9 M parameters, saved in bfloat16, in either dtype."""
    config = Qwen2Config(
        vocab_size=20_000,
        hidden_size=192,
        intermediate_size=768,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=4,
        tie_word_embeddings=False,
    )
    model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    model.save_pretrained(tmp_path)
    params = sum(p.numel() for p in model.parameters())
    grown = {name: int(measured(tmp_path, name)) / params for name in ("bfloat16", "float32")}
    assert grown["bfloat16"] < 1.5  # of it the library's own work
    assert 3.0 < grown["float32"] - grown["bfloat16"] < 5.0


def measured(folder: Path, dtype: str) -> str:
    """Bytes of its own that a new process has more after loading."""
    program = (
        "import sys, torch\n"
        "from transformers import AutoModelForCausalLM, Qwen2ForCausalLM\n"
        "def own():\n"
        "    lines = open('/proc/self/status').read().splitlines()\n"
        "    return next(int(line.split()[1]) for line in lines if line.startswith('RssAnon')) * 1024\n"
        "AutoModelForCausalLM.from_pretrained(sys.argv[1], dtype=torch.bfloat16)\n"
        "before = own()\n"
        "model = AutoModelForCausalLM.from_pretrained(sys.argv[1], dtype=getattr(torch, sys.argv[2]))\n"
        "print(own() - before)\n"
    )
    command = [sys.executable, "-c", program, str(folder), dtype]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1]
