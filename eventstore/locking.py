"""One owner per log: an OS lock on ``lrm.lock`` beside the file, which a killed process cannot keep."""

from __future__ import annotations

import errno
import os
import weakref

from eventstore.errors import LogLocked, LogNotWritable

LOCK_NAME = "lrm.lock"

_held: weakref.WeakSet[LogLock] = weakref.WeakSet()


class LogLock:
    """The lock of one log's directory, held from construction to ``release``.

    Raises:
        LogLocked: another process holds it, or this one already does.
        LogNotWritable: the lock file cannot be made.
    """

    def __init__(self, log_path: str) -> None:
        import fcntl  # noqa: PLC0415 - POSIX only; importing the package must work everywhere

        path = os.path.join(os.path.dirname(log_path), LOCK_NAME)
        try:
            self._fd: int | None = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise LogNotWritable(log_path, f"{path} cannot be created: {error.strerror}") from error
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.read(self._fd, 20).decode("ascii", "replace").strip()
            self.release()
            if error.errno in (errno.EAGAIN, errno.EACCES):
                raise LogLocked(log_path, f"{log_path} is owned by process {holder or 'unknown'}") from None
            raise LogNotWritable(log_path, f"{path} cannot be locked: {error.strerror}") from error
        self._sign()
        _held.add(self)

    def release(self) -> None:
        """Let others own the log. Idempotent."""
        fd, self._fd = self._fd, None
        if fd is not None:
            os.close(fd)

    def _sign(self) -> None:
        """Write who holds it, for the message that others get. A full disk may prevent it; the lock holds all the same."""
        fd = self._fd
        if fd is None:
            return
        try:
            os.ftruncate(fd, 0)
            os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
        except OSError:
            pass


def _let_go_in_child() -> None:
    """A forked child shares the lock's file description and would keep the lock alive after its parent."""
    for lock in list(_held):
        lock.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_let_go_in_child)
