"""The signals that the watchdog gets, as numbers to read from a descriptor.

Talks to the interpreter's signals. What is ignored, as ``nohup`` and shells have it, stays ignored.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

CAUGHT = ("SIGTERM", "SIGINT", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGCHLD")


class Signals:
    """Caught from here on, on the main thread, until ``close``."""

    def __init__(self) -> None:
        self.reading, self._writing = os.pipe()
        os.set_blocking(self.reading, False)
        os.set_blocking(self._writing, False)
        self._before = {}
        for name in CAUGHT:
            number = getattr(signal, name, None)
            if number is None or (name != "SIGCHLD" and signal.getsignal(number) is signal.SIG_IGN):
                continue
            self._before[number] = signal.signal(number, _noted)
        self._wakeup_before = signal.set_wakeup_fd(self._writing, warn_on_full_buffer=False)

    def came(self) -> bytes:
        """The numbers of those that came since the last look, in order."""
        try:
            return os.read(self.reading, 4_096)
        except BlockingIOError:
            return b""

    def close(self) -> None:
        """Give them back."""
        signal.set_wakeup_fd(self._wakeup_before)
        for number, handler in self._before.items():
            signal.signal(number, handler)
        os.close(self.reading)
        os.close(self._writing)


def _noted(_number: int, _frame: object) -> None:
    """Nothing: the interpreter has written the number to the descriptor already."""


@contextmanager
def caught() -> Iterator[Signals]:
    """Signals caught inside the block."""
    signals = Signals()
    try:
        yield signals
    finally:
        signals.close()
