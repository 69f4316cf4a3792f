"""A log in the pager that the user likes."""

import os
import shlex
import shutil
from collections.abc import Mapping
from pathlib import Path


def pager_command(path: Path, offset: int, environ: Mapping[str, str] = os.environ) -> list[str]:
    """`$PAGER`, else less, else more; less opens at the byte. ValueError when `$PAGER` is no command."""
    words = shlex.split(environ.get("PAGER", "")) or (["less"] if shutil.which("less") else ["more"])
    if Path(words[0]).name == "less":
        return [*words, "-R", f"+{offset}P", "--", str(path)]
    return [*words, str(path)]
