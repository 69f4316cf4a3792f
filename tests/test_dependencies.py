"""What the packages import is what `pyproject.toml` says they need, and a wheel holds more than modules."""

import importlib.metadata
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from tests.test_arrows import PACKAGES, ROOT, files, imported

SHIPPED = (".yaml", ".tcss", ".py")


def test_every_import_is_a_declared_dependency() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    optional = [need for extra in project["optional-dependencies"].values() for need in extra]
    named = [re.split(r"[<>=!\[; ]", need)[0] for need in (*project["dependencies"], *optional)]
    declared = {_normal(name) for name in named}
    owners = importlib.metadata.packages_distributions()
    missing = {
        f"{path.relative_to(ROOT)}:{line} {module}"
        for package in PACKAGES
        for path in files(package)
        for module, line in imported(path)
        if (top := module.partition(".")[0]) not in {*PACKAGES, *sys.stdlib_module_names}
        and not declared & {_normal(owner) for owner in (*owners.get(top, ()), top)}
    }
    assert missing == set()


def test_wheel_holds_style_sheets_and_presets(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(tmp_path), "."]
    done = subprocess.run(build, cwd=ROOT, capture_output=True, text=True, timeout=200)
    if done.returncode and "hatchling" in done.stderr:
        pytest.skip("building needs hatchling, which could not be fetched")
    assert done.returncode == 0, done.stderr
    inside = set(zipfile.ZipFile(next(tmp_path.glob("*.whl"))).namelist())
    kept = [path for package in PACKAGES for path in (ROOT / package).rglob("*") if path.suffix in SHIPPED]
    assert kept and {str(path.relative_to(ROOT)) for path in kept} <= inside


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
