"""What it costs to leave the program open: CPU, bytes to the terminal, memory."""

from pathlib import Path

from tui_keys import growing, rftui
from tui_terminal import Terminal


def watching(
    runs_dir: Path, gpus: int, seconds: float, step_s: float, slow: bool = False
) -> dict[str, float]:
    """The live screen at 1 Hz, painting and paused."""
    name = f"steady-{gpus}"
    with (
        growing("steady", runs_dir, gpus, "--step-s", str(step_s)),
        rftui(runs_dir, name, slow=slow) as terminal,
    ):
        terminal.until(f"{gpus}/{gpus} ranks")
        terminal.settle(4.0)
        cpu, sent = terminal.usage(seconds)
        terminal.press("space")
        terminal.until("paused")
        terminal.settle(2.0)
        paused, _ = terminal.usage(seconds)
        return {"cpu_pct": cpu, "bytes_per_s": sent, "paused_pct": paused, "memory_mb": terminal.memory()}


def resting(runs_dir: Path, seconds: float) -> dict[str, float]:
    """At home, with presets planned and the doctor's badge there."""
    with rftui(runs_dir) as terminal:
        terminal.until("▸ home", gone="◌ planning", timeout=120)
        terminal.until("doctor", gone="◌ checking", timeout=120)
        terminal.settle(3.0)
        cpu, sent = terminal.usage(seconds)
        return {"home_pct": cpu, "home_bytes_per_s": sent, "home_memory_mb": terminal.memory()}


def opening_points(runs_dir: Path, steps: int, small_run: str) -> dict[str, float]:
    """A long run opened from home: its last numbers, then all of it; zoom and pan then."""
    with rftui(runs_dir, small_run) as terminal:
        terminal.until("✔ finished")
        terminal.until_quiet(0.5)
        base = terminal.memory()
    with rftui(runs_dir, "points") as terminal:
        first = terminal.until(f"step {steps}/{steps}") - terminal.began
        whole = terminal.until(f"step {steps}/{steps}", gone="reading", timeout=120) - terminal.began
        terminal.until_quiet(0.5)
        memory = terminal.memory()
        zoom = [_moved(terminal, key) for key in "+++---" * 3]
        for _ in range(4):
            _moved(terminal, "+")
        pan = [_moved(terminal, key) for key in ("left", "left", "right", "right") * 4]
    with rftui(runs_dir) as terminal:
        terminal.until("points", "✔ finished")
        terminal.until_quiet(0.5)
        opened = terminal.press("enter")
        from_home = terminal.until(f"step {steps}/{steps}") - opened
        whole_from_home = terminal.until(f"step {steps}/{steps}", gone="reading", timeout=120) - opened
    return {
        "million_first_s": from_home,
        "million_points_s": whole_from_home,
        "million_start_first_s": first,
        "million_start_points_s": whole,
        "million_memory_mb": memory - base,
        "zoom_ms": _worst_but_one(zoom),
        "pan_ms": _worst_but_one(pan),
    }


def _moved(terminal: Terminal, key: str) -> float:
    """Milliseconds until what a key changes in the charts is painted."""
    terminal.until_quiet(0.12)
    sent = terminal.press(key)
    return (terminal.burst() - sent) * 1e3


def _worst_but_one(values: list[float]) -> float:
    return sorted(values)[-2]
