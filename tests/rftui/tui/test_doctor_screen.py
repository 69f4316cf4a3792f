"""The doctor's screen: real checks of this machine as they answer, and some made ones for its keys."""

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import screen_text, shows, until
from fake_run import finished_run
from textual.pilot import Pilot
from textual.widgets import Input, OptionList

from diagnostics.doctor.check import CannotCheck, Check, DoesNotApply, Ok, Result
from diagnostics.doctor.host import Host
from engine.findings import Finding, Fix
from rftui.tui.app import RftuiApp
from rftui.tui.context import Context
from rftui.tui.doctor import looks
from rftui.tui.doctor.board import Board
from rftui.tui.doctor.ignored import Ignored, ignored_path, read_ignored, write_ignored
from rftui.tui.screens import doctor_examining
from rftui.tui.screens.doctor import DoctorScreen
from rftui.tui.settings import Settings

pytestmark = pytest.mark.usefixtures("still_home")


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


class Made:
    """Checks with answers of the test's own; `slow` waits until it is let go."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.gate, self.ran = folder, threading.Event(), list[str]()

    def check(self, id: str, run: Callable[[Host], object], tier: str = "fast", **more: object) -> Check:
        def counted(host: Host) -> object:
            self.ran.append(id)
            return run(host)

        return Check(id, f"{id} is well", tier, counted, **more)  # type: ignore[arg-type]

    def all(self) -> tuple[Check, ...]:
        return (
            self.check("host.ok", lambda host: Ok("23 GiB free")),
            self.check("host.tmp", self._folder),
            self.check("host.bad", lambda host: _finding("host.bad", "error", "[red]too small[/]: 64 MiB")),
            self.check("net.none", _does_not_apply),
            self.check("net.unknown", _cannot),
            self.check("py.slow", self._slow, limit_s=20),
            self.check("py.deep", lambda host: Ok("imports"), "deep"),
            self.check("comm.all", lambda host: Ok("adds right"), "active"),
        )

    def _folder(self, host: Host) -> object:
        if self.folder.is_dir():
            return Ok(f"{self.folder} is there")
        fix = Fix("make it", command=f"mkdir {self.folder}", safe=True)
        return Finding("host.tmp", "warning", "TMPDIR is not there", fixes=(fix,))

    def _slow(self, host: Host) -> object:
        self.gate.wait(20)
        return Ok("done at last")


def _finding(id: str, severity: str, cause: str) -> Finding:
    return Finding(
        id, severity, cause, ("seen 64 MiB",), (Fix("make it larger", command="mount -o size=8G"),)
    )  # type: ignore[arg-type]


def _does_not_apply(host: Host) -> object:
    raise DoesNotApply("there is no network here")


def _cannot(host: Host) -> object:
    raise CannotCheck("the file cannot be read")


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Made:
    made = Made(tmp_path / "made-here")
    checks = made.all()
    monkeypatch.setattr(doctor_examining, "known_checks", lambda: checks)
    return made


async def _choose(pilot: Pilot[None], id: str) -> None:
    options = pilot.app.screen.query_one("#checks", OptionList)
    options.highlighted = options.get_option_index(id)
    await pilot.pause()


async def test_the_real_checks_of_this_machine_answer(tmp_path: Path) -> None:
    app = RftuiApp(tmp_path)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("7")
        text = await shows(pilot, "rft ▸ doctor", "✔ fine", "host.ram", "+8 deep: a", timeout=20)
        screen = app.screen
        assert isinstance(screen, DoctorScreen)
        await until(pilot, lambda: bool(screen.board.checks) and not screen.board.running, timeout=20)
        assert all(row.result is not None for row in screen.board.rows())
        assert "GPUs" in text


async def test_answers_appear_as_they_come(tmp_path: Path, made: Made) -> None:
    app = RftuiApp(tmp_path)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("7")
        text = await shows(
            pilot, "✔ fine", "✖ error", "[red]too small[/]: 64", "? not checked", "◌ checking", "▲ warning"
        )
        assert "1 checking" in text and "done at last" not in text
        assert "network  1 more does not apply: there is no network here" in text
        assert all(len(line) <= 80 for line in text.split("\n")) and text.endswith(": palette")
        made.gate.set()
        await shows(pilot, "done at last", "✔ 2 fine")


async def test_details_tell_evidence_and_fix_and_y_copies_it(tmp_path: Path, made: Made) -> None:
    made.gate.set()
    app = RftuiApp(tmp_path)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("7")
        await shows(pilot, "✖ 1 error")
        await pilot.press("n", "n")
        await shows(pilot, "seen 64 MiB", "→ make it larger", "mount -o size=8G")
        await pilot.press("y")
        assert app.clipboard == "mount -o size=8G"


async def test_a_safe_fix_is_shown_asked_for_done_and_checked_again(tmp_path: Path, made: Made) -> None:
    made.gate.set()
    app = RftuiApp(tmp_path)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("7")
        await shows(pilot, "▲ 1 warning")
        await _choose(pilot, "host.tmp")
        await pilot.press("f")
        await shows(pilot, "mkdir", "Leave it as it is", "Do it")
        await pilot.press("enter")
        await pilot.pause(0.2)
        assert not made.folder.exists()
        await pilot.press("f", "down", "enter")
        await shows(pilot, "✔ 3 fine")
        assert made.folder.is_dir() and made.ran.count("host.tmp") == 2
        assert "f fix" not in screen_text(app)


async def test_readonly_mends_nothing(tmp_path: Path, made: Made) -> None:
    made.gate.set()
    app = RftuiApp(tmp_path, settings=Settings(readonly=True))
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("7")
        await shows(pilot, "▲ 1 warning")
        await _choose(pilot, "host.tmp")
        await pilot.press("f")
        assert isinstance(app.screen, DoctorScreen)


async def test_one_again_or_all_again(tmp_path: Path, made: Made) -> None:
    made.gate.set()
    app = RftuiApp(tmp_path)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("7")
        await shows(pilot, "✔ 2 fine")
        await _choose(pilot, "host.ok")
        await pilot.press("r")
        await until(pilot, lambda: made.ran.count("host.ok") == 2)
        assert made.ran.count("host.bad") == 1
        await pilot.press("R")
        await until(pilot, lambda: made.ran.count("host.bad") == 2)


async def test_deep_at_once_and_active_only_after_a_yes(tmp_path: Path, made: Made) -> None:
    made.gate.set()
    app = RftuiApp(tmp_path)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("7")
        await shows(pilot, "+1 deep: a", "+1 active: A")
        await pilot.press("a")
        await shows(pilot, "py.deep", "imports")
        await pilot.press("A")
        await shows(pilot, "They use all GPUs", "comm.all is well")
        await pilot.press("enter")
        assert "comm.all" not in made.ran
        await pilot.press("A", "down", "enter")
        await shows(pilot, "adds right")
        assert "+1" not in screen_text(app)


async def test_ignored_with_a_reason_it_is_kept_and_never_a_pass(tmp_path: Path, made: Made) -> None:
    made.gate.set()
    app = RftuiApp(tmp_path)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("7")
        await shows(pilot, "✖ 1 error")
        await _choose(pilot, "host.bad")
        await pilot.press("i", "enter")
        await shows(pilot, "give a reason")
        await pilot.press(*"known", "enter")
        text = await shows(pilot, "○ 1 ignored", "ignored because: known")
        assert "✖ 1 error" not in text and "✔ 2 fine" in text
        await until(pilot, lambda: "host.bad" in read_ignored(ignored_path()))
        assert read_ignored(ignored_path())["host.bad"].reason == "known"
    again = RftuiApp(tmp_path)
    async with again.run_test(size=(120, 40)) as pilot:
        await pilot.press("7")
        await shows(pilot, "○ 1 ignored")
        await _choose(pilot, "host.bad")
        await pilot.press("i")
        await shows(pilot, "✖ 1 error")
        await until(pilot, lambda: read_ignored(ignored_path()) == {})


async def test_words_filter_the_list_and_escape_shows_all(tmp_path: Path, made: Made) -> None:
    made.gate.set()
    app = RftuiApp(tmp_path)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("7")
        await shows(pilot, "host.ok")
        await pilot.press("slash", *"not checked")
        await until(pilot, lambda: "host.ok " not in screen_text(app))
        assert "net.unknown" in screen_text(app)
        await pilot.press("enter", "escape")
        await shows(pilot, "host.ok")
        await pilot.press("escape")
        assert app.area_now == "home"


async def test_the_report_is_written_once(tmp_path: Path, made: Made) -> None:
    made.gate.set()
    app = RftuiApp(tmp_path)
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        await pilot.press("7")
        await shows(pilot, "✔ 2 fine")
        await pilot.press("e")
        await until(pilot, lambda: isinstance(app.focused, Input))
        await pilot.press("enter")
        await shows(pilot, "the report is in")
        report = (tmp_path / "rft-doctor-report.md").read_text()
        assert "error host.bad: [red]too small" in report and "rft doctor\n" in report
        await pilot.press("e")
        await until(pilot, lambda: isinstance(app.focused, Input))
        await pilot.press("enter")
        await shows(pilot, "exists: give another name")


async def test_a_damaged_run_is_told_and_the_machine_is_checked_all_the_same(
    tmp_path: Path, made: Made
) -> None:
    made.gate.set()
    run = finished_run(tmp_path, "broken", steps=2)
    run.config_path.write_text("algo: [")
    app = RftuiApp(tmp_path)
    async with app.run_test(size=(160, 40), notifications=True) as pilot:
        await app.open_run(run)
        await pilot.press("7")
        await shows(pilot, "for run broken", "✔ 2 fine", "config.yaml")
        await pilot.press("c")
        await shows(pilot, "for this machine")


async def test_a_preset_adds_the_checks_of_its_configuration(tmp_path: Path) -> None:
    app = RftuiApp(tmp_path)
    async with app.run_test(size=(120, 40)) as pilot:
        app.context = Context(tmp_path, preset="quickstart")
        await pilot.press("7")
        await shows(pilot, "for preset quickstart")
        screen = app.screen
        assert isinstance(screen, DoctorScreen)
        await until(pilot, lambda: "cfg.batch" in screen.board.results, timeout=30)
        assert screen.board.results["cfg.batch"].status == "ok"


async def test_what_is_said_of_the_subject_before_is_asked_for_again(
    tmp_path: Path, made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate, named = threading.Event(), list[str]()

    def named_slowly(host: Host) -> object:
        name = "the preset" if host.config else "nobody"
        named.append(name)
        if len(named) == 1:
            gate.wait(20)
        return Ok(f"this is for {name}")

    made.gate.set()
    checks = (*made.all(), made.check("cfg.name", named_slowly, limit_s=20))
    monkeypatch.setattr(doctor_examining, "known_checks", lambda: checks)
    app = RftuiApp(tmp_path)
    async with app.run_test(size=(120, 40)) as pilot:
        app.context = Context(tmp_path, preset="quickstart")
        await pilot.press("7")
        await shows(pilot, "for preset quickstart", "◌ checking", "✔ 2 fine")
        screen = app.screen
        assert isinstance(screen, DoctorScreen)
        await until(pilot, lambda: len(named) == 1)
        await pilot.press("c")
        await shows(pilot, "for this machine")
        gate.set()
        await shows(pilot, "this is for nobody")
        assert len(named) == 2 and not screen.board.running
        assert screen.host is not None and screen.host.config is None


def test_what_is_ignored_comes_back_when_it_gets_worse() -> None:
    entry = Ignored("known", "warning", ("host.shm",))
    finding = Finding("host.shm", "warning", "small")
    same = Result(id="host.shm", title="", tier="fast", status="warning", findings=(finding,))
    assert entry.covers(same)
    worse = Finding("host.shm", "error", "too small")
    assert not entry.covers(Result(id="a", title="", tier="fast", status="error", findings=(worse,)))
    other = Finding("host.shm.gone", "warning", "gone")
    assert not entry.covers(Result(id="a", title="", tier="fast", status="warning", findings=(other,)))
    assert not entry.covers(Result(id="a", title="", tier="fast", status="unchecked"))


def test_reasons_survive_any_text(tmp_path: Path) -> None:
    entry = Ignored('a "quoted"\nreason \\ ü', "unchecked", ())
    write_ignored(tmp_path / "deep" / "file.toml", {"net.hub": entry})
    assert read_ignored(tmp_path / "deep" / "file.toml") == {"net.hub": entry}


def test_every_state_has_a_glyph_and_a_word() -> None:
    assert set(looks.GLYPHS) == set(looks.WORDS)
    assert looks.head(Board(), "this machine", 80).plain.startswith("rft ▸ doctor")
