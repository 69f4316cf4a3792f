"""Every check of a run's configuration, model, data and reward: one that is fine, and ones that are not."""

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from diagnostics.doctor.check import Result
from diagnostics.doctor.checks import config_batch, config_data, config_memory, config_model
from diagnostics.doctor.checks.network import CHECKS as HUB
from diagnostics.doctor.host import Ran
from diagnostics.doctor.recorded import Recorded, RecordedHost
from diagnostics.doctor.runner import run_check
from diagnostics.doctor.this_host import ThisHost
from engine.checkpoint import layout
from engine.config import rules
from engine.config.sections import RunConfig
from tests.diagnostics.doctor.judged import MACHINE, TORCH, answered, assert_found, hardware, judge

CHECKS = (*config_batch.CHECKS, *config_model.CHECKS, *config_memory.CHECKS, *config_data.CHECKS)
PROBE = "/venv/bin/python -m diagnostics.doctor.probes."
MODEL = {
    "model_type": "qwen2",
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 100,
    "max_position_embeddings": 4096,
}
QWEN_7B = {
    **MODEL,
    "hidden_size": 3584,
    "intermediate_size": 18944,
    "num_hidden_layers": 28,
    "num_attention_heads": 28,
    "num_key_value_heads": 4,
    "vocab_size": 152064,
    "max_position_embeddings": 32768,
}
Change = dict[str, dict[str, Any]]


