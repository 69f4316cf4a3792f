"""The toy tasks: right labels, the same rows everywhere, nothing held out among the training examples."""

import subprocess
import sys
from itertools import islice

import pytest

from engine.findings import FindingsError
from engine.toy.tasks import instances, is_held_out, rows


def test_labels_are_right_and_rows_distinct() -> None:
    for split, count in (("train", 16_384), ("test", 500)):
        made = rows("toy:sort", split)
        assert len(made) == len({row["input"] for row in made}) == count
        for row in made:
            instance = row["input"].removeprefix("sort ").removesuffix("=")
            assert len(instance) == 6
            assert row["label"] == "".join(sorted(instance))


def test_nothing_held_out_is_trained_on() -> None:
    held_out = {row["input"] for row in rows("sort", "test")}
    assert held_out.isdisjoint(row["input"] for row in rows("sort", "train"))
    assert not any(map(is_held_out, islice(instances("train", "sort/warm-up/1"), 20_000)))


def test_rows_are_the_same_in_another_process() -> None:
    code = "from engine.toy.tasks import rows; print(rows('sort', 'test')[:3], rows('sort', 'train')[-1])"
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert other.stdout.strip() == f"{rows('sort', 'test')[:3]} {rows('sort', 'train')[-1]}"


def test_unknown_task_names_the_known_ones() -> None:
    with pytest.raises(FindingsError, match="toy:sort") as caught:
        rows("toy:sorting", "train")
    assert caught.value.exit_code == 2


def test_tasks_import_without_torch() -> None:
    code = "import sys, engine.toy.tasks; assert not {'torch', 'transformers', 'numpy'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
