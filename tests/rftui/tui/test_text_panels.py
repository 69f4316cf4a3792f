"""Numbers in words, and the text panels at narrow and wide sizes, without a terminal."""

from dataclasses import replace

import pytest

from engine.events import Sample
from engine.findings import Finding, Fix
from rftui.runs.compared import Compared
from rftui.tui import panels, phases
from rftui.tui.devices import Device
from rftui.tui.gpu_matrix import gpu_panel
from rftui.tui.notices import Notice
from rftui.tui.rank_table import rank_panel
from rftui.tui.snapshot import Snapshot
from rftui.tui.text import clean_line, duration, number, percent, size

GIB = 1 << 30
BASE = Snapshot(
    name="qwen7b-gsm8k",
    status="running",
    step=412,
    total=2000,
    eta_s=13260.0,
    alive=8,
    n_ranks=8,
    latest={"reward/mean": 0.612, "reward/std": 0.21, "kl/ref": 0.021, "response/length_mean": 412.0},
    phases={"rollout": 6.2, "reward": 0.2, "logprob": 1.1, "update": 2.0, "sync": 0.3, "eval": 0.2},
    devices=tuple(
        Device(f"{r}", "node0", r, (100 + r) * GIB, (110 + r) * GIB, 141 * GIB, 118 * GIB, 90.0 + r, 650.0)
        for r in range(8)
    ),
    notices=(
        Notice("kl.high: KL 0.3", Finding("kl.high", "warning", "KL 0.3")),
        Notice("a note", Finding("note", "info", "a note")),
        Notice("x" * 300, Finding("x", "error", "x" * 300, ("seen",), (Fix("mend", command="rft NAME"),)), 7),
    ),
    sample=Sample(
        t=0.0, step=411, prompt="What is 6*7?", response="Six\tsevens:\n42", reward=1.0, label="42"
    ),
)


@pytest.mark.parametrize("width", [1, 5, 20, 40, 60, 80, 160, 400])
@pytest.mark.parametrize("height", [1, 3, 8, 40])
@pytest.mark.parametrize(
    "snapshot",
    [BASE, Snapshot("new", "planned"), replace(BASE, name="n" * 120, devices=BASE.devices[:1], status="odd")],
)
def test_no_panel_overflows_or_fails(snapshot: Snapshot, width: int, height: int) -> None:
    for painter in (panels.status_line, panels.figures_line, panels.paused_line(3), panels.notice_strip):
        lines = painter(snapshot, width, height).plain.split("\n")
        assert width < 40 or all(len(line) <= width for line in lines), painter
    for painter in (phases.phase_panel, gpu_panel, rank_panel):
        lines = painter(snapshot, width, height).plain.split("\n")
        assert len(lines) <= height
        assert width < 40 or all(len(line) <= width for line in lines), painter
    panels.sample_panel(snapshot, width, height)


def test_status_line_as_in_the_specification() -> None:
    line = panels.status_line(BASE, 90, 1).plain
    assert line == "rft ▸ qwen7b-gsm8k   ● running   step 412/2000   !2   21%   ETA 3h41m   8/8 ranks"
    assert "█" in panels.status_line(BASE, 160, 1).plain


def test_phase_line_names_every_phase_with_its_share() -> None:
    line = phases.one_line(BASE.phases, 100).plain
    for name, share in {
        "rollout": "62%",
        "reward": "2%",
        "logprob": "11%",
        "update": "20%",
        "sync": "3%",
    }.items():
        assert name in line
        assert share in line
    assert "rollout" in phases.one_line(BASE.phases, 30).plain


def test_stacked_bar_is_as_wide_as_its_place_and_in_proportion() -> None:
    bar = phases.stacked(BASE.phases, 100, 1)
    assert bar.plain.strip().startswith("rollout")
    cells = [span.end - span.start for span in bar.spans]
    assert sum(cells) == len(bar.plain) == 100
    assert cells == pytest.approx([62, 2, 11, 20, 3, 2], abs=1)


def test_an_alert_in_full_has_evidence_fixes_and_commands_of_this_run() -> None:
    lines = panels.alert_detail(2)(BASE, 60, 99).plain.split("\n")
    assert lines[0] == "✖ error · x · step 7"
    assert lines[-3:] == ["  seen", "1. mend", "   $ rft qwen7b-gsm8k"]
    assert max(map(len, lines)) <= 60
    assert "over" in panels.alert_detail(3)(BASE, 60, 9).plain


def test_sample_shows_prompt_answer_and_what_was_expected() -> None:
    lines = panels.sample_panel(BASE, 60, 6).plain.split("\n")
    assert lines == ["step 411 · reward 1.000 · expected 42", "What is 6*7?", "Six sevens:", "42"]


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        ("plain", "plain"),
        ("\x1b[1;31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07text", "text"),
        ("10%|#  |\r90%|## |\r", "90%|## |"),
        ("a\tb", "a   b"),
        ("bell\x07 nul\x00 c1\x9b", "bell nul c1"),
        ("left\u202eright\u200b", "leftright"),
        ("[rank0]: [/bold]", "[rank0]: [/bold]"),
    ],
)
def test_foreign_lines_lose_what_moves_the_cursor_and_nothing_else(raw: str, clean: str) -> None:
    assert clean_line(raw) == clean


def test_numbers_in_words() -> None:
    assert [duration(s) for s in (0.0123, 3.21, 48, 725, 13260, 187200)] == [
        "12ms", "3.2s", "48s", "12m05s", "3h41m", "2d04h",
    ]  # fmt: skip
    assert [size(b) for b in (12, 5 << 20, int(1.25 * GIB), 121 * GIB)] == ["12B", "5M", "1.25G", "121G"]
    assert [number(v) for v in (0.6123, 18400.0, 1e-6, float("nan"), None)] == [
        "0.612", "18.4k", "1e-6", "n/a", "n/a",
    ]  # fmt: skip
    assert [percent(s) for s in (0.62, 0.001, 0.0, None)] == ["62%", "<1%", "0%", "n/a"]


def test_the_last_line_of_memory_holds_what_was_planned_against_what_was_measured() -> None:
    compared = (Compared("rollout", 20 * GIB, 21 * GIB), Compared("update", 60 * GIB, 70 * GIB))
    lines = gpu_panel(replace(BASE, compared=compared), 80, 10).plain.split("\n")
    assert len(lines) == 10 and lines[-1] == "plan→peak  update 60G→70G!  rollout 20G→21G"
    assert "plan→" not in gpu_panel(replace(BASE, compared=compared), 80, 1).plain
