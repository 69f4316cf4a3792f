"""What belongs to no screen: palette, help, themes and settings, flags."""

import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from conftest import screen_text, shows, until
from fake_run import finished_run
from textual.color import Color
from textual.command import CommandPalette
from textual.pilot import Pilot
from textual.widget import Widget
from textual.widgets import OptionList

from engine.findings import FindingsError
from rftui.tui.app import RftuiApp
from rftui.tui.areas import AREAS, REPLAY
from rftui.tui.context import Context
from rftui.tui.keys import APP_KEYS
from rftui.tui.screens.compare import CompareScreen
from rftui.tui.screens.confirm import ConfirmScreen
from rftui.tui.screens.doctor import DoctorScreen
from rftui.tui.screens.plan import PlanScreen
from rftui.tui.settings import Settings, keep_setting, read_settings, settings_path, settings_with
from rftui.tui.start import prepare
from rftui.tui.themes import CONTRAST, THEMES

pytestmark = pytest.mark.usefixtures("still_home")

RFTUI = "from rftui.tui.main import main; main()"


async def choose(pilot: Pilot[None], words: str, *, opened_by: str = "ctrl+p") -> None:
    """Open the palette, type, and run the first command that is found."""
    await pilot.press(opened_by)
    await until(pilot, lambda: isinstance(pilot.app.screen, CommandPalette))
    await pilot.press(*words)
    options = pilot.app.screen.query_one(OptionList)
    await until(pilot, lambda: options.option_count > 0 and options.highlighted is not None)
    await pilot.pause(0.3)
    await pilot.press("enter")


async def test_the_palette_goes_to_areas_runs_presets_and_themes(tmp_path: Path) -> None:
    finished_run(tmp_path, "qwen-one", steps=4)
    app = RftuiApp(tmp_path)
    async with app.run_test(size=(120, 40)) as pilot:
        await shows(pilot, "1 run in")
        await choose(pilot, "go to runs", opened_by="colon")
        await until(pilot, lambda: app.area_now == "runs")
        await choose(pilot, "open run qwen")
        await shows(pilot, "step 4/4")
        await choose(pilot, "theme rft-light")
        await until(pilot, lambda: app.theme == "rft-light")
        await choose(pilot, "preset quickstart")
        await until(pilot, lambda: app.area_now == "plan" and app.context.preset == "quickstart")


async def test_the_palette_offers_what_the_screen_can_do_now(tmp_path: Path) -> None:
    run = finished_run(tmp_path, "run", steps=4)
    app = RftuiApp(tmp_path, run)
    async with app.run_test(size=(120, 60)) as pilot:
        await shows(pilot, "step 4/4")
        await pilot.press("colon", *"stop the run")
        await pilot.pause(0.5)
        assert "stop the run: after this step" not in screen_text(app)
        await pilot.press("escape")
        await choose(pilot, "stop painting")
        await shows(pilot, "paused +0")


@pytest.mark.parametrize("area", [*AREAS, REPLAY], ids=lambda area: f"{area.name}-{area.screen}")
def test_help_tells_every_key_of_a_screen(area: Any, tmp_path: Path) -> None:
    screen = area.make(Context(tmp_path, run=finished_run(tmp_path, "run", steps=1)))
    told = {key.key for key in (*screen.KEYS, *APP_KEYS)}
    own = [cls for cls in type(screen).__mro__ if cls.__module__.startswith("rftui.")]
    bound = {binding.key for cls in own for binding in cls.__dict__.get("BINDINGS", [])}
    assert bound and bound <= told
    assert all(key.help and key.label for key in screen.KEYS)


def test_help_tells_every_key_of_our_panes() -> None:
    told = {key.key for area in AREAS for key in _keys_of(area)} | {key.key for key in APP_KEYS}
    panes = [cls for cls in _all(Widget) if cls.__module__.startswith("rftui.tui.widgets")]
    assert panes
    for pane in panes:
        bound = {binding.key for binding in pane.__dict__.get("BINDINGS", [])}
        assert bound <= told, pane


def _keys_of(area: Any) -> tuple[Any, ...]:
    import importlib

    return getattr(importlib.import_module(area.module), area.screen).KEYS


def _all(cls: type) -> set[type]:
    return {cls, *(deep for sub in cls.__subclasses__() for deep in _all(sub))}


@pytest.mark.parametrize("area", AREAS, ids=lambda area: area.name)
async def test_help_opens_on_every_area_and_closes(area: Any, tmp_path: Path) -> None:
    run = finished_run(tmp_path, "run", steps=1)
    app = RftuiApp(tmp_path, run)
    app.context = Context(tmp_path, run=run, preset="quickstart")
    async with app.run_test(size=(120, 60)) as pilot:
        await app.open_area(area.name)
        await pilot.pause(0.2)
        await pilot.press("question_mark")
        await shows(pilot, "leave the program; a run keeps running")
        await pilot.press("escape")
        assert app.area_now == area.name and len(app.screen_stack) == 1


