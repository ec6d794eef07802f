"""What is at a path before it is opened as a log, and which typed error says what is wrong with it. Only reads."""

from __future__ import annotations

import errno
import os
import sqlite3
import stat
from pathlib import Path

from eventstore.connections import Connect, open_reading, primary_code, read_error
from eventstore.errors import (
    NOT_ALLOWED,
    CorruptLog,
    EventStoreError,
    LogLocked,
    LogNotReadable,
    LogNotWritable,
    LogTooNew,
    NotALog,
    OpenError,
    TailMissing,
)
from eventstore.mark import read_mark
from eventstore.schema import APPLICATION_ID, SCHEMA_VERSION, identify

OPEN_TIMEOUT_S = 1.0
"""How long one statement waits for a lock of another process while a log is being opened."""
SMALLEST_FILE = 512
"""Bytes of the smallest SQLite database."""


def identify_path(log: Path, connect: Connect, *, owning: bool) -> str | None:
    """What is at a path: None for nothing yet, ``log``, or ``immutable`` for a log that can only be read as it lies.

    A file that is not ours must stay as it is.

    Raises:
        NotALog, LogTooNew, LogLocked, LogNotReadable, TailMissing, CorruptLog, OpenError: see each.
    """
    try:
        status = log.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        hint = NOT_ALLOWED if isinstance(error, PermissionError) else "check the path"
        raise LogNotReadable(str(log), f"{log}: {error.strerror}", hint=hint) from error
    if not stat.S_ISREG(status.st_mode):
        raise NotALog(str(log), f"{log} is not a file")
    if status.st_size == 0 and owning:
        return None
    if status.st_size == 0:
        check_nothing_lost(log, connect)
    if status.st_size < SMALLEST_FILE:  # SQLite would take some of these for empty databases
        raise NotALog(str(log), f"{log} is too short to be a log")
    try:
        application_id, version, tables = _peek(log, connect, immutable=False)
        kind = "log"
    except sqlite3.Error as error:
        application_id, version, tables = _peek_as_it_lies(log, connect, error)
        kind = "immutable"
    if application_id == 0 and tables == 0:  # its creation was interrupted
        if owning:
            return None
        check_nothing_lost(log, connect)
        raise NotALog(str(log), f"{log} is empty")
    if application_id != APPLICATION_ID:
        raise NotALog(str(log), f"{log} is a database of another application")
    if version > SCHEMA_VERSION:
        raise LogTooNew(str(log), version, SCHEMA_VERSION)
    return kind


def _peek(log: Path, connect: Connect, *, immutable: bool) -> tuple[int, int, int]:
    connection = open_reading(connect, log, busy_timeout_s=OPEN_TIMEOUT_S, immutable=immutable)
    try:
        return identify(connection)
    finally:
        connection.close()


def _peek_as_it_lies(log: Path, connect: Connect, error: sqlite3.Error) -> tuple[int, int, int]:
    """Where SQLite may create nothing beside the file, it can be read only if no WAL holds a part of the log."""
    if primary_code(error) not in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_IOERR):
        raise open_error(log, error) from error
    if not os.access(log, os.R_OK):
        raise LogNotReadable(str(log), f"{log}: {os.strerror(errno.EACCES)}", hint=NOT_ALLOWED) from error
    wal = log.with_name(log.name + "-wal")
    if wal.exists() and wal.stat().st_size:
        raise LogNotReadable(str(log), f"{log}: {error}, and a part of it is in {wal.name}") from error
    try:
        return _peek(log, connect, immutable=True)
    except sqlite3.Error as again:
        if primary_code(again) == sqlite3.SQLITE_CANTOPEN:
            raise LogNotReadable(str(log), f"{log}: {again}") from again
        raise open_error(log, again) from again


def check_nothing_lost(log: Path, connect: Connect) -> None:
    """Refuse a file without a log in it, under a mark that says that there was one: a WAL held all of it, and is gone.

    Raises:
        TailMissing: so it is. Where there is no file either, somebody took it away, and a new log may begin.
    """
    mark = read_mark(log) if log.exists() else None
    if mark is not None and (mark.position or mark.commits) and _is_blank(log, connect):
        raise TailMissing(str(log), 0, mark.position)


def _is_blank(log: Path, connect: Connect) -> bool:
    """Whether a file holds nothing, looked at after its mark: whoever makes a log writes that last."""
    try:
        application_id, _, tables = _peek(log, connect, immutable=False)
    except sqlite3.Error:
        return False
    return application_id == 0 and tables == 0


def open_error(log: Path, error: sqlite3.Error) -> EventStoreError:
    """The typed form of an error met while a log is opened."""
    code = primary_code(error)
    if code == sqlite3.SQLITE_NOTADB:
        return NotALog(str(log), f"{log}: {error}")
    if isinstance(damage := read_error(error), CorruptLog):
        return damage.in_file(str(log))
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return LogLocked(str(log), f"{log}: another program keeps a lock on the file")
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM):
        return LogNotWritable(str(log), f"{log}: {error}")
    if code == sqlite3.SQLITE_FULL:
        return LogNotWritable(str(log), f"{log}: {error}", hint="free space on the disk of the log, then open it again")
    return OpenError(str(log), f"{log}: {error}", hint="check the disk; nothing in the log was changed")
