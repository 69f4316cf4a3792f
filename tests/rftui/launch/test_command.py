"""The torchrun command and its environment."""

from pathlib import Path

from rftui.launch.command import rank_command


def test_command_names_run_and_module() -> None:
    command = rank_command(Path("/runs/a b"), nproc=2, master_port=4242, cores=8, resume=False, environ={})
    assert command.argv[1:3] == ["-m", "torch.distributed.run"]
    text = command.shell()
    assert "--nproc-per-node 2" in text and "--master-port 4242" in text
    assert text.endswith("-m engine.train --config '/runs/a b/config.yaml' --run_dir '/runs/a b'")
    assert command.env["RFTUI_RUN_DIR"] == "/runs/a b" and command.env["PYTHONSAFEPATH"] == "1"


def test_threads_are_shared_out_unless_the_user_chose() -> None:
    def threads(cores: int, nproc: int, **environ: str) -> str:
        made = rank_command(
            Path("/r"), nproc=nproc, master_port=1, cores=cores, resume=False, environ=environ
        )
        return made.env["OMP_NUM_THREADS"]

    assert threads(8, 3) == "2"
    assert threads(2, 8) == "1"
    assert threads(8, 3, OMP_NUM_THREADS="5") == "5"


def test_resume_loads_the_checkpoint() -> None:
    command = rank_command(Path("/r"), nproc=1, master_port=1, cores=1, resume=True, environ={})
    assert command.argv[-2:] == ["--load_checkpoint", "true"]