async def test_lines_of_help_that_are_long_go_on_below_their_words(tmp_path: Path) -> None:
    app = RftuiApp(tmp_path)
    async with app.run_test(size=(80, 60)) as pilot:
        await pilot.press("6", "question_mark")
        text = await shows(pilot, "leave the program; a run keeps running")
    lines = [line.strip(" │┃") for line in text.split("\n")]
    at = next(place for place, line in enumerate(text.split("\n")) if "only runs such as" in line)
    below = text.split("\n")[at + 1]
    assert below.index(lines[at + 1]) == text.split("\n")[at].index("only runs such as")


async def test_help_and_palette_of_a_dialog_are_about_the_dialog(tmp_path: Path) -> None:
    app = RftuiApp(tmp_path)
    async with app.run_test(size=(120, 60)) as pilot:
        await shows(pilot, "home")
        dialog = ConfirmScreen("Delete it?", ["for ever"], "Delete it")
        await app.push_screen(dialog)
        await pilot.press("question_mark")
        text = await shows(pilot, "esc closes", "cancel", "find a command by name")
        assert "leave the program" not in text
        await pilot.press("question_mark", "colon")
        text = await shows(pilot, "theme rft-light", "show these keys")
        assert "go to runs" not in text and "open preset" not in text
        await pilot.press("escape", "question_mark", "escape")
        await until(pilot, lambda: app.screen is dialog)
        await pilot.press("escape")
        await until(pilot, lambda: len(app.screen_stack) == 1)


async def test_what_was_given_to_a_plan_is_not_lost_without_asking(tmp_path: Path) -> None:
    app = RftuiApp(tmp_path)
    async with app.run_test(size=(120, 40)) as pilot:
        await app.open_plan("quickstart")
        plan = app.screen
        assert isinstance(plan, PlanScreen)
        await until(pilot, lambda: plan.edits is not None)
        await app.open_plan("quickstart")  # nothing was given: opened anew
        assert app.screen is not plan and isinstance(app.screen, PlanScreen)
        plan = app.screen
        await until(pilot, lambda: plan.edits is not None)
        assert plan.edits is not None
        plan.change(plan.edits.with_value("train.steps", 7))
        await app.open_area("home")
        for answer in ("escape", "enter"):
            await app.open_plan("sort-small" if answer == "escape" else "quickstart")
            await shows(pilot, "1 value that you gave to the open plan would be lost")
            await pilot.press(answer)
            await until(pilot, lambda: app.screen is plan)
        await app.open_plan("quickstart")
        await shows(pilot, "would be lost")
        await pilot.press("down", "enter")
        await until(pilot, lambda: isinstance(app.screen, PlanScreen) and app.screen is not plan)


async def test_t_changes_the_theme_and_keeps_it(tmp_path: Path) -> None:
    path = settings_path()
    path.parent.mkdir(parents=True)
    path.write_text("# mine\nbell = false  # the cat sleeps\n")
    app = RftuiApp(tmp_path, settings=read_settings())
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("t", "t")
        assert app.theme == "rft-contrast"
        await until(pilot, lambda: "rft-contrast" in path.read_text())
    assert "# mine\nbell = false  # the cat sleeps\n" in path.read_text()
    assert read_settings() == Settings(theme="rft-contrast", bell=False)


async def test_a_theme_that_cannot_be_kept_is_used_and_told(tmp_path: Path) -> None:
    settings_path().parent.mkdir(parents=True)
    settings_path().write_text("theme = [")
    app = RftuiApp(tmp_path)
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        await pilot.press("t")
        await shows(pilot, "not kept")
        assert app.theme == "rft-light"
    assert settings_path().read_text() == "theme = ["


def test_a_setting_is_written_where_there_is_no_file(tmp_path: Path) -> None:
    keep_setting("theme", "rft-cb", tmp_path / "deep" / "settings.toml")
    assert read_settings(tmp_path / "deep" / "settings.toml").theme == "rft-cb"
    (tmp_path / "file").write_text("")
    with pytest.raises(FindingsError):
        keep_setting("theme", "rft-cb", tmp_path / "file" / "settings.toml")


