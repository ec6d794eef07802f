"""What an error of SQLite says of a transaction: certainly not stored, or nobody knows."""

from __future__ import annotations

import errno
import sqlite3

from eventstore.connections import primary_code
from eventstore.errors import AppendFailed, StorageFull


def failure(error: Exception) -> AppendFailed:
    """The typed form of an error met before any commit was tried."""
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return StorageFull(str(error))
    if isinstance(error, sqlite3.Error):
        code = primary_code(error)
        if code == sqlite3.SQLITE_FULL:
            return StorageFull(str(error))
        if code == sqlite3.SQLITE_BUSY:
            return AppendFailed(str(error), hint="something else is writing to this file; find out what")
    return AppendFailed(str(error))


def is_before_commit(error: Exception) -> bool:
    """Whether a statement that is a transaction by itself certainly failed before it began to commit.

    It was never run, or the lock was not to be had, or a constraint is violated; the log has none that waits for the
    commit. All else may come from the commit, a full disk too: of a frame that was half written before, in the place of
    an older one, the rest may be what it was to be.
    """
    if isinstance(error, sqlite3.Error):
        return primary_code(error) in (sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_BUSY)
    return isinstance(error, OverflowError)
