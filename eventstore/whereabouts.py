"""Whether the files of a log that is open are still where they were opened.

Nothing tells SQLite when somebody removes or replaces them: it goes on with what is open, which is gone when the
process ends. Talks to the file system by looking at names; it opens nothing.
"""

from __future__ import annotations

import os
from pathlib import Path

from eventstore.locking import LOCK_NAME

LOOK_EVERY_S = 5.0
"""Seconds between two looks, of three calls of the operating system each, that are soon enough to lose nothing."""
LOOK_SELDOM_S = 320.0
"""The longest pause while something is wrong that cannot be mended: each is twice as long as the one before."""
REMOVED = "its file was removed"
REPLACED = "another file was put in its place"
UNMOUNTED = "the disk that it is on is not there any more"
"""Written anew it would lie below, on another disk, and be hidden as soon as its own is back."""
INCOMPLETE = "a file that belongs to it was removed"
"""Its WAL, without which the next process would miss what is only in there, or its lock, which keeps others out."""

_WAL, _LOCK = 1, 2
_MISSING = (-1, -1)


class Whereabouts:
    """Remembers which files a log consists of at this moment, and compares later.

    Args:
        path: of a log that is open, as it was opened.
    """

    def __init__(self, path: Path) -> None:
        self._paths = (path, path.with_name(f"{path.name}-wal"), path.with_name(LOCK_NAME))
        self._known = tuple(_file_known_as(one) for one in self._paths)
        self._device = _device(path.parent)

    def look(self) -> str:
        """What is wrong at this moment: ``REMOVED``, ``UNMOUNTED``, ``REPLACED``, ``INCOMPLETE``, or "" for nothing."""
        now = tuple(_file_known_as(one) for one in self._paths)
        log = now[0]
        if log == _MISSING:
            return REMOVED if _device(self._paths[0].parent) == self._device else UNMOUNTED
        if None not in (log, self._known[0]) and log != self._known[0]:
            return REPLACED
        wal_known = self._known[_WAL] not in (None, _MISSING)
        if now[_LOCK] == _MISSING or (wal_known and now[_WAL] is not None and now[_WAL] != self._known[_WAL]):
            return INCOMPLETE
        return ""

    def is_back(self) -> bool:
        """Whether the very file that was opened is in its place, as where somebody moved it to and fro."""
        return _file_known_as(self._paths[0]) == self._known[0] != _MISSING

    def clear_away(self) -> None:
        """Remove the WAL, once the log is closed, where its own file is not there: it belongs to no other.

        Raises:
            OSError: it cannot be removed.
        """
        path, wal, _ = self._paths
        if _file_known_as(path) == _MISSING and _file_known_as(wal) == self._known[_WAL]:
            wal.unlink(missing_ok=True)
            path.with_name(f"{path.name}-shm").unlink(missing_ok=True)


def pause_after(pause_s: float, trouble: str) -> float:
    """Seconds until the next look, after one that came so long after the one before and found this."""
    return min(2 * pause_s, LOOK_SELDOM_S) if trouble else LOOK_EVERY_S


def _file_known_as(path: Path) -> tuple[int, int] | None:
    """Which file has a name, or that none has; None where that cannot be said now: it need not be gone."""
    try:
        found = os.stat(path)  # noqa: PTH116 - what it says is compared, whatever the file is
    except (FileNotFoundError, NotADirectoryError):
        return _MISSING
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _device(directory: Path) -> int | None:
    """Number of the file system that a directory is on, or would be made on; None where that cannot be said."""
    for one in (directory, *directory.parents):
        found = _file_known_as(one)
        if found != _MISSING:
            return None if found is None else found[0]
    return None
