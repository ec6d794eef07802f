"""A file beside the log that holds space back, for the moment when its disk is full.

On a full disk SQLite can neither delete nor copy its WAL into the file, so nothing could make room any more. Retention
gives the reserve up first, and makes it again once there is space.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from eventstore.descriptors import open_descriptor
from eventstore.errors import BadRequest
from eventstore.schema import FILE_MODE, WAL_PAGES
from eventstore.shaping.limits import INT_MAX

PAGE_BYTES = 4096
RESERVE_BYTES = WAL_PAGES * PAGE_BYTES + 2 * 1024 * 1024
"""Room to copy a WAL of the usual length into the file, after which SQLite writes to it from its start again, and for
a few transactions that remove events."""
LEAST_DISKS = 32
"""A disk smaller than this many reserves has none: it would be a notable part of it."""
LEAST_FREE = 1.25
"""Free space, in reserves, without which none is made. Not more: a log with a reserve and hardly any other space can
still be helped, one with some space and no reserve cannot once that is used up."""
OPENING_BYTES = 512 * 1024
"""What is given up of it so that a log can be opened on a full disk."""


def reserve_path(log: Path) -> Path:
    """Where the reserve of a log lies."""
    return log.with_name(f"{log.name}-reserve")


def check_reserve(size_bytes: int) -> None:
    """Refuse a size that makes no sense.

    Raises:
        BadRequest: it is no whole number, or negative.
    """
    if type(size_bytes) is not int or not 0 <= size_bytes <= INT_MAX:
        raise BadRequest("reserve_bytes", size_bytes, "it must be a whole number of bytes, 0 for no reserve")


class Reserve:
    """The reserve of one log. Best effort: where none can be made there is none.

    File systems that compress or share what is written may keep no space for it.
    """

    def __init__(self, log: Path, size_bytes: int) -> None:
        self._path = reserve_path(log)
        self._size_bytes = size_bytes

    def make(self) -> None:
        """See that there is one of the right size, if there is room; with a size of 0, that there is none."""
        with contextlib.suppress(OSError):
            if not self._size_bytes:
                self._path.unlink(missing_ok=True)
            elif not self._is_whole() and self._has_room():
                self._write()

    def release(self) -> bool:
        """Give its space back. Returns whether there was any."""
        try:
            self._path.unlink()
        except OSError:
            return False
        return True

    def release_a_little(self) -> bool:
        """On a full disk, give back what opening the log takes. Returns whether there was anything to give."""
        try:
            size_bytes = self._path.stat().st_size
            if self._free_bytes() >= OPENING_BYTES or not size_bytes:
                return False
            os.truncate(self._path, max(0, size_bytes - OPENING_BYTES))
        except OSError:
            return False
        return True

    def _is_whole(self) -> bool:
        try:
            status = self._path.stat()
        except FileNotFoundError:
            return False
        allocated = getattr(status, "st_blocks", 0) * 512  # a copy of it may be all holes
        return status.st_size == self._size_bytes and allocated >= self._size_bytes

    def _has_room(self) -> bool:
        disk = os.statvfs(self._path.parent)
        large_enough = disk.f_blocks * disk.f_frsize >= LEAST_DISKS * self._size_bytes
        return large_enough and self._free_bytes() >= LEAST_FREE * self._size_bytes

    def _free_bytes(self) -> int:
        disk = os.statvfs(self._path.parent)
        return disk.f_bavail * disk.f_frsize

    def _write(self) -> None:
        self._path.unlink(missing_ok=True)
        descriptor = open_descriptor(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, FILE_MODE)
        try:
            _allocate(descriptor, self._size_bytes)
        except BaseException:
            self._path.unlink(missing_ok=True)
            raise
        finally:
            os.close(descriptor)


def _allocate(descriptor: int, size_bytes: int) -> None:
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(descriptor, 0, size_bytes)
        return
    zeros = memoryview(bytes(256 * 1024))
    for start in range(0, size_bytes, len(zeros)):
        os.pwrite(descriptor, zeros[: size_bytes - start], start)
