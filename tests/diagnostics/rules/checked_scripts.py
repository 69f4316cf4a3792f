"""The launch scripts of this folder, checked."""

from pathlib import Path

from diagnostics.places import described_place
from diagnostics.rules.checking import check
from diagnostics.rules.foreign import Checked
from diagnostics.rules.read import open_source, read
from engine.findings import Finding

SCRIPTS = Path(__file__).parent / "scripts"


def checked(name: str, gpus: str | None = None) -> list[Checked]:
    """Every job of a script."""
    place = described_place(gpus) if gpus else None
    return [check(job, place) for job in read(open_source(SCRIPTS / name))]


def checked_text(folder: Path, text: str, name: str = "run.sh") -> Checked:
    """The one job of a text."""
    path = folder / name
    path.write_text(text)
    (job,) = read(open_source(path))
    return check(job)


def ids(found: Checked) -> dict[str, str]:
    """Severity by id."""
    return {finding.id: finding.severity for finding in found.findings}


def one(found: Checked, id: str) -> Finding:
    """The finding of that id."""
    (finding,) = [finding for finding in found.findings if finding.id == id]
    return finding
