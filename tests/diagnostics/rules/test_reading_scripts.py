"""Files are told apart and read; what cannot be read is told in one finding."""

from pathlib import Path

import pytest

from diagnostics.rules.read import LARGEST, open_source, read
from engine.findings import FindingsError
from tests.diagnostics.rules.checked_scripts import SCRIPTS


@pytest.mark.parametrize(
    ("name", "framework", "program", "ranks", "nodes"),
    [
        ("lightrft_gsm8k.sh", "lightrft", "examples/gsm8k_geo3k/train_colocate.py", 8, 1),
        ("lightrft_geo3k_gspo.sh", "lightrft", "examples/gsm8k_geo3k/train_colocate.py", 2, 1),
        ("lightrft_guide.sh", "lightrft", "train.py", None, None),
        ("lightrft_audio.sh", "lightrft", "examples/r1_aqa/train_colocate.py", None, 1),
        ("openrlhf_hybrid.sh", "openrlhf", "openrlhf.cli.train_ppo_ray", 8, 1),
        ("openrlhf_training_commands.sh", "openrlhf", "openrlhf.cli.train_ppo", 8, 1),
        ("openrlhf_slurm.sh", "openrlhf", "openrlhf.cli.train_ppo_ray", 4, 1),
        ("openrlhf_dotted.sh", "openrlhf", "openrlhf.cli.train_ppo_ray", 8, 1),
        ("verl_grpo.sh", "verl", "verl.trainer.main_ppo", 8, 1),
        ("trl_accelerate.sh", "trl", "grpo.py", 4, 1),
    ],
)
def test_scripts(name: str, framework: str, program: str, ranks: int | None, nodes: int | None) -> None:
    (job,) = read(open_source(SCRIPTS / name))
    assert (job.framework, job.program, job.ranks, job.nodes) == (framework, program, ranks, nodes)


def test_every_job_of_a_script_is_read() -> None:
    jobs = read(open_source(SCRIPTS / "several.sh"))
    assert [job.framework for job in jobs] == ["lightrft", "verl"]
    jobs = read(open_source(SCRIPTS / "lightrft_cluster.sh"))
    assert [job.get("advantage_estimator") for job in jobs] == ["group_norm", "rloo"]
    assert [(job.ranks, job.nodes, job.get("train_batch_size")) for job in jobs] == [(16, 2, 128)] * 2
    assert jobs[0].problems[0].id == "check.shell.sourced"


@pytest.mark.parametrize(
    "program",
    [
        "python -m openrlhf.cli.train_sft",
        "python -m openrlhf.cli.serve_rm --port 1",
        "trl sft",
        "trl vllm-serve",
        "python -m verl.trainer.fsdp_sft_trainer",
        "torchrun examples/srm_training/train_srm_vl.py --fsdp",
        "torchrun examples/grm_training/train_grm_vl.py --engine_tp_size 2",
        "trinity view",
    ],
)
def test_programs_that_do_no_rl_are_passed_over(tmp_path: Path, program: str) -> None:
    path = tmp_path / "run.sh"
    rest = "--bf16 --num_episodes 1 --train_batch_size 8 --micro_train_batch_size 1 --pretrain m"
    path.write_text(f"{program} {rest}\npython -m openrlhf.cli.train_ppo_ray --pretrain m\n")
    (job,) = read(open_source(path))
    assert job.program == "openrlhf.cli.train_ppo_ray"


def test_every_setting_has_the_line_of_its_option() -> None:
    for script in SCRIPTS.glob("*.sh"):
        if script.name == "no_trainer.sh":
            continue
        lines = script.read_text().splitlines()
        for job in read(open_source(script)):
            for name, setting in job.settings.items():
                if setting.line:
                    words = lines[setting.line - 1].replace("disable_engine_sleep", "enable_engine_sleep")
                    option = name.removeprefix("accelerate.").replace("-", "_")
                    assert option in words.replace("-", "_"), (script.name, name, setting)


def test_yaml_of_each_trainer_is_known(tmp_path: Path) -> None:
    texts = {
        "rftui": "model:\n  pretrain: x\nbatch:\n  train_batch_size: 8\n",
        "verl": "data:\n  train_batch_size: 8\nactor_rollout_ref:\n  rollout:\n    n: 4\n",
        "trl": "model_name_or_path: x\nnum_generations: 8\nper_device_train_batch_size: 4\n",
        "trinity": "mode: both\nbuffer:\n  batch_size: 4\nexplorer:\n  eval_interval: 5\n",
    }
    for framework, text in texts.items():
        path = tmp_path / f"{framework}.yaml"
        path.write_text(text)
        assert open_source(path).framework == framework


@pytest.mark.parametrize(
    ("content", "id", "words"),
    [
        (b"", "check.file-unreadable", "it is empty"),
        (b"  \n", "check.file-unreadable", "it is empty"),
        (b"\x7fELF\x00\x01", "check.file-unreadable", "it is binary"),
        (b"caf\xe9 --a", "check.file-unreadable", "not text in UTF-8 (byte 3)"),
        (b"a" * (LARGEST + 1), "check.file-unreadable", "it has 4 MB"),
        (b"echo hello\n", "check.unknown-framework", "it runs no program"),
        (b"python serve.py --port 1\n", "check.unknown-framework", "it runs serve.py"),
        (b". ./other.sh\n", "check.unknown-framework", "./other.sh is not followed"),
        (b"rft launch x.yaml\n", "check.starts-rftui", "line 1 starts rftui itself"),
    ],
)
def test_bad_files(tmp_path: Path, content: bytes, id: str, words: str) -> None:
    path = tmp_path / "run.sh"
    path.write_bytes(content)
    with pytest.raises(FindingsError) as raised:
        read(open_source(path))
    (finding,) = raised.value.findings
    assert finding.id == id and words in finding.cause and finding.fixes


@pytest.mark.parametrize("text", ["a: [1, 2\nb: 3\n", "a: 1\nbad\n", "a:\tb: c\n"])
def test_bad_yaml_names_the_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(text)
    with pytest.raises(FindingsError) as raised:
        read(open_source(path))
    (finding,) = raised.value.findings
    assert finding.id == "check.yaml-syntax" and " line " in finding.cause


def test_yaml_that_unfolds_without_end(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    lines = ["a0: &a0 {x: 1, y: 2}", *(f"a{i}: &a{i} {{x: *a{i - 1}, y: *a{i - 1}}}" for i in range(1, 28))]
    path.write_text("\n".join(lines))
    with pytest.raises(FindingsError, match="more than 20000 settings"):
        read(open_source(path))


def test_folders_and_missing_files(tmp_path: Path) -> None:
    for path, words in ((tmp_path, "it is a folder"), (tmp_path / "none.sh", "No such file")):
        with pytest.raises(FindingsError, match=words):
            open_source(path)


def test_the_framework_can_be_named(tmp_path: Path) -> None:
    path = tmp_path / "run.sh"
    path.write_text("torchrun --nproc_per_node 2 mine.py --bf16 --num_episodes 3\n")
    with pytest.raises(FindingsError, match="starts no trainer"):
        read(open_source(path))
    (job,) = read(open_source(path, "lightrft"))
    assert job.get("num_episodes") == 3 and job.ranks == 2
