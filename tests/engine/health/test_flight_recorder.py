"""The flight recorder's environment, set without torch by the front end; dumps: see `test_rank_failure`."""

from importlib.metadata import version
from pathlib import Path

from engine.health import flight_recorder
from rftui.launch.command import rank_command

NEW_NAMES = tuple(int(part) for part in version("torch").split(".")[:2]) >= (2, 8)
SIZE = "TORCH_FR_BUFFER_SIZE" if NEW_NAMES else "TORCH_NCCL_TRACE_BUFFER_SIZE"
PREFIX = "TORCH_FR_DUMP_TEMP_FILE" if NEW_NAMES else "TORCH_NCCL_DEBUG_INFO_TEMP_FILE"


def launched(**environ: str) -> dict[str, str]:
    return rank_command(Path("/runs/a"), nproc=2, master_port=1, cores=2, resume=False, environ=environ).env


def test_on_by_default_with_dumps_in_the_run_directory() -> None:
    env = launched()
    assert env[SIZE] == "2000" and env["TORCH_NCCL_DUMP_ON_TIMEOUT"] == "1"
    assert env[PREFIX] == "/runs/a/flight_recorder/rank_"


def test_what_the_user_set_stays_under_either_name() -> None:
    env = launched(
        TORCH_NCCL_TRACE_BUFFER_SIZE="7", TORCH_NCCL_DUMP_ON_TIMEOUT="0", TORCH_FR_DUMP_TEMP_FILE="/x"
    )
    assert not {"TORCH_FR_BUFFER_SIZE", "TORCH_NCCL_TRACE_BUFFER_SIZE", PREFIX} & set(env)
    assert "TORCH_NCCL_DUMP_ON_TIMEOUT" not in env


def test_nothing_is_dumped_where_nothing_was_recorded(tmp_path: Path) -> None:
    assert flight_recorder.dump(tmp_path, 0) is None
    assert not (tmp_path / "flight_recorder").exists()
