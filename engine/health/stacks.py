"""Where every thread of this process is, told on SIGUSR1, also while it hangs in native code."""

import faulthandler
import os
import signal
from pathlib import Path


class StackDumps:
    """Appends the stacks of all threads to a file whenever the process gets SIGUSR1, until closed."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("a")
        self._size = self._size_now()
        faulthandler.register(signal.SIGUSR1, file=self._file, all_threads=True)

    def asked(self) -> bool:
        """Whether stacks were asked for, and written, since the last call."""
        before, self._size = self._size, self._size_now()
        return self._size > before

    def close(self) -> None:
        """Stop listening. The signal's default action, which ends the process, is in place again."""
        faulthandler.unregister(signal.SIGUSR1)
        self._file.close()

    def _size_now(self) -> int:
        return os.fstat(self._file.fileno()).st_size
