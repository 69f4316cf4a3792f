"""Crashed, damaged and vanishing runs open like any other, with a message and never a traceback."""

import shutil
from pathlib import Path

from conftest import shows, until
from fake_run import FakeRun

from diagnostics.knowledge.diagnosis import Diagnosed, Diagnosis, Evidence
from engine.events import Metric
from engine.findings import Fix
from rftui.runs import diagnosis
from rftui.tui.app import RftuiApp
from rftui.tui.screens.logs import LogsScreen


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
        await shows(pilot, "? lost", "rft resume orphan --runs-dir")


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


async def test_what_a_run_died_of_stands_first_and_in_full(tmp_path: Path) -> None:
    fake = FakeRun(tmp_path, "dead", total=50)
    fake.step()
    evidence = (Evidence("logs/rank-00001.log", 812, "CUDA out of memory. Tried to allocate 2 GiB", 1),)
    fixes = (Fix("use smaller micro-batches", set={"batch.micro_train_batch_size": 2}),)
    found = Diagnosed("oom", "memory", "GPU memory ran out", "Rank 1 had 79 of 80 GiB.", evidence, fixes, 0.9)
    diagnosis.write(fake.run, Diagnosis(str(fake.run.path), (found,)))
    fake.end("failed", "rank 1: exit code 1")
    async with RftuiApp(tmp_path, fake.run).run_test(size=(120, 40)) as pilot:
        await shows(pilot, "✖ failed", "oom: GPU memory ran out. Rank 1 had 79 of 80 GiB. → use smaller")
        await pilot.press("n")
        await shows(
            pilot, "alert 1 of 2", "logs/rank-00001.log:812: CUDA out of memory", "--set batch.micro_train_"
        )


async def test_o_goes_from_what_a_run_died_of_to_its_line_in_the_logs(tmp_path: Path) -> None:
    fake = FakeRun(tmp_path, "dead", total=50, ranks=2)
    fake.step()
    lines = [f"line {number}" for number in range(1, 901)]
    lines[811] = "CUDA out of memory"
    (fake.run.logs_dir / "rank-00001.log").write_text("\n".join(lines) + "\n")
    evidence = (Evidence("logs/rank-00001.log", 812, "CUDA out of memory", 1),)
    found = Diagnosed("oom", "memory", "GPU memory ran out", "Rank 1 had 79 GiB.", evidence, (), 0.9)
    diagnosis.write(fake.run, Diagnosis(str(fake.run.path), (found,)))
    fake.end("failed", "rank 1: exit code 1")
    app = RftuiApp(tmp_path, fake.run)
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        await shows(pilot, "✖ failed", "oom: GPU memory ran out")
        await pilot.press("o")
        assert app.area_now == "live"  # nothing is shown yet that it could go to
        await pilot.press("n")
        await shows(pilot, "alert 1 of 2", "o its line in the logs")
        await pilot.press("o")
        await until(pilot, lambda: isinstance(app.screen, LogsScreen) and app.screen.page.number == 812)
        await shows(pilot, "CUDA out of memory")
        await pilot.press("escape", "n")
        await shows(pilot, "alert 2 of 2")
        await pilot.press("o")
        await shows(pilot, "no line of its own")
