"""`rft` as a child process: what takes long or needs more of the machine than a screen may."""

import asyncio
import contextlib
import sys
from collections.abc import Callable

TICK_S = 0.5


async def rft(*arguments: str, tick: Callable[[float], object] = lambda seconds: None) -> tuple[int, str]:
    """Run a verb; its exit code and all it printed. `tick` is told the seconds it has taken, now and then.

    Ended with the program, or when the waiting task is cancelled.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-c", "from rftui.cli.app import main; main()"),
        *arguments,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    talking = asyncio.ensure_future(process.communicate())
    seconds = 0.0
    try:
        while not (await asyncio.wait({talking}, timeout=TICK_S))[0]:
            seconds += TICK_S
            tick(seconds)
        said, _ = talking.result()
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
    return process.returncode or 0, said.decode(errors="replace").strip()
