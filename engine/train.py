"""Entry point of every rank: `torchrun … -m engine.train --config FILE --any_parameter value`.

Also runs alone, without torchrun, as one rank.
"""

import ctypes
import os
import signal
import sys
import time
from pathlib import Path

import psutil

from engine import failure
from engine.config.flags import help_text, layers_from_command_line
from engine.config.load import resolve
from engine.config.rules import check
from engine.config.sections import RunConfig
from engine.findings import raise_errors
from engine.leaving import leave

PR_SET_PDEATHSIG = 1


def main(argv: list[str] | None = None) -> int:
    """Train; returns the exit code. A failure is recorded in `errors/` of the run directory."""
    argv = sys.argv[1:] if argv is None else argv
    if {"-h", "--help"} & set(argv):
        print(help_text("python -m engine.train"))
        return 0
    supervised_dir = os.environ.get("RFTUI_RUN_DIR")
    if supervised_dir:
        _die_with_parent()
        _redirect_output(Path(supervised_dir))
    run_dir: Path | None = Path(supervised_dir) if supervised_dir else None
    try:
        config = resolve(layers_from_command_line(argv)).config
        raise_errors(check(config, world_size=int(os.environ.get("WORLD_SIZE", "1"))))
        run_dir = run_dir or _own_run_dir(config)
        # Imported here so that a wrong configuration is reported without waiting for torch.
        from engine.session import fit

        fit(config, run_dir, close=False)
        return 0
    except BaseException as error:
        return failure.report(error, run_dir)


def _own_run_dir(config: RunConfig) -> Path:
    """Where a run started by hand lives: `run_dir`, else a new folder under runs/.

    It is named after the time that torchrun started, which its ranks agree upon.
    """
    started = psutil.Process(os.getppid() if "RANK" in os.environ else None).create_time()
    return Path(config.run.run_dir or time.strftime("runs/train-%m%d-%H%M%S", time.localtime(started)))


def _redirect_output(run_dir: Path) -> None:
    """Everything this rank prints, C libraries included, goes to its own log."""
    log = run_dir / "logs" / f"rank-{int(os.environ.get('RANK', '0')):05d}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    fd = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(fd, sys.stdout.fileno())
    os.dup2(fd, sys.stderr.fileno())
    os.close(fd)


def _die_with_parent() -> None:
    """Ask Linux to kill this rank when its launcher dies, so that none is left behind."""
    if sys.platform != "linux":
        return
    parent = os.getppid()
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if parent == 1:  # the launcher was gone before the signal was bound
        sys.exit("the launcher of this rank has died")


if __name__ == "__main__":
    leave(main())
