"""The plan screen: every key, live validation, findings, files, machines; at every size."""

import asyncio
import time
from pathlib import Path

import pytest
from conftest import screen_text, shows, until
from textual.events import Key
from textual.pilot import Pilot
from textual.widgets import Input, OptionList

from presets import loader
from rftui.tui.app import RftuiApp
from rftui.tui.context import Context
from rftui.tui.screens.launch import LaunchScreen
from rftui.tui.screens.plan import PlanScreen
from rftui.tui.screens.plan_keys import PLAN_KEYS
from rftui.tui.settings import Settings
from rftui.tui.widgets.parameter_form import Form
from rftui.tui.widgets.value_editor import Editor

TBS = "batch.train_batch_size"
CHECKPOINTING = "memory.gradient_checkpointing"


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RftuiApp:
    for module in (loader, "rftui.tui.planning.saving"):
        name = module if isinstance(module, str) else module.__name__
        monkeypatch.setattr(f"{name}.user_dir", lambda: tmp_path / "presets")
    monkeypatch.chdir(tmp_path)
    return RftuiApp(tmp_path / "runs")


def screen_of(pilot: Pilot[None]) -> PlanScreen:
    screen = pilot.app.screen
    assert isinstance(screen, PlanScreen), screen
    return screen


async def settled(pilot: Pilot[None]) -> PlanScreen:
    await until(pilot, lambda: isinstance(pilot.app.screen, PlanScreen) and not pilot.app.screen.busy)
    return screen_of(pilot)


async def opened(pilot: Pilot[None], preset: str = "quickstart") -> PlanScreen:
    await pilot.app.open_plan(preset)  # type: ignore[attr-defined]
    return await settled(pilot)


async def at(pilot: Pilot[None], key: str) -> Form:
    """The cursor on a parameter."""
    form = screen_of(pilot).query_one(Form)
    form.go_to(key)
    await pilot.pause()
    return form


async def type_over(pilot: Pilot[None], text: str) -> None:
    await pilot.press("home", "ctrl+k", *("full_stop" if char == "." else char for char in text))


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (160, 48), (200, 60)])
async def test_it_shows_the_preset_and_what_it_needs_at_every_size(
    app: RftuiApp, size: tuple[int, int]
) -> None:
    async with app.run_test(size=size) as pilot:
        await opened(pilot)
        text = await shows(pilot, "plan quickstart", "✔ fits", "○ pretrain", "toy:sort", "L launch")
        wide = size[0] >= 120
        assert ("a rollout samples 32 prompts" in text) == wide
        assert ("nothing speaks against it" in text) == wide
        assert ("rft launch quickstart" in text) == (size[0] >= 200)
        assert max(map(len, text.split("\n"))) <= size[0]


async def test_tab_goes_through_the_panes_and_escape_back_to_the_form(app: RftuiApp) -> None:
    async with app.run_test(notifications=True, size=(80, 24)) as pilot:
        screen = await opened(pilot)
        for pane, seen in (
            ("memory", "GB free"),
            ("findings", "nothing speaks against it"),
            ("machine", "no GPU found" if not screen.ground.hardware.gpus else "GPU 0"),  # type: ignore[union-attr]
            ("command", "rft launch quickstart"),
            ("form", "○ pretrain"),
        ):
            await pilot.press("tab")
            assert screen.pane == pane
            assert screen.focused is not None and screen.focused.id == pane
            await shows(pilot, seen)
        await pilot.press("shift+tab")
        assert screen.pane == "command"
        await pilot.press("escape")
        assert screen.pane == "form"


async def test_a_value_is_validated_while_it_is_typed_and_memory_follows(app: RftuiApp) -> None:
    async with app.run_test(notifications=True, size=(120, 40)) as pilot:
        screen = await opened(pilot)
        await at(pilot, TBS)
        await pilot.press("enter")
        editor = screen.query_one(Editor)
        assert editor.has_focus and editor.value == "256"
        await type_over(pilot, "100")
        await shows(pilot, "✖ train_batch_size", "are no whole number", "● 1 changed")
        await type_over(pilot, "many")
        await shows(pilot, "must be a whole number ≥ 1", "✖ 1 error", "before the error")
        await type_over(pilot, "128")
        await pilot.press("enter")
        await settled(pilot)
        text = await shows(pilot, "● train_batch_size           128", "2 optimizer steps of 128")
        assert "✖" not in text and not editor.display
        assert screen.focused is screen.query_one(Form)


