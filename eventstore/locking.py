"""One owner per log: an OS lock on ``lrm.lock`` beside the file, which a killed process cannot keep."""

from __future__ import annotations

import contextlib
import errno
import os
import time
from collections.abc import Callable
from pathlib import Path

from eventstore.descriptors import open_descriptor
from eventstore.errors import LogLocked, LogNotWritable
from eventstore.forking import abandon_in_children

LOCK_NAME = "lrm.lock"
PATIENCE_S, PAUSE_S = 0.25, 0.01
"""How long a held lock is tried again. Who only asks whether a log is owned holds it for microseconds, and a child of a
killed owner shares it until its ``exec``; neither is an owner."""
HELD = (errno.EAGAIN, errno.EACCES)
READ_BYTES = 300
"""Of what stands in the file: a process and a file's name."""
_ours: dict[tuple[int, int], str] = {}
"""Locks that this process holds, by device and inode of the file, and the names of the logs that they are held for."""


class LogLock:
    """The lock of one log's directory, held from construction to ``release``.

    Raises:
        LogLocked: another process holds it, or this one already does.
        LogNotWritable: the lock file cannot be made.
    """

    def __init__(self, log_path: Path) -> None:
        import fcntl  # POSIX only, and importing the package must work everywhere

        path = log_path.with_name(LOCK_NAME)
        try:
            fd = open_descriptor(path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise LogNotWritable(str(log_path), f"{path} cannot be opened: {error.strerror}") from error
        self._fd: int | None = fd
        self._key: tuple[int, int] | None = None
        try:
            _lock(lambda: fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB))
            status = os.fstat(fd)
            self._key = status.st_dev, status.st_ino
            _ours[self._key] = name = _spelled(log_path.name)
            with contextlib.suppress(OSError):  # only for the message that others get; a full disk may refuse it
                os.ftruncate(fd, 0)
                os.pwrite(fd, f"{os.getpid()}\n{name}\n".encode(), 0)
        except OSError as error:
            refused = _refused(log_path, fd) if error.errno in HELD else None
            self.release()
            if refused is not None:
                raise refused from None
            raise LogNotWritable(str(log_path), f"{path} cannot be locked: {error.strerror}") from error
        except BaseException:
            self.release()
            raise
        abandon_in_children(self)

    def release(self) -> None:
        """Let others own the log. Idempotent."""
        fd, self._fd = self._fd, None
        key, self._key = self._key, None
        if key is not None:
            _ours.pop(key, None)
        if fd is not None:
            os.close(fd)

    def abandon(self) -> None:
        """A child shares the lock itself, not a copy of it: holding on would keep the log locked after its parent."""
        self.release()


def read_holder(descriptor: int) -> tuple[str, str]:
    """Who wrote into a lock file last: the number of the process and the name of its log, each empty if unknown.

    Raises:
        OSError: it cannot be read.
    """
    pid, *rest = os.pread(descriptor, READ_BYTES, 0).decode("utf-8", "replace").split("\n")
    if not (pid.isascii() and pid.isdigit()):
        return "", ""
    return pid, rest[0] if rest else ""


def _spelled(name: str) -> str:
    """A file's name as it stands in a lock file: one line of text, whatever it is made of."""
    return name.encode("utf-8", "replace").decode().replace("\n", "?")


def _refused(log: Path, descriptor: int) -> LogLocked:
    """The error for a lock that is held, which says by whom and for what, as far as that is known."""
    status = os.fstat(descriptor)
    here = _ours.get((status.st_dev, status.st_ino))
    try:
        pid, name = read_holder(descriptor)
    except OSError:
        pid, name = "", ""
    if here is not None:
        pid, name = str(os.getpid()), here
    who = f"process {pid or 'unknown'}" + (" (this one)" if here is not None else "")
    if name and name != _spelled(log.name):
        told = f"{log} cannot be owned: {who} owns {name} in the same directory, and {LOCK_NAME} is one for all of it"
        return LogLocked(str(log), told, hint="give each log a directory of its own; reading needs no ownership")
    if here is not None:
        return LogLocked(
            str(log),
            f"{log} is owned by {who}, where it is open already",
            hint="use the store that is open, or close it first; reading needs no ownership",
        )
    if pid == str(os.getpid()):  # numbers of processes repeat from one container to the next
        who += " of another container"
    return LogLocked(str(log), f"{log} is owned by {who}")


def _lock(attempt: Callable[[], None]) -> None:
    """Take the lock, or raise what stands in the way after a moment's patience."""
    until_s = time.monotonic() + PATIENCE_S
    while True:
        try:
            return attempt()
        except OSError as error:
            if error.errno not in HELD or time.monotonic() >= until_s:
                raise
        time.sleep(PAUSE_S)