def test_all_themes_can_be_set_and_high_contrast_has_it() -> None:
    for theme in THEMES:
        assert Settings(theme=theme.name).theme == theme.name  # type: ignore[arg-type]
    back = _luminance(CONTRAST.background or "")
    colours = [CONTRAST.foreground, CONTRAST.primary, CONTRAST.accent, CONTRAST.success, CONTRAST.warning]
    colours += [CONTRAST.error, CONTRAST.variables["quiet"]]
    colours += [CONTRAST.variables[f"hue-{number}"] for number in range(1, 7)]
    for colour in colours:
        assert (_luminance(colour or "") + 0.05) / (back + 0.05) >= 7, colour


def _luminance(colour: str) -> float:
    """Relative luminance, as WCAG 2.1 defines it."""
    parts = [part / 255 for part in Color.parse(colour).rgb]
    linear = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_over_ssh_there_are_fewer_frames_and_nowhere_animations() -> None:
    here: dict[str, str] = {}
    prepare(here)
    assert here == {"TEXTUAL_ANIMATIONS": "none"}
    there = {"SSH_TTY": "/dev/pts/1"}
    prepare(there)
    assert there["TEXTUAL_FPS"] == "20"
    own = {"SSH_TTY": "/dev/pts/1", "TEXTUAL_FPS": "60", "TEXTUAL_ANIMATIONS": "full"}
    prepare(own)
    assert own["TEXTUAL_FPS"] == "60" and own["TEXTUAL_ANIMATIONS"] == "full"


def test_the_environment_is_set_before_textual_is_imported() -> None:
    code = "import sys, rftui.tui.main, rftui.tui.start; sys.exit('textual' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0


def rftui(*arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-c", RFTUI, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL)


def test_wrong_flags_are_told() -> None:
    assert "go with --web" in rftui("--port", "80").stderr
    assert "go with --web" in rftui("--no-token").stderr


def test_flags_win_over_the_settings() -> None:
    settings_path().parent.mkdir(parents=True)
    settings_path().write_text("slow = true\n")
    assert settings_with(readonly=True, slow=False) == Settings(slow=True, readonly=True)


@pytest.mark.parametrize("port", ["-1", "65536", "70000"])
def test_a_port_that_cannot_be_is_refused_and_not_wrapped_around(port: str) -> None:
    assert "--port: 0 to 65535" in rftui("--web", f"--port={port}").stderr


@pytest.mark.parametrize("line", ["~no-such-user-here/x", "x" * 300, ""])
def test_a_file_that_cannot_be_is_told(line: str) -> None:
    from rftui.tui.screens.ask import why_no_new_file

    assert why_no_new_file(line)


async def test_a_look_that_takes_longer_than_its_period_still_arrives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rftui.runs.listing import list_runs
    from rftui.tui.screens import home

    finished_run(tmp_path, "slow", steps=4)
    looks: list[float] = []

    def slowly(folder: Path) -> object:
        looks.append(time.monotonic())
        time.sleep(0.6)
        return list_runs(folder)

    monkeypatch.setattr(home, "list_runs", slowly)
    monkeypatch.setattr(home, "REFRESH_S", 0.2)
    app = RftuiApp(tmp_path)
    async with app.run_test(size=(120, 40)) as pilot:
        await shows(pilot, "1 run in", timeout=4)
        assert all(later - earlier > 0.5 for earlier, later in pairwise(looks))


async def test_reading_that_fails_in_a_way_nobody_foresaw_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rftui.tui.screens import home

    def breaks(folder: Path) -> object:
        raise ZeroDivisionError("nobody foresaw it")

    monkeypatch.setattr(home, "list_runs", breaks)
    app = RftuiApp(tmp_path)
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        await shows(pilot, "list_runs has stopped: ZeroDivisionError", "leave with q", timeout=5)
        await pilot.press("r")
        await pilot.pause(0.3)
        assert screen_text(app).count("list_runs has stopped") == 1


@pytest.mark.parametrize("readonly", [True, False])
async def test_where_all_is_read_only_nothing_is_written_and_no_gpu_is_used(
    tmp_path: Path, readonly: bool
) -> None:
    run = finished_run(tmp_path, "run", steps=4)
    app = RftuiApp(tmp_path, run, settings=Settings(readonly=readonly))
    async with app.run_test(size=(120, 40)) as pilot:
        await shows(pilot, "step 4/4")
        await app.open_plan("quickstart")
        for action in ("write", "save"):
            assert app.screen.check_action(action, ()) is not readonly
        await app.open_area("samples")
        assert app.screen.check_action("export", ()) is not readonly
        await app.open_area("doctor")
        doctor = app.screen
        assert isinstance(doctor, DoctorScreen)
        await until(pilot, lambda: bool(doctor.board.checks))
        assert doctor.check_action("active", ()) is not readonly
        compare = CompareScreen(app.context, ["run", "run"])
        assert compare.check_action("export", ()) is not readonly