def safetensors(path: Path, tensors: dict[str, tuple[int, ...]]) -> None:
    """A safetensors file of zeros in float32."""
    header, end = {}, 0
    for name, shape in tensors.items():
        size = 4
        for length in shape:
            size *= length
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [end, end + size]}
        end += size
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + bytes(end))


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(MODEL))
    vocabulary = {f"t{i}": i for i in range(98)}
    added = [{"id": 98, "content": "<end>"}, {"id": 99, "content": "<pad>"}]
    (folder / "tokenizer.json").write_text(
        json.dumps({"model": {"vocab": vocabulary}, "added_tokens": added})
    )
    settings = {"pad_token": "<pad>", "eos_token": {"content": "<end>"}, "chat_template": "{{ messages }}"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    safetensors(folder / "model.safetensors", {"model.embed_tokens.weight": (100, 64)})
    return folder


@pytest.fixture
def recorded(model: Path, tmp_path: Path) -> Callable[..., Recorded]:
    """A run on a machine with GPUs that is fine, with some settings changed."""
    data = tmp_path / "train.jsonl"
    data.write_text(
        "".join(json.dumps({"input": f"{i} + 1 =", "label": str(i + 1)}) + "\n" for i in range(64))
    )

    def make(change: Change | None = None, gpus: int = 2) -> Recorded:
        config: Change = {
            "model": {"pretrain": str(model)},
            "data": {"prompt_data": str(data)},
            "batch": {"train_batch_size": 64, "rollout_batch_size": 16, "n_samples_per_prompt": 4},
            "rollout": {"engine_type": "vllm"},
            "reward": {"reward_rule": "exact"},
        }
        for section, values in (change or {}).items():
            config[section] = {**config.get(section, {}), **values}
        return MACHINE.but(hardware=hardware(gpus), packages=(TORCH,), config=config)

    return make


FINE: dict[str, Change] = {
    **{id: {} for id in ("cfg.batch", "cfg.group", "cfg.tp", "cfg.sp", "cfg.len", "cfg.opt", "cfg.fsdp")},
    "cfg.zero": {"parallel": {"zero_stage": 3}},
    **{id: {} for id in ("cfg.settings", "cfg.lr", "cfg.model", "cfg.ckpt", "cfg.template", "cfg.vocab")},
    **{id: {} for id in ("cfg.mem.train", "cfg.mem.engine", "cfg.kv", "cfg.data", "cfg.reward")},
}
BAD: list[tuple[str, Change, str, tuple[str, ...]]] = [
    ("cfg.batch", {"batch": {"train_batch_size": 63}}, "error", ("63 is not a multiple", "64")),
    ("cfg.batch", {"batch": {"rollout_batch_size": 128, "train_batch_size": 512}}, "error", ("0 rollouts",)),
    ("cfg.group", {"batch": {"n_samples_per_prompt": 1}}, "error", ("n_samples_per_prompt = 1",)),
    ("cfg.tp", {"rollout": {"engine_tp_size": 3}}, "error", ("world size = 2 is not a multiple",)),
    ("cfg.sp", {"parallel": {"sp_size": 3}}, "error", ("sp_size = 3",)),
    ("cfg.len", {"rollout": {"max_len": 8192}}, "error", ("longer than the 4096 positions",)),
    ("cfg.len", {"batch": {"max_tokens_per_micro_batch": 100}}, "warning", ("less than max_len",)),
    ("cfg.opt", {"parallel": {"fsdp": True, "zero_stage": 2}}, "error", ("zero_stage = 2 is DeepSpeed's",)),
    ("cfg.fsdp", {"parallel": {"fsdp_shard_size": 3}}, "error", ("fsdp_shard_size = 3",)),
    (
        "cfg.zero",
        {"model": {"torch_compile": True}, "parallel": {"zero_stage": 3}},
        "error",
        ("hooks of ZeRO 3",),
    ),
    ("cfg.settings", {"reward": {"reward_rule": None}}, "error", ("there is no reward",)),
    ("cfg.settings", {"model": {"lora_alpha": 32}}, "warning", ("has no effect",)),
    ("cfg.lr", {"optim": {"actor_learning_rate": 1e-3}}, "warning", ("0.001 is high", "collapse", "1e-06")),
    ("cfg.lr", {"rollout": {"top_k": 1}}, "warning", ("top_k = 1 makes the 4 responses",)),
    ("cfg.model", {"model": {"pretrain": "/no/such/model"}}, "error", ("/no/such/model does not exist",)),
    ("cfg.data", {"data": {"label_key": "answer"}}, "error", ("no column 'answer'", "data.label_key")),
    ("cfg.data", {"data": {"prompt_data": "/no/such.jsonl"}}, "error", ("There is no file",)),
    ("cfg.reward", {"reward": {"reward_rule": "exakt"}}, "error", ("no reward rule 'exakt'", "use exact")),
    ("cfg.reward", {"reward": {"reward_fn": "/no/such.py:score"}}, "error", ("does not exist",)),
]
ELSEWHERE = {
    "cfg.ckpt",
    "cfg.ckpt.resume",
    "cfg.template",
    "cfg.vocab",
    "cfg.mem.train",
    "cfg.mem.engine",
    "cfg.kv",
    "cfg.data.lengths",
    "cfg.reward.call",
}
"""Checks whose bad hosts (and, of the last two and of resuming, good ones) have tests of their own below."""


def test_no_check_is_without_a_good_and_a_bad_host():
    ids = {check.id for check in CHECKS}
    assert ids == {id for id, *_ in BAD} | ELSEWHERE
    assert ids == FINE.keys() | {"cfg.ckpt.resume", "cfg.data.lengths", "cfg.reward.call"}


@pytest.mark.parametrize("id", FINE)
def test_a_run_that_is_fine_passes(id: str, recorded: Callable[..., Recorded]):
    result = judge(CHECKS, id, recorded(FINE[id]))
    assert result.status == "ok", result
    assert result.said


@pytest.mark.parametrize(("id", "change", "severity", "words"), BAD)
def test_a_run_that_is_not_is_told_what_to_do(
    id: str, change: Change, severity: str, words: tuple[str, ...], recorded: Callable[..., Recorded]
):
    assert_found(judge(CHECKS, id, recorded(change)), severity, *words)


def test_every_finding_of_the_rules_is_shown_by_just_one_check(recorded: Callable[..., Recorded]):
    change = {
        "batch": {"train_batch_size": 63, "n_samples_per_prompt": 1, "max_tokens_per_micro_batch": 10},
        "rollout": {"max_len": 8192, "engine_tp_size": 3},
        "parallel": {"fsdp": True, "zero_stage": 3, "sp_size": 3, "fsdp_shard_size": 3},
        "algorithm": {"kl_estimator": "k1"},
        "model": {"lora_alpha": 32},
    }
    run = recorded(change)
    config = RecordedHost(run).config
    assert config is not None
    expected = rules.check(config, world_size=2, dataset_size=64, model_config=MODEL)
    shown = [f for check in config_batch.CHECKS for f in judge(CHECKS, check.id, run).findings]
    assert sorted(f.id for f in shown) == sorted(f.id for f in expected)
    assert len(expected) >= 9


def test_zero_3_with_experts_and_quantised_weights(recorded: Callable[..., Recorded], model: Path):
    sparse = {**MODEL, "num_experts": 8, "quantization_config": {"quant_method": "awq"}}
    (model / "config.json").write_text(json.dumps(sparse))
    result = judge(CHECKS, "cfg.zero", recorded({"parallel": {"zero_stage": 3}}))
    assert_found(result, "error", "wait for each other forever", "quantised (awq)", "parallel.fsdp")
    assert judge(CHECKS, "cfg.zero", recorded()).status == "not-applicable"


def test_code_that_comes_with_a_model_is_asked_about(recorded: Callable[..., Recorded], model: Path):
    (model / "config.json").write_text(json.dumps({**MODEL, "auto_map": {"AutoModelForCausalLM": "m.M"}}))
    assert_found(judge(CHECKS, "cfg.model", recorded()), "warning", "model.trust_remote_code")
    (model / "config.json").write_text("{ half")
    assert_found(judge(CHECKS, "cfg.model", recorded()), "error", "is not JSON")


def test_weights_that_are_lfs_pointers(recorded: Callable[..., Recorded], model: Path):
    (model / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:1\n")
    assert_found(judge(CHECKS, "cfg.ckpt", recorded()), "error", "pointers of Git LFS", "git lfs pull")


def test_weights_that_are_cut_short(recorded: Callable[..., Recorded], model: Path):
    whole = (model / "model.safetensors").read_bytes()
    (model / "model.safetensors").write_bytes(whole[:-1000])
    told = (f"{len(whole) - 1000:,} bytes, its header says {len(whole):,}",)
    assert_found(judge(CHECKS, "cfg.ckpt", recorded()), "error", *told)


def test_weights_that_the_index_names_and_that_are_not_there(recorded: Callable[..., Recorded], model: Path):
    names = [f"model-0000{i}-of-00002.safetensors" for i in (1, 2)]
    (model / "model.safetensors").rename(model / names[0])
    weight_map = {"model.embed_tokens.weight": names[0], "lm_head.weight": names[1]}
    (model / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    assert_found(judge(CHECKS, "cfg.ckpt", recorded()), "error", "1 of 2 weight files", names[1])
    (model / names[0]).unlink()
    (model / "model.safetensors.index.json").unlink()
    assert_found(judge(CHECKS, "cfg.ckpt", recorded()), "error", "holds no weights")


def test_weights_that_the_cache_does_not_hold_yet_are_no_fault(
    recorded: Callable[..., Recorded], model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    cached = tmp_path / "hub" / "models--org--name"
    (cached / "refs").mkdir(parents=True)
    (cached / "refs" / "main").write_text("c0ffee")
    (cached / "snapshots").mkdir()
    snapshot = model.rename(cached / "snapshots" / "c0ffee")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    run = recorded({"model": {"pretrain": "org/name"}})
    assert judge(CHECKS, "cfg.ckpt", run).status == "ok"
    assert judge(HUB, "net.hub", run).status == "ok"
    (snapshot / "model.safetensors").unlink()
    assert judge(CHECKS, "cfg.ckpt", run).status == "unchecked"
    assert_found(judge(HUB, "net.hub", run.but(environ={"HF_HUB_OFFLINE": "1"})), "error", "org/name")
    assert judge(CHECKS, "cfg.vocab", run).status == "ok"


def test_a_tokenizer_with_more_tokens_than_the_embedding_has_rows(
    recorded: Callable[..., Recorded], model: Path
):
    safetensors(model / "model.safetensors", {"model.embed_tokens.weight": (97, 64)})
    assert_found(
        judge(CHECKS, "cfg.vocab", recorded()), "error", "100 tokens, the embedding 97 rows", "last 3"
    )
    (model / "tokenizer.json").unlink()
    assert judge(CHECKS, "cfg.vocab", recorded()).status == "unchecked"


def test_a_tokenizer_without_template_or_padding(recorded: Callable[..., Recorded], model: Path):
    (model / "tokenizer_config.json").write_text(json.dumps({"eos_token": "<end>", "pad_token": "<end>"}))
    chat = recorded({"data": {"apply_chat_template": True}})
    assert_found(judge(CHECKS, "cfg.template", chat), "error", "no chat template", "apply_chat_template")
    assert_found(judge(CHECKS, "cfg.template", recorded()), "info", "pads with its end token <end>")


def test_a_model_too_large_for_its_gpu(recorded: Callable[..., Recorded], model: Path):
    (model / "config.json").write_text(json.dumps(QWEN_7B))
    result = judge(CHECKS, "cfg.mem.train", recorded({"optim": {}}, gpus=1))
    assert_found(result, "error", "does not fit", "update", "rft plan --pretrain")
    assert any("memory.fsdp_cpu_offload" in fix.set for fix in result.findings[0].fixes)


def test_an_engine_whose_share_is_too_small_or_too_large(recorded: Callable[..., Recorded], model: Path):
    (model / "config.json").write_text(json.dumps(QWEN_7B))
    small = recorded({"rollout": {"engine_mem_util": 0.2, "max_len": 32768}}, gpus=8)
    result = judge(CHECKS, "cfg.mem.engine", small)
    assert_found(result, "error", "less than one sequence of max_len = 32,768", "raise engine_mem_util to 0.")
    assert judge(CHECKS, "cfg.kv", small).status == "not-applicable"
    large = recorded({"rollout": {"engine_mem_util": 0.95}}, gpus=8)
    result = judge(CHECKS, "cfg.mem.engine", large)
    assert_found(result, "error", "does not fit", "set engine_mem_util to 0.")
    lower = next(fix.set["rollout.engine_mem_util"] for fix in result.findings[0].fixes if fix.set)
    changed = recorded({"rollout": {"engine_mem_util": lower}}, gpus=8)
    assert judge(CHECKS, "cfg.mem.engine", changed).status == "ok"


def test_a_cache_for_fewer_sequences_than_are_sampled(recorded: Callable[..., Recorded], model: Path):
    (model / "config.json").write_text(json.dumps(QWEN_7B))
    change = {"batch": {"rollout_batch_size": 512, "train_batch_size": 2048}, "rollout": {"max_len": 32768}}
    result = judge(CHECKS, "cfg.kv", recorded(change, gpus=8))
    assert_found(result, "info", "of 256 responses at full length", "engine_mem_util")


def test_a_run_on_a_cpu_is_only_warned_of(recorded: Callable[..., Recorded], model: Path):
    (model / "config.json").write_text(json.dumps(QWEN_7B))
    run = recorded({"rollout": {"engine_type": "hf"}}, gpus=0)
    tight = run.but(hardware=hardware(0, memory=160))
    assert judge(CHECKS, "cfg.mem.train", tight).status == "warning"
    assert judge(CHECKS, "cfg.mem.train", run.but(hardware=hardware(0, memory=16))).status == "error"


def test_a_model_that_is_not_known_is_not_checked(recorded: Callable[..., Recorded]):
    run = recorded({"model": {"pretrain": "nobody/knows-this-model"}})
    for id in ("cfg.mem.train", "cfg.kv", "cfg.vocab", "cfg.ckpt", "cfg.template", "cfg.model"):
        assert judge(CHECKS, id, run).status == "unchecked", id


def test_what_is_resumed_is_complete(recorded: Callable[..., Recorded], tmp_path: Path):
    assert judge(CHECKS, "cfg.ckpt.resume", recorded()).status == "not-applicable"
    root = tmp_path / "checkpoints"
    step = root / "step-40"
    step.mkdir(parents=True)
    (step / "rank-00000.pt").write_bytes(b"state")
    run = recorded({"checkpoint": {"load_checkpoint": True, "ckpt_path": str(root)}})
    assert_found(judge(CHECKS, "cfg.ckpt.resume", run), "error", "step-40 was not written to its end")
    layout.write_manifest(step, 40, 4, "2.13.0")
    result = judge(CHECKS, "cfg.ckpt.resume", run)
    assert result.status == "ok" and "saved by 4 ranks, read by 2" in result.said
    (step / "rank-00000.pt").write_bytes(b"sta")
    assert judge(CHECKS, "cfg.ckpt.resume", run).status == "error"
    gone = recorded({"checkpoint": {"load_checkpoint": True, "ckpt_path": str(tmp_path / "no")}})
    assert_found(judge(CHECKS, "cfg.ckpt.resume", gone), "error", "does not exist", "load_checkpoint")


def lengths(recorded: Recorded, *found: int) -> Result:
    probe = answered(findings=[], rows=1000, lengths=sorted(found))
    return judge(CHECKS, "cfg.data.lengths", recorded.but(runs={f"{PROBE}prompts": probe}))


def test_prompts_longer_than_the_limit(recorded: Callable[..., Recorded]):
    assert lengths(recorded(), *[100] * 199, 9000).status == "ok"
    result = lengths(recorded(), *[100] * 150, *[3000] * 50)
    assert_found(result, "warning", "50 of 200 prompts", "set prompt_max_len to 3000 and max_len to 5048")
    assert lengths(recorded(), *[3000] * 200).status == "error"


def reward(recorded: Recorded, ran: Ran) -> Result:
    return judge(CHECKS, "cfg.reward.call", recorded.but(runs={f"{PROBE}reward 10": ran}))


def test_a_reward_that_gives_no_numbers(recorded: Callable[..., Recorded]):
    run = recorded({"reward": {"reward_fn": "score.py:score"}})
    assert reward(run, answered(findings=[], total=[1.0, 0.0], seconds=0.1)).status == "ok"
    assert_found(reward(run, Ran(None)), "error", "took more than 10 s", "rft reward test")
    stack = 'Timeout (0:00:10)!\nThread 0x1 (most recent call first):\n  File "mine.py", line 3 in score\n'
    assert_found(reward(run, Ran(1, "", stack)), "error", "more than 10 s", "line 3 in score")
    assert_found(reward(run, Ran(-9)), "error", "was ended by signal 9")
    raised = {"id": "reward.fn-raised", "severity": "error", "cause": "it raised KeyError: 'x'."}
    assert_found(reward(run, answered(findings=[raised])), "error", "KeyError", "rft doctor --deep")


def here(id: str, config: RunConfig, tmp_path: Path) -> Result:
    """The check on this machine, with its real child process."""
    return run_check(next(check for check in CHECKS if check.id == id), ThisHost(tmp_path, config))


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ("return [float(a == str(b)) for a, b in zip(responses, labels)]", "ok", "1 for the label itself"),
        ("return [1.0]", "error", "returned 1 values; expected 2"),
        ("raise KeyError('gone')", "error", "raised KeyError: 'gone'"),
        ("import os; os._exit(3)", "error", "ended with exit code 3"),
    ],
)
def test_a_reward_function_is_called_in_a_child_process(body: str, status: str, said: str, tmp_path: Path):
    (tmp_path / "mine.py").write_text(f"def score(responses, labels):\n    {body}\n")
    config = RunConfig.model_validate(
        {"data": {"prompt_data": "toy:sort"}, "reward": {"reward_fn": f"{tmp_path}/mine.py:score"}}
    )
    result = here("cfg.reward.call", config, tmp_path)
    assert result.status == status, result
    assert said in result.said + "".join(finding.cause for finding in result.findings)


def test_a_reward_that_waits_is_ended_and_says_where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(config_data, "REWARD_S", 0.5)
    (tmp_path / "mine.py").write_text("import time\ndef score(responses, labels):\n    time.sleep(60)\n")
    config = RunConfig.model_validate(
        {"data": {"prompt_data": "toy:sort"}, "reward": {"reward_fn": f"{tmp_path}/mine.py:score"}}
    )
    result = here("cfg.reward.call", config, tmp_path)
    assert_found(result, "error", "took more than 0.5 s", f'File "{tmp_path}/mine.py", line 3 in score')
    assert result.seconds < 10


def test_prompts_are_tokenized_in_a_child_process(tmp_path: Path):
    values = {
        "model": {"pretrain": "toy:sort"},
        "data": {"prompt_data": "toy:sort"},
        "rollout": {"max_len": 20, "prompt_max_len": 8},
    }
    result = here("cfg.data.lengths", RunConfig.model_validate(values), tmp_path)
    assert_found(result, "error", "200 of 200 prompts are longer than prompt_max_len = 8")
    values["rollout"] = {"max_len": 40, "prompt_max_len": 16}
    assert here("cfg.data.lengths", RunConfig.model_validate(values), tmp_path).status == "ok"
