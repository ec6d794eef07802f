"""One owner per log: an OS lock on ``lrm.lock`` beside the file, which a killed process cannot keep."""

from __future__ import annotations

import contextlib
import errno
import os
import time
from collections.abc import Callable
from pathlib import Path

from eventstore.errors import LogLocked, LogNotWritable
from eventstore.forking import abandon_in_children

LOCK_NAME = "lrm.lock"
PATIENCE_S, PAUSE_S = 0.25, 0.01
"""How long a held lock is tried again. Who only asks whether a log is owned holds it for microseconds, and a child of a
killed owner shares it until its ``exec``; neither is an owner."""
HELD = (errno.EAGAIN, errno.EACCES)


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
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise LogNotWritable(str(log_path), f"{path} cannot be opened: {error.strerror}") from error
        self._fd: int | None = fd
        try:
            _lock(lambda: fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB))
            with contextlib.suppress(OSError):  # only for the message that others get; a full disk may refuse it
                os.ftruncate(fd, 0)
                os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
        except OSError as error:
            holder = os.pread(fd, 20, 0).decode("ascii", "replace").strip()
            self.release()
            if error.errno in HELD:
                raise LogLocked(str(log_path), f"{log_path} is owned by process {holder or 'unknown'}") from None
            raise LogNotWritable(str(log_path), f"{path} cannot be locked: {error.strerror}") from error
        except BaseException:
            self.release()
            raise
        abandon_in_children(self)

    def release(self) -> None:
        """Let others own the log. Idempotent."""
        fd, self._fd = self._fd, None
        if fd is not None:
            os.close(fd)

    def abandon(self) -> None:
        """A child shares the lock itself, not a copy of it: holding on would keep the log locked after its parent."""
        self.release()


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
