"""The pipe that heartbeats come through.

Talks to the operating system. The process gets an end that it can read and write, where the platform lets a pipe be
opened so (Linux): writing to it then never fails because the watchdog died, and never waits.
"""

from __future__ import annotations

import os
from pathlib import Path

from lrm_actors.domain.outliving import environment as names

READ_BYTES = 65_536
MOST_S, LEAST_S = 5.0, 0.02
"""Seconds between two heartbeats, at most and at least."""
PER_TIMEOUT = 4
"""Heartbeats that are wanted in the time after which one is missed."""


class HeartbeatPipe:
    """One process's."""

    def __init__(self) -> None:
        self.reading, writing = os.pipe()
        os.set_blocking(self.reading, False)
        os.set_blocking(writing, False)
        self.writing = _opened_both_ways(writing)
        self._open = True

    def variables(self, timeout_s: float, step_timeout_s: float) -> dict[str, str]:
        """What the process is told of it.

        Args:
            timeout_s: without a heartbeat.
            step_timeout_s: for a step of a host that has no event loop.
        """
        seen = os.fstat(self.writing)
        every_s = min(MOST_S, max(LEAST_S, timeout_s / PER_TIMEOUT))
        return {
            names.HEARTBEAT_FD: str(self.writing),
            names.HEARTBEAT_PIPE: f"{seen.st_dev}:{seen.st_ino}",
            names.HEARTBEAT_EVERY_S: f"{every_s:g}",
            names.STEP_TIMEOUT_S: f"{step_timeout_s:g}",
        }

    def handed_over(self) -> None:
        """The process has its end: let go of ours."""
        if self._open:
            os.close(self.writing)
            self._open = False

    def came(self) -> bytes:
        """What came since the last look."""
        try:
            return os.read(self.reading, READ_BYTES)
        except BlockingIOError:
            return b""

    def close(self) -> None:
        """Let go of it."""
        self.handed_over()
        os.close(self.reading)


def _opened_both_ways(writing: int) -> int:
    way = Path(f"/proc/self/fd/{writing}")
    try:
        both = os.open(way, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return writing
    os.close(writing)
    return both