async def test_escape_leaves_a_value_as_it_was(app: RftuiApp) -> None:
    async with app.run_test(notifications=True, size=(80, 24)) as pilot:
        screen = await opened(pilot)
        await at(pilot, TBS)
        await pilot.press("enter")
        await type_over(pilot, "999")
        await shows(pilot, "✖ train_batch_size           999")
        await pilot.press("escape")
        await settled(pilot)
        assert screen.edits is not None and screen.edits.values == {}
        await shows(pilot, "○ train_batch_size           256")


async def test_the_editor_goes_when_the_focus_does_and_keeps_the_value(app: RftuiApp) -> None:
    async with app.run_test(notifications=True, size=(80, 24)) as pilot:
        screen = await opened(pilot)
        await at(pilot, TBS)
        await pilot.press("enter")
        await type_over(pilot, "128")
        await pilot.press("tab")
        await settled(pilot)
        assert screen.pane == "memory" and not screen.query_one(Editor).display
        await pilot.press("escape", "enter")
        assert screen.query_one(Editor).value == "128"
        await pilot.press("escape")
        assert screen.edits is not None and screen.edits.values == {TBS: 128}


async def test_letters_in_the_editor_are_text(app: RftuiApp) -> None:
    async with app.run_test(notifications=True, size=(80, 24)) as pilot:
        screen = await opened(pilot)
        await at(pilot, "data.system_prompt")
        await pilot.press("enter")
        await type_over(pilot, "Launch q")
        await pilot.press("enter")
        await settled(pilot)
        assert screen.edits is not None and screen.edits.values == {"data.system_prompt": "Launch q"}


async def test_choices_are_gone_through(app: RftuiApp) -> None:
    async with app.run_test(notifications=True, size=(80, 24)) as pilot:
        screen = await opened(pilot)
        await at(pilot, "optim.lr_scheduler")
        await pilot.press("right")
        await until(pilot, lambda: bool(screen.edits and screen.edits.values))
        first = dict(screen.edits.values)  # type: ignore[union-attr]
        await pilot.press("left")
        await settled(pilot)
        assert first["optim.lr_scheduler"] != "linear"
        assert screen.edits.values == {"optim.lr_scheduler": "linear"}  # type: ignore[union-attr]
        await pilot.press("enter", "down")
        assert screen.query_one(Editor).value == first["optim.lr_scheduler"]
        await pilot.press("escape")
        await at(pilot, "model.bf16")
        await pilot.press("enter")
        await until(pilot, lambda: screen.edits.values.get("model.bf16") is True)  # type: ignore[union-attr]


async def test_the_planners_choice_is_pinned_let_go_and_reverted(app: RftuiApp) -> None:
    async with app.run_test(notifications=True, size=(120, 40)) as pilot:
        screen = await opened(pilot)
        await at(pilot, CHECKPOINTING)
        await shows(pilot, "◆ gradient_checkpointing", "chosen by the planner", "why: ")
        await pilot.press("space")
        await settled(pilot)
        await shows(pilot, "● gradient_checkpointing", "set by you")
        assert screen.edits is not None and screen.edits.values == {CHECKPOINTING: False}
        await pilot.press("space")
        await settled(pilot)
        await shows(pilot, "◆ gradient_checkpointing")
        await pilot.press("right")
        await settled(pilot)
        await shows(pilot, "● gradient_checkpointing")
        await pilot.press("u")
        await settled(pilot)
        await shows(pilot, "◆ gradient_checkpointing")
        await pilot.press("A")
        await settled(pilot)
        await shows(pilot, "as is: nothing is chosen", "· gradient_checkpointing")
        await pilot.press("A")
        await settled(pilot)
        await at(pilot, TBS)
        await pilot.press("space")
        await shows(pilot, "only what the planner chose can be pinned")


