"""One owner per log: an OS lock on ``lrm.lock`` beside the file, which a killed process cannot keep."""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path

from eventstore.errors import LogLocked, LogNotWritable
from eventstore.forking import abandon_in_children

LOCK_NAME = "lrm.lock"


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
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.pread(fd, 20, 0).decode("ascii", "replace").strip()
            self.release()
            if error.errno in (errno.EAGAIN, errno.EACCES):
                raise LogLocked(str(log_path), f"{log_path} is owned by process {holder or 'unknown'}") from None
            raise LogNotWritable(str(log_path), f"{path} cannot be locked: {error.strerror}") from error
        with contextlib.suppress(OSError):  # only for the message that others get; a full disk may refuse it
            os.ftruncate(fd, 0)
            os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
        abandon_in_children(self)

    def release(self) -> None:
        """Let others own the log. Idempotent."""
        fd, self._fd = self._fd, None
        if fd is not None:
            os.close(fd)

    def abandon(self) -> None:
        """A child shares the lock itself, not a copy of it: holding on would keep the log locked after its parent."""
        self.release()
