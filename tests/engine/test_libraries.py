"""A library that is missing, too old or too new is told with what to install."""

from importlib.metadata import version

import pytest

from engine.findings import EXIT_UNFIT, FindingsError
from engine.libraries import require

PYTEST = int(version("pytest").split(".")[0])


def test_a_supported_version_is_returned_whichever_name_it_is_published_under() -> None:
    assert require("not-there-gpu", "pytest", extra="test", minimum="8") == version("pytest")
    assert require("pytest", extra="test", minimum=f"{PYTEST}", below=f"{PYTEST + 1}") == version("pytest")


@pytest.mark.parametrize(
    ("package", "minimum", "below", "id", "said"),
    [
        ("not-there", "0.20", "0.33", "environment.missing-extra", "not-there>=0.20,<0.33"),
        ("pytest", f"{PYTEST + 1}", None, "environment.unsupported-version", version("pytest")),
        ("pytest", "1", f"{PYTEST}", "environment.unsupported-version", f"pytest>=1,<{PYTEST}"),
    ],
)
def test_anything_else_names_the_versions_and_the_command(
    package: str, minimum: str, below: str | None, id: str, said: str
) -> None:
    with pytest.raises(FindingsError) as caught:
        require(package, extra="bench", minimum=minimum, below=below)
    assert caught.value.exit_code == EXIT_UNFIT
    (finding,) = caught.value.findings
    assert finding.id == id
    assert said in finding.cause
    assert finding.fixes[0].command == "pip install 'rftui[bench]'"
