"""Settings are changed where they stand in a file, and nothing else of it is."""

from pathlib import Path

import pytest

from engine.findings import FindingsError
from presets.edit import set_values
from presets.loader import load

FILE = """\
title: mine  # a title
# the batch
batch:
  train_batch_size: 128   # too large
  micro_train_batch_size: 1

parallel: {nproc: 8, zero_stage: 3}
eval:
    eval_temperatures: [0.0, 1.0]
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "mine.yaml"
    path.write_text(FILE)
    path.chmod(0o640)
    return path


def test_a_value_is_replaced_and_comments_stay(file: Path) -> None:
    set_values(file, {"batch.train_batch_size": 64, "parallel.nproc": None, "eval.eval_temperatures": (0.5,)})
    expected = FILE.replace("128 ", "64 ").replace("nproc: 8", "nproc: null").replace("[0.0, 1.0]", "[0.5]")
    assert file.read_text() == expected
    assert file.stat().st_mode & 0o777 == 0o640
    assert [path.name for path in file.parent.iterdir()] == ["mine.yaml"]


def test_a_new_value_goes_to_its_section_in_the_sections_style(file: Path) -> None:
    set_values(file, {"batch.rollout_batch_size": 32, "parallel.sp_size": 2, "eval.max_eval_samples": 9})
    text = file.read_text()
    assert "batch:\n  rollout_batch_size: 32\n  train_batch_size: 128   # too large\n" in text
    assert "parallel: {sp_size: 2, nproc: 8, zero_stage: 3}\n" in text
    assert "eval:\n    max_eval_samples: 9\n    eval_temperatures" in text


def test_a_section_that_is_not_there_is_added(file: Path) -> None:
    set_values(file, {"model.bf16": False})
    assert file.read_text() == FILE + "model:\n  bf16: false\n"
    assert load(str(file)).layer.values["model.bf16"] is False


def test_a_setting_outside_of_sections_is_found_by_any_of_its_names(tmp_path: Path) -> None:
    file = tmp_path / "flat.yaml"
    file.write_text("nproc_per_node: 8\ntrain-batch-size: 128")
    set_values(file, {"parallel.nproc": 4, "batch.train_batch_size": 16})
    assert file.read_text() == "nproc_per_node: 4\ntrain-batch-size: 16"


def test_a_key_without_a_value_gets_one(tmp_path: Path) -> None:
    file = tmp_path / "open.yaml"
    file.write_text("parallel:\n  nproc:\n  sp_size: 1\n")
    set_values(file, {"parallel.nproc": 4})
    assert file.read_text() == "parallel:\n  nproc: 4\n  sp_size: 1\n"


def test_an_empty_file_gets_its_first_section(tmp_path: Path) -> None:
    file = tmp_path / "empty.yaml"
    file.write_text("")
    set_values(file, {"batch.train_batch_size": 16})
    assert file.read_text() == "batch:\n  train_batch_size: 16\n"


@pytest.mark.parametrize(
    "text", ["batch: &b\n  train_batch_size: 8\nrollout:\n  <<: *b\n", "batch:\n  no-bf16: true\n", "a: [\n"]
)
def test_what_cannot_be_written_safely_is_left_as_it_is(tmp_path: Path, text: str) -> None:
    file = tmp_path / "odd.yaml"
    file.write_text(text)
    with pytest.raises(FindingsError) as caught:
        set_values(file, {"batch.train_batch_size": 16})
    assert caught.value.findings[0].id == "config.not-edited"
    assert "batch.train_batch_size: 16" in caught.value.findings[0].fixes[0].text
    assert file.read_text() == text