async def test_n_goes_to_what_is_wrong_and_f_mends_it(app: RftuiApp) -> None:
    async with app.run_test(notifications=True, size=(80, 24)) as pilot:
        screen = await opened(pilot)
        await at(pilot, TBS)
        await pilot.press("enter")
        await type_over(pilot, "100")
        await pilot.press("enter", "home", "n")
        await settled(pilot)
        assert screen.query_one(Form).cursor == TBS
        await shows(pilot, "✖ 1 error", "f ▸ set train_batch_size to 64")
        await pilot.press("f")
        screen = await settled(pilot)
        assert screen.now is not None and screen.now.errors == 0
        assert screen.edits is not None and screen.edits.values[TBS] != 100
        await pilot.press("home", "n")
        assert screen.query_one(Form).cursor == TBS, "of 64 it is warned"
        await pilot.press("u")
        await settled(pilot)
        await pilot.press("n")
        await shows(pilot, "nothing is wrong")


async def test_a_finding_is_chosen_and_its_fix_applied(app: RftuiApp) -> None:
    async with app.run_test(notifications=True, size=(160, 48)) as pilot:
        screen = await opened(pilot)
        await at(pilot, TBS)
        await pilot.press("enter")
        await type_over(pilot, "100")
        await pilot.press("enter")
        await settled(pilot)
        await pilot.press("tab", "tab")
        await shows(pilot, "f ▸ set train_batch_size to")
        assert screen.query_one("#findings", OptionList).highlighted == 0
        await pilot.press("home", "enter")
        assert screen.pane == "form" and screen.query_one(Form).cursor == TBS
        await pilot.press("tab", "tab", "f")
        screen = await settled(pilot)
        await shows(pilot, "✔ fits   ▲ 1 warning", "applied")


async def test_the_form_is_filtered_and_sections_are_gone_through(app: RftuiApp) -> None:
    async with app.run_test(notifications=True, size=(80, 24)) as pilot:
        screen = await opened(pilot)
        form = screen.query_one(Form)
        await pilot.press("slash", *"entropy")
        await until(pilot, lambda: 0 < len(form.fields) < 10)
        assert all("entropy" in f"{field.key} {field.parameter.help}".lower() for field in form.fields)
        await pilot.press("enter", "down")
        assert screen.focused is form
        await pilot.press("escape")
        await until(pilot, lambda: len(form.fields) > 100)
        assert not screen.query_one("#filter", Input).display
        await pilot.press("c")
        await until(pilot, lambda: len(form.fields) < 60)
        assert {field.origin for field in form.fields} == {"preset", "planner"}
        await pilot.press("c", "home", "right_square_bracket")
        assert form.cursor == "data.prompt_data"
        await pilot.press("left_square_bracket")
        assert form.cursor == "model.pretrain"
        await pilot.press("end")
        last = form.fields[-1].key
        assert form.cursor == last
        await pilot.press("pageup", "up", "down", "pagedown")
        assert form.cursor == last


async def test_what_is_typed_right_behind_the_slash_is_text(app: RftuiApp) -> None:
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await opened(pilot)
        for key, char in (("slash", "/"), *zip("cuL", "cuL", strict=True)):
            app.post_message(Key(key, char))
        await pilot.pause()
        assert screen.query_one("#filter", Input).value == "cuL" and not screen.changed_only


async def test_what_is_typed_right_behind_enter_is_the_value(app: RftuiApp) -> None:
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await opened(pilot)
        await at(pilot, "optim.actor_learning_rate")
        for key, char in (("enter", "\r"), *zip("3e5u", "3e5u", strict=True)):
            app.post_message(Key(key, char))
        await pilot.pause()
        assert screen.query_one("#editor", Input).value == "3e5u"


