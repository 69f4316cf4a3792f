"""The table of parameters in the documentation is made from the sections, and current."""

import re
from pathlib import Path

from engine.config.features import not_built
from engine.config.reference import markdown
from engine.config.registry import parameters

TABLE = Path(__file__).resolve().parents[3] / "docs" / "parameters.md"


def test_the_table_of_parameters_is_current():
    assert TABLE.read_text(encoding="utf-8") == markdown()


def test_the_table_marks_exactly_what_is_refused():
    rows = [line for line in markdown().splitlines() if line.startswith("| `")]
    assert len(rows) == len(parameters())
    names = {re.findall(r"`(\w+)`", row)[0] for row in rows if "✗" in row}
    assert names == {feature.param.partition(".")[2] for feature in not_built()}
