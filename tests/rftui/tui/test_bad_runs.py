"""Crashed, damaged and vanishing runs open like any other, with a message and never a traceback."""

import shutil
from pathlib import Path

from conftest import shows
from fake_run import FakeRun

from engine.events import Metric
from rftui.tui.app import RftuiApp


async def test_a_failed_run_tells_what_each_rank_said(tmp_path: Path) -> None:
    fake = FakeRun(tmp_path, "broken", total=50)
    for _ in range(12):
        fake.step()
    ranks = {"0": "exit code 1: DistBackendError: lost peer", "1": "killed by SIGKILL"}
    fake.end("failed", "rank 1: killed by SIGKILL", ranks)
    async with RftuiApp(tmp_path, fake.run).run_test(size=(120, 40)) as pilot:
        text = await shows(
            pilot, "✖ failed", "step 12/50", "rank 0: exit code 1: DistBackendError: lost peer"
        )
        assert text.count("rank 1: killed by SIGKILL") == 1


async def test_a_run_whose_supervisor_is_gone_is_lost(tmp_path: Path) -> None:
    fake = FakeRun(tmp_path, "orphan", total=50)
    fake.step()
    fake.info.supervisor_started = 1.0
    fake.run.write_info(fake.info)
    async with RftuiApp(tmp_path, fake.run).run_test(size=(80, 24)) as pilot:
        await shows(pilot, "? lost", "rft resume orphan")


async def test_a_run_with_damaged_files_shows_what_is_left(tmp_path: Path) -> None:
    fake = FakeRun(tmp_path, "damaged", total=50)
    fake.step()
    events = fake.run.events_dir / "rank-00000.jsonl"
    with events.open("ab") as file:
        file.write(b'{"kind":"metric","step":\n\xff\xfe\x00garbage\n{"kind":"from-the-future","t":1}\n{"torn')
    fake.run.info_path.write_text('{"name": ')
    (fake.run.logs_dir / "rank-00000.log").write_bytes(b"\xff\xfe broken bytes\n")
    async with RftuiApp(tmp_path, fake.run).run_test(size=(160, 48)) as pilot:
        await shows(
            pilot, "damaged", "step 1", "cannot be read as a run", "3 damaged or unknown", "broken bytes"
        )


async def test_values_that_are_not_finite_are_shown_as_gaps(tmp_path: Path) -> None:
    fake = FakeRun(tmp_path, "nan", total=50)
    for _ in range(20):
        fake.step()
    for step in (21, 22):
        fake.writers[0].write(Metric(t=fake.now, rank=0, step=step, values={"reward/mean": None}))
    async with RftuiApp(tmp_path, fake.run).run_test(size=(80, 24)) as pilot:
        await shows(pilot, "step 22/50", "×", "reward n/a")


async def test_a_folder_that_vanishes_while_watched(tmp_path: Path) -> None:
    fake = FakeRun(tmp_path, "fleeting", total=50)
    fake.step()
    async with RftuiApp(tmp_path, fake.run).run_test(size=(120, 40)) as pilot:
        await shows(pilot, "step 1/50")
        shutil.rmtree(fake.run.path)
        await shows(pilot, "cannot be read as a run")
        await pilot.press("s", ".", "l", "z", "escape", "escape")
        await shows(pilot, "No runs in")
