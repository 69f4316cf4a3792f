"""docs/dashboard.md says what is so: its keys are those of the tables, its settings those of the file."""

import tomllib
from pathlib import Path

import msgspec

from rftui.tui.areas import AREAS
from rftui.tui.notify import WATCH_S
from rftui.tui.reference import renewed
from rftui.tui.settings import Settings

DOCUMENT = Path(__file__).resolve().parents[3] / "docs" / "dashboard.md"
TEXT = DOCUMENT.read_text(encoding="utf-8")


def test_the_keys_are_those_of_the_tables() -> None:
    assert renewed(TEXT) == TEXT, "run `python -m rftui.tui.reference docs/dashboard.md`"


def test_every_setting_stands_there_with_its_default() -> None:
    rows = [
        line.split("|")[1:3] for line in TEXT.partition("## Settings")[2].splitlines() if line[:3] == "| `"
    ]
    told = {
        name.strip(" `"): default.strip(" `") for name, default in rows[: len(Settings.__struct_fields__)]
    }
    document = "\n".join(f"{name} = {default}" for name, default in told.items())
    assert tuple(told) == Settings.__struct_fields__
    assert msgspec.convert(tomllib.loads(document), Settings) == Settings()


def test_every_area_stands_there_with_its_key() -> None:
    for area in AREAS:
        assert f"| `{area.key}` | {area.name} |" in TEXT
    assert f"every {WATCH_S:g} seconds" in TEXT
