"""Where the trajectory database of a run is, and how it is opened: SQLite files read-only."""

import sqlite3
from pathlib import Path
from urllib.parse import quote

from sqlalchemy import NullPool, create_engine
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError

from engine.findings import Finding, FindingsError, Fix
from rftui.runs.rundir import RunDir
from rftui.runs.trajectories import Trajectories, unreadable
from rftui.runs.view import goes_on

BUSY_S = 1.0
"""How long a reading waits for a writer that holds the file."""


def open_trajectories(run: RunDir) -> Trajectories:
    """The database of a run's samples. FindingsError where it keeps none, or none yet."""
    path = run.path / "trajectories.db"
    if path.exists():  # without the imports that reading a configuration needs
        return _of_file(path)
    url = _configured(run)
    if url is None:
        raise FindingsError([_nothing_kept(run, path)])
    try:
        parsed = make_url(url)
        if parsed.get_backend_name() != "sqlite":
            return Trajectories(create_engine(parsed), parsed.render_as_string(hide_password=True))
    except (SQLAlchemyError, ImportError) as error:
        raise FindingsError([unreadable("the database of trajectory_url", error)]) from error
    file = Path(run.read_info().cwd or ".") / (parsed.database or "")
    if not file.is_file():
        raise FindingsError([_nothing_kept(run, file)])
    return _of_file(file)


def _of_file(path: Path) -> Trajectories:
    def connect() -> sqlite3.Connection:
        uri = f"file:{quote(str(path.absolute()))}?mode=ro"
        connection = sqlite3.connect(uri, uri=True, timeout=BUSY_S, check_same_thread=False)
        connection.text_factory = lambda raw: raw.decode(errors="replace")
        return connection

    return Trajectories(create_engine("sqlite://", creator=connect, poolclass=NullPool), str(path))


def _configured(run: RunDir) -> str | None:
    """`trajectory_url`; FindingsError where the run is set to keep nothing."""
    from engine.config.load import load_resolved

    if not run.config_path.is_file():
        return None
    logging = load_resolved(run.config_path).config.logging
    if logging.num_trajectories_to_save == 0:
        cause = "This run keeps no samples: num_trajectories_to_save is 0."
        raise FindingsError([Finding("samples.off", "info", cause, param="logging.num_trajectories_to_save")])
    return logging.trajectory_url


def _nothing_kept(run: RunDir, path: Path) -> Finding:
    if goes_on(run, unreadable=True):
        cause = f"No samples have been kept yet: {path} is not there."
        fix = Fix("wait: samples appear here by themselves as steps are done")
        return Finding(id="samples.none", severity="info", cause=cause, fixes=(fix,))
    cause = f"No samples were kept: the run has ended, and {path} is not there."
    return Finding(id="samples.none", severity="info", cause=cause)
