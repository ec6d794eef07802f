"""What the process and everything below it hold in memory, what they share counted once.

Talks to the operating system.
"""

from __future__ import annotations

from lrm_actors.actors.sampling.tree import LinuxTree

LOOK_EVERY_S = 1.0
LOOKS_ABOVE = 2
"""Looks in a row that must find too much: a process that is just starting another holds twice as much for a moment."""


class MemoryWatch:
    """Looks at one process now and then.

    Args:
        pid: the process.
        limit_bytes: what it may hold.
    """

    def __init__(self, pid: int, limit_bytes: int) -> None:
        self._pid = pid
        self._limit_bytes = limit_bytes
        self._above = 0
        self.problem = ""
        """Why the last look told nothing."""

    def look(self) -> int | None:
        """What it holds, if that was too much so often in a row; None otherwise."""
        try:
            held = _held_bytes(self._pid)
            self.problem = ""
        except ProcessLookupError:
            return None
        except Exception as error:  # noqa: BLE001 - whatever a platform says; the watch goes on
            self.problem = f"{type(error).__name__}: {error}"
            return None
        self._above = self._above + 1 if held > self._limit_bytes else 0
        return held if self._above >= LOOKS_ABOVE else None


def _held_bytes(pid: int) -> int:
    try:
        return LinuxTree(pid=pid).look().resident_bytes()
    except FileNotFoundError:
        import psutil

        try:
            top = psutil.Process(pid)
            return sum(int(one.memory_info().rss) for one in (top, *top.children(recursive=True)))
        except psutil.NoSuchProcess as error:
            raise ProcessLookupError(pid) from error