async def test_keys_of_the_form_do_nothing_in_other_panes(app: RftuiApp) -> None:
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await opened(pilot)
        await at(pilot, CHECKPOINTING)
        assert "⏎ edit" in screen_text(app) and screen_text(app).endswith(": palette")
        await pilot.press("tab")
        await until(pilot, lambda: "⏎ edit" not in screen_text(app))
        await pilot.press("space", "right", "enter")
        await pilot.pause()
        assert screen.edits is not None and screen.edits.values == {}


async def test_commands_are_shown_and_copied(app: RftuiApp) -> None:
    async with app.run_test(notifications=True, size=(80, 24)) as pilot:
        screen = await opened(pilot)
        await at(pilot, "optim.max_steps")
        await pilot.press("enter")
        await type_over(pilot, "7")
        await pilot.press("enter")
        await settled(pilot)
        await pilot.press("v")
        await shows(pilot, "rft launch quickstart --max-steps 7", "torch.distributed.run")
        await pilot.press("y")
        assert app.clipboard.startswith("rft launch quickstart --max-steps 7")
        await pilot.press("Y")
        assert app.clipboard.startswith("RFTUI_RUN_DIR=") and "-m engine.train" in app.clipboard
        await pilot.press("v")
        assert screen.pane == "form"


async def test_another_machine_is_planned_for_and_not_launched_on(app: RftuiApp) -> None:
    async with app.run_test(notifications=True, size=(120, 40)) as pilot:
        await opened(pilot)
        await pilot.press("G")
        await shows(pilot, "Plan for which GPUs?")
        await pilot.press(*"8xZ", "enter")
        await shows(pilot, "✖", "Z")
        await type_over(pilot, "8xH100")
        await pilot.press("enter")
        await settled(pilot)
        await shows(pilot, "what if: 8xH100", "on each GPU")
        await pilot.press("L")
        await shows(pilot, "this plan is for 8xH100")
        assert isinstance(app.screen, PlanScreen)
        await pilot.press("G")
        await pilot.pause()
        await pilot.press("home", "ctrl+k", "enter")
        await settled(pilot)
        await shows(pilot, "this machine: ")


async def test_what_would_run_is_written_and_kept_as_a_preset(app: RftuiApp, tmp_path: Path) -> None:
    async with app.run_test(notifications=True, size=(120, 40)) as pilot:
        await opened(pilot)
        await at(pilot, "optim.max_steps")
        await pilot.press("enter")
        await type_over(pilot, "7")
        await pilot.press("enter")
        await settled(pilot)
        await pilot.press("w")
        await shows(pilot, "Write what would run to")
        await pilot.press("enter")
        await shows(pilot, "written: ")
        exact = (tmp_path / "quickstart-plan.yaml").read_text()
        assert "max_steps: 7" in exact and "gradient_checkpointing: false" in exact
        await pilot.press("ctrl+s")
        await shows(pilot, "Save as a preset named")
        await pilot.press("enter")
        await shows(pilot, "saved: ")
        saved = loader.load("my-quickstart").layer.values
        assert saved["optim.max_steps"] == 7 and CHECKPOINTING not in saved
        await pilot.press("o")
        await shows(pilot, "Plan which preset?", "my-quickstart", "(yours)")
        await pilot.press("slash", *"my", "minus", *"q")
        await until(pilot, lambda: "gsm8k" not in screen_text(app))
        await pilot.press("enter")
        await until(pilot, lambda: app.context.preset == "my-quickstart")
        await settled(pilot)
        await shows(pilot, "plan my-quickstart")
        await pilot.press("down")
        assert screen_of(pilot).query_one(Form).cursor == "model.critic_pretrain"


async def test_without_a_preset_one_is_asked_for_and_escape_shows_defaults(app: RftuiApp) -> None:
    async with app.run_test(notifications=True, size=(80, 24)) as pilot:
        await app.open_area("plan")
        await shows(pilot, "Plan which preset?", "first steps", "gsm8k")
        await pilot.press("escape")
        await settled(pilot)
        await shows(pilot, "plan defaults", "✖ ")


