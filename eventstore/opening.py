"""Opening a log, to own it or to read it. Whatever is wrong with a path is told by a typed error, quickly."""

from __future__ import annotations

import errno
import os
import sqlite3
import time
import uuid
from collections.abc import Callable
from functools import cache

from eventstore.codec import OnUnknown
from eventstore.connections import Connect, ReaderPool, open_reading, open_writing, primary_code
from eventstore.errors import (
    EventStoreError,
    LogLocked,
    LogNotFound,
    LogNotReadable,
    LogNotWritable,
    LogTooNew,
    NotALog,
    OpenError,
)
from eventstore.locking import LogLock
from eventstore.reader import SqliteReader
from eventstore.records import Instant
from eventstore.schema import (
    APPLICATION_ID,
    DIRECTORY_MODE,
    FILE_MODE,
    SCHEMA_VERSION,
    identify,
    migrate,
    prepare_file,
)
from eventstore.store import SqliteStore
from eventstore.writer import Writer

BUSY_TIMEOUT_S = 5.0
"""How long one statement waits for a lock of another process. Only strangers can hold one that long."""
OPEN_TIMEOUT_S = 1.0
"""The same while a log is being opened."""
_BOOT_ID = "/proc/sys/kernel/random/boot_id"


@cache
def boot_id() -> str:
    """Names the boot that the monotonic clock counts from; where the platform has no name, this process."""
    try:
        with open(_BOOT_ID, encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return f"process-{uuid.uuid4()}"


def system_instant() -> Instant:
    """This moment, by the machine's clocks."""
    return Instant(time.time(), time.monotonic(), boot_id())


def open_store(
    path: str | os.PathLike[str],
    *,
    clock: Callable[[], Instant] | None = None,
    unknown: OnUnknown = "raise",
    busy_timeout_s: float = BUSY_TIMEOUT_S,
    connect: Connect = sqlite3.connect,
) -> SqliteStore:
    """Own a log: create it where there is none (directory 0700, file 0600), migrate it, and fence who owned it before.

    ``connect`` opens SQLite connections; pass another to stand between the store and its file.

    Raises:
        NotALog, LogTooNew, LogLocked, LogNotWritable, OpenError: see each; nothing in the file was changed.
    """
    name = os.path.abspath(os.fspath(path))
    found = _identify(name, connect, owning=True)
    if found is None:
        _make_directory(name)
    lock = LogLock(name)
    try:
        if found is None:
            _make_file(name)
        return _own(name, lock, clock or system_instant, unknown, busy_timeout_s, connect)
    except sqlite3.Error as error:
        lock.release()
        raise _open_error(name, error) from error
    except EventStoreError as error:
        lock.release()
        if isinstance(error.__cause__, sqlite3.Error) and not isinstance(error, OpenError):
            raise _open_error(name, error.__cause__) from error
        raise
    except BaseException:
        lock.release()
        raise


def open_reader(
    path: str | os.PathLike[str], *, unknown: OnUnknown = "raise", connect: Connect = sqlite3.connect
) -> SqliteReader:
    """Read a log, whether its owner is alive or not. With ``unknown="placeholder"``, events of types that this process
    does not know come as ``UnknownEvent``.

    Raises:
        LogNotFound, NotALog, LogTooNew, LogNotReadable, OpenError: see each.
    """
    name = os.path.abspath(os.fspath(path))
    found = _identify(name, connect, owning=False)
    if found is None:
        raise LogNotFound(name, f"there is no log at {name}")
    immutable = found == "immutable"
    pool = ReaderPool(lambda: open_reading(connect, name, busy_timeout_s=BUSY_TIMEOUT_S, immutable=immutable))
    return SqliteReader(name, pool, unknown=unknown)


def _own(
    name: str,
    lock: LogLock,
    clock: Callable[[], Instant],
    unknown: OnUnknown,
    busy_timeout_s: float,
    connect: Connect,
) -> SqliteStore:
    first = open_writing(connect, name, busy_timeout_s=OPEN_TIMEOUT_S)
    try:
        _, version, tables = identify(first)
        if not tables:
            prepare_file(first)
        if version < SCHEMA_VERSION:
            migrate(first)
    finally:
        first.close()
    writer = Writer(lambda: open_writing(connect, name, busy_timeout_s=busy_timeout_s), clock, token=uuid.uuid4().hex)
    try:
        writer.take_ownership()
    except BaseException:
        writer.close()
        raise
    pool = ReaderPool(lambda: open_reading(connect, name, busy_timeout_s=busy_timeout_s))
    return SqliteStore(name, pool, writer, lock, unknown=unknown)


def _identify(name: str, connect: Connect, *, owning: bool) -> str | None:
    """What is at a path: None for nothing yet, ``log``, or ``immutable`` for a log that can only be read as it lies.

    Only reads: a file that is not ours must stay as it is.
    """
    try:
        status = os.stat(name)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise LogNotReadable(name, f"{name}: {error.strerror}") from error
    if os.path.isdir(name):
        raise NotALog(name, f"{name} is a directory")
    if not os.path.isfile(name):
        raise NotALog(name, f"{name} is not a file")
    if status.st_size == 0:
        if owning:
            return None
        raise NotALog(name, f"{name} is empty")
    try:
        application_id, version, tables = _peek(name, connect, immutable=False)
        how = "log"
    except sqlite3.Error as error:
        application_id, version, tables = _peek_as_it_lies(name, connect, error)
        how = "immutable"
    if application_id == 0 and tables == 0 and owning:
        return None  # its creation was interrupted
    if application_id != APPLICATION_ID:
        raise NotALog(name, f"{name} is a database of another application")
    if version > SCHEMA_VERSION:
        raise LogTooNew(name, version, SCHEMA_VERSION)
    return how


def _peek(name: str, connect: Connect, *, immutable: bool) -> tuple[int, int, int]:
    connection = open_reading(connect, name, busy_timeout_s=OPEN_TIMEOUT_S, immutable=immutable)
    try:
        return identify(connection)
    finally:
        connection.close()


def _peek_as_it_lies(name: str, connect: Connect, error: sqlite3.Error) -> tuple[int, int, int]:
    """Where SQLite may create nothing beside the file, it can be read only if no WAL holds a part of the log."""
    if primary_code(error) not in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_IOERR):
        raise _open_error(name, error) from error
    try:
        wal_bytes = os.stat(name + "-wal").st_size
    except OSError:
        wal_bytes = 0
    if wal_bytes:
        raise LogNotReadable(name, f"{name}: {error}, and part of it is in its -wal file") from error
    try:
        return _peek(name, connect, immutable=True)
    except sqlite3.Error as again:
        raise _open_error(name, again) from again


