"""`rftui → presets, diagnostics → engine`, never back; and the front end starts without heavy libraries."""

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("engine", "diagnostics", "presets", "rftui")
MAY_IMPORT = {
    "engine": {"engine"},
    "diagnostics": {"diagnostics", "engine"},
    "presets": {"presets", "engine"},
    "rftui": set(PACKAGES),
}
HEAVY = {"torch", "transformers", "numpy", "datasets", "tokenizers", "accelerate"}
PROBES = ROOT / "diagnostics" / "doctor" / "probes"
"""Programs that the doctor starts as child processes, and never imports."""
LIGHT = [
    "engine",
    "engine.config.load",
    "engine.config.flags",
    "engine.config.rules",
    "engine.events",
    "engine.findings",
    "engine.data.validate",
    "engine.footprint.catalog",
    "engine.footprint.predict",
    "engine.footprint.speed",
    "diagnostics.places",
    "diagnostics.trainers.cases",
    "presets.loader",
    "rftui.cli.app",
    "rftui.plan.planner",
    "rftui.runs.listing",
    "rftui.runs.view",
]
IMPORT_SECONDS = 0.5
"""Of the processor, which other programs on the machine do not lengthen."""


def imported(path: Path) -> Iterator[tuple[str, int]]:
    """Every module a file imports, in functions and under TYPE_CHECKING too, with the line."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import"
            yield node.module or "", node.lineno
        elif isinstance(node, ast.Call) and _called(node) in ("import_module", "__import__"):
            first = node.args[0] if node.args else None
            if isinstance(first, ast.Constant) and isinstance(first.value, str):
                yield first.value, node.lineno


def _called(node: ast.Call) -> str:
    return getattr(node.func, "attr", "") or getattr(node.func, "id", "")


def files(package: str) -> list[Path]:
    found = sorted((ROOT / package).rglob("*.py"))
    assert found
    return found


@pytest.mark.parametrize("package", PACKAGES)
def test_arrows_go_one_way(package: str):
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {module}"
        for path in files(package)
        for module, line in imported(path)
        if (top := module.partition(".")[0]) in PACKAGES and top not in MAY_IMPORT[package]
    ]
    assert wrong == []


@pytest.mark.parametrize("package", ["rftui", "diagnostics", "presets", "engine/config", "engine/footprint"])
def test_the_front_end_and_the_configuration_never_import_heavy_libraries(package: str):
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {module}"
        for path in files(package)
        if not path.is_relative_to(PROBES)
        for module, line in imported(path)
        if module.partition(".")[0] in HEAVY
    ]
    assert wrong == []


def test_the_arrows_see_imports_wherever_they_stand(tmp_path: Path):
    source = "import a.b\nif True:\n    from c.d import e\n"
    source += "def f():\n    import importlib\n    importlib.import_module('g.h')\n"
    (tmp_path / "m.py").write_text(source)
    assert [module for module, _ in imported(tmp_path / "m.py")] == ["a.b", "c.d", "importlib", "g.h"]


@pytest.mark.parametrize("module", LIGHT)
def test_light_modules_stay_light_and_import_at_once(module: str):
    code = (
        "import sys, time; start = time.process_time(); import " + module + "; "
        "print(time.process_time() - start, sorted(set(sys.modules) & " + repr(HEAVY) + "))"
    )
    best, loaded = float("inf"), ""
    for _ in range(3):
        run = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            cwd=ROOT,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            check=False,
        )
        assert run.returncode == 0, run.stderr
        seconds, _, loaded = run.stdout.strip().partition(" ")
        best = min(best, float(seconds))
    assert loaded == "[]"
    assert best <= IMPORT_SECONDS
