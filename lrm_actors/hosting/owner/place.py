"""Where the socket of a log's owner is: beside the log, or in a short private directory if that path is too long.

Talks to the file system. No path is followed through a symbolic link, and nothing is removed that is not a socket.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
from pathlib import Path

SOCKET_NAME = "lrm.sock"
LONGEST_PATH_BYTES = 100
"""Bytes of a socket's path: Linux takes 107, macOS 103."""
SHORT_ROOT = "/tmp"  # noqa: S108 - the directory below it must be ours and closed to others, or it is not used
"""Not from the environment: whoever asks may have another one than the owner."""

Identity = tuple[int, int]
"""Device and inode: which file it is, whatever its name is."""


def places(log: Path) -> tuple[Path, ...]:
    """Where the socket of a log may be, the one beside the log first."""
    # The directory is resolved: an owner that was given a link to it, and an asker that was not, mean the same log.
    log = log.parent.resolve() / log.name
    beside = log.with_name(SOCKET_NAME)
    short = short_directory(_uid_of(log)) / f"{_digest(log)}.sock"
    return (beside, short) if len(os.fsencode(beside)) <= LONGEST_PATH_BYTES else (short,)


def short_directory(uid: int) -> Path:
    """The private directory of a user's sockets whose own place is too long."""
    return Path(SHORT_ROOT, f"lrm-{uid}")


def make_private(directory: Path) -> None:
    """Make the short directory, or see that it is ours and closed to others.

    Raises:
        OSError: it is not, or it is a link, or it cannot be made.
    """
    with contextlib.suppress(FileExistsError):
        directory.mkdir(mode=0o700)
    found = directory.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or stat.S_IMODE(found.st_mode) & 0o077:
        raise PermissionError(f"{directory} is not a directory that only this user may enter")


def clear_stale(path: Path) -> None:
    """Remove the socket of an owner that is dead. Only for who owns the log: there is no other living owner.

    Raises:
        OSError: what is there is no socket, or it cannot be removed.
    """
    try:
        found = path.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(found.st_mode):
        raise FileExistsError(f"{path} is in the way: it is not a socket")
    path.unlink()


def socket_there(path: Path) -> Identity | None:
    """Which socket is there; None for nothing, a link, or anything that is no socket."""
    try:
        found = path.lstat()
    except OSError:
        return None
    return (found.st_dev, found.st_ino) if stat.S_ISSOCK(found.st_mode) else None


def _uid_of(log: Path) -> int:
    """Whose log it is, so that root finds the place of another user's."""
    for path in (log, log.parent):
        with contextlib.suppress(OSError):
            return path.stat().st_uid
    return os.geteuid()


def _digest(log: Path) -> str:
    return hashlib.sha256(os.fsencode(log)).hexdigest()[:32]