async def test_a_file_is_named_where_presets_are_asked_for(app: RftuiApp, tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text("model:\n  pretrain: toy:sort\n")
    async with app.run_test(size=(80, 24)) as pilot:
        await app.open_area("plan")
        await shows(pilot, "Plan which preset?", "gsm8k")
        await pilot.press("slash", *"own", "full_stop", *"yaml")
        assert "gsm8k" in screen_text(app), "no preset has these words: all stay in sight"
        await pilot.press("enter")
        await settled(pilot)
        await shows(pilot, "plan own")


async def test_a_preset_that_cannot_be_read_is_said_so(app: RftuiApp, tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text("model: [1, 2\n")
    async with app.run_test(notifications=True, size=(80, 24)) as pilot:
        await app.open_plan(str(tmp_path / "bad.yaml"))
        await shows(pilot, "not valid YAML")
        for key in PLAN_KEYS:
            if key.key not in ("o", "tab", "shift+tab", "slash"):
                await pilot.press(key.key)
        await pilot.pause()
        assert isinstance(app.screen, PlanScreen)
        (tmp_path / "bad.yaml").write_text("model:\n  pretrain: toy:sort\n")
        await pilot.press("r")
        await settled(pilot)
        await shows(pilot, "plan bad")


async def test_errors_and_readonly_keep_a_run_from_being_launched(app: RftuiApp) -> None:
    async with app.run_test(notifications=True, size=(80, 24)) as pilot:
        await opened(pilot)
        await at(pilot, TBS)
        await pilot.press("enter")
        await type_over(pilot, "100")
        await pilot.press("enter")
        await settled(pilot)
        await pilot.press("L")
        await shows(pilot, "not launched: 1 error")
        await pilot.press("w")
        await shows(pilot, "correct the errors first")
        await pilot.press("u")
        screen = await settled(pilot)
        screen.context = Context(app.context.runs_dir, Settings(readonly=True))
        await pilot.click("#launch")
        await shows(pilot, "readonly is set")
        assert isinstance(app.screen, PlanScreen)
        assert not (app.context.runs_dir).exists()


async def test_a_launch_that_is_refused_says_why_and_leads_back(app: RftuiApp, tmp_path: Path) -> None:
    data = tmp_path / "prompts.jsonl"
    data.write_text('{"input": "1 2", "label": "1 2"}\n' * 64)
    async with app.run_test(notifications=True, size=(80, 24)) as pilot:
        screen = await opened(pilot)
        assert screen.edits is not None
        screen.change(screen.edits.with_values({"data.prompt_data": str(data)}))
        await settled(pilot)
        data.unlink()
        await pilot.press("L")
        await shows(pilot, "✖ preflight", "There is no file or folder", " Edit ", " Retry ")
        assert isinstance(app.screen, LaunchScreen)
        assert not app.context.runs_dir.exists()
        assert "logs" not in screen_text(app).split("\n")[-1]
        await pilot.press("e")
        assert screen_of(pilot) is screen


async def test_an_edit_costs_less_than_100_ms_until_it_is_painted(app: RftuiApp) -> None:
    """In time of this process, all threads together: other programs on the machine do not count."""
    async with app.run_test(size=(160, 48)) as pilot:
        screen = await opened(pilot)
        times = []
        for value in (False, True, False, True, False):
            assert screen.edits is not None
            before, painted, start = screen.now, asyncio.Event(), time.process_time()
            screen.change(screen.edits.with_value(CHECKPOINTING, value))
            while screen.now is before:
                await asyncio.sleep(0.005)
            screen.call_after_refresh(painted.set)
            await painted.wait()
            times.append(time.process_time() - start)
            await settled(pilot)
        assert sorted(times)[2] < 0.1, times


async def test_the_mouse_chooses_and_opens(app: RftuiApp) -> None:
    async with app.run_test(notifications=True, size=(120, 40)) as pilot:
        screen = await opened(pilot)
        form = screen.query_one(Form)
        row = form.row_of("data.prompt_data")
        await pilot.click("#form", offset=(4, row))
        assert form.cursor == "data.prompt_data"
        await pilot.click("#form", offset=(4, row))
        assert screen.query_one(Editor).has_focus
        await pilot.click("#panes", offset=(9, 0))
        assert screen.pane == "memory"