def _make_directory(name: str) -> None:
    """Create the directory of a log, and only what is missing, with nobody else's permissions."""
    missing = []
    directory = os.path.dirname(name)
    while not os.path.isdir(directory):
        missing.append(directory)
        directory = os.path.dirname(directory)
    try:
        for path in reversed(missing):
            os.mkdir(path, DIRECTORY_MODE)
    except FileExistsError:
        if not os.path.isdir(os.path.dirname(name)):
            raise LogNotWritable(name, f"{os.path.dirname(name)} is not a directory") from None
    except OSError as error:
        raise LogNotWritable(name, f"{error.filename} cannot be created: {error.strerror}") from error


def _make_file(name: str) -> None:
    """Create the file ourselves: SQLite would give it the umask's permissions, and the WAL takes the file's."""
    try:
        os.close(os.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE))
    except FileExistsError:
        os.chmod(name, FILE_MODE)
    except OSError as error:
        raise LogNotWritable(name, f"{name} cannot be created: {error.strerror}") from error


def _open_error(name: str, error: sqlite3.Error) -> OpenError:
    code = primary_code(error)
    if code in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
        return NotALog(name, f"{name}: {error}")
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return LogLocked(name, f"{name}: another program keeps a lock on the file")
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM):
        return LogNotWritable(name, f"{name}: {error}")
    if code == sqlite3.SQLITE_FULL:
        return LogNotWritable(name, f"{name}: {error}", hint="free space on the disk of the log, then open it again")
    return OpenError(name, f"{name}: {error}", hint=os.strerror(errno.EIO) if code == sqlite3.SQLITE_IOERR else None)
