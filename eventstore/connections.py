"""Read-only connections to a log file, lent out for one short read each, and what their errors mean."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
import urllib.parse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

from eventstore.errors import BadRequest, CorruptLog, EventStoreError, ReadFailed, StoreClosed
from eventstore.forking import abandon_in_children, leak
from eventstore.schema import configure_reader

Connect: TypeAlias = Callable[..., sqlite3.Connection]
"""What opens a connection: ``sqlite3.connect``, or the same with a wrapper around it."""

MAX_IDLE = 4
"""Connections kept open between reads. More exist only while more threads read at the same moment."""


def open_writing(connect: Connect, path: Path, *, busy_timeout_s: float) -> sqlite3.Connection:
    """The connection that writes. Transactions are ours alone, hence ``isolation_level=None``."""
    return connect(
        file_uri(path, "mode=rw"), timeout=busy_timeout_s, isolation_level=None, check_same_thread=False, uri=True
    )


def open_reading(connect: Connect, path: Path, *, busy_timeout_s: float, immutable: bool = False) -> sqlite3.Connection:
    """A connection that can only read. ``immutable`` is for a file that nobody can be writing."""
    query = "mode=ro&immutable=1" if immutable else "mode=ro"
    connection = connect(
        file_uri(path, query), timeout=busy_timeout_s, isolation_level=None, check_same_thread=False, uri=True
    )
    try:
        configure_reader(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def file_uri(path: Path, query: str) -> str:
    """The URI form of a path, which alone can ask for a read-only connection."""
    return f"file:{urllib.parse.quote(os.fsencode(path))}?{query}"


def primary_code(error: sqlite3.Error) -> int:
    """SQLite's primary result code of an error, 0 when it has none."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def read_error(error: sqlite3.Error | UnicodeError) -> EventStoreError:
    """The typed form of an error met while reading."""
    if isinstance(error, UnicodeEncodeError):
        return BadRequest("name", error.object, error.reason)
    if isinstance(error, UnicodeError):
        return CorruptLog(f"text that is none: {error}")
    if primary_code(error) in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB) or _is_no_text(error):
        return CorruptLog(str(error))
    return ReadFailed(str(error))


def _is_no_text(error: sqlite3.Error) -> bool:
    """Whether bytes in a column of text are none. That error is Python's own and has no code."""
    return primary_code(error) == 0 and str(error).startswith("Could not decode to UTF-8")


def closed_error(pid: int) -> StoreClosed:
    """Why a handle that was opened by process ``pid`` cannot be used."""
    if os.getpid() != pid:
        return StoreClosed("this handle belongs to the parent process", hint="open the log again in the child")
    return StoreClosed("this handle was closed")


def _file_to_open(path: str) -> tuple[int, int] | None:
    """Which file would be opened under a name now; None where none can be, whatever stands in the way."""
    try:
        status = os.stat(path)  # noqa: PTH116 - what it says is compared, whatever the file is
    except OSError:
        return None
    return status.st_dev, status.st_ino


COMES_BACK_S = 1.0
"""How long to wait for a connection that is lent out, where no other can be opened to the same file."""


class ReaderPool:
    """Lends read-only connections. Each is used by one thread at a time, for one page.

    Args:
        open_connection: opens one.
        path: of the log, which an error names.
    """

    def __init__(self, open_connection: Callable[[], sqlite3.Connection], path: str) -> None:
        self._open = open_connection
        self._path = path
        self._idle: list[sqlite3.Connection] = []
        self._lock = threading.Lock()
        self._returned = threading.Condition(self._lock)
        self._closed = False
        self._pid = os.getpid()
        self._file: tuple[int, int] | None = None
        """Device and inode of the only file to open; None: whatever has the name."""
        abandon_in_children(self)

    def keep_to_this_file(self) -> None:
        """Open no other file that gets the name later, and have the one that is there now open already.

        What was removed or replaced can then still be read and copied, and nothing else is taken for it.
        """
        self._file = _file_to_open(self._path)
        with contextlib.suppress(ReadFailed, CorruptLog), self.lend() as connection:  # whoever reads is told
            connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()  # this opens its WAL too

    @contextmanager
    def lend(self) -> Iterator[sqlite3.Connection]:
        """A connection, outside any transaction.

        Raises:
            StoreClosed: the pool is closed, or belongs to the process that this one was forked from.
            ReadFailed, CorruptLog: for SQLite's errors inside the block, and where another file has the name by now.
            BadRequest: for text that SQLite cannot hold.
        """
        connection: sqlite3.Connection | None = None
        try:
            connection = self._take()
            yield connection
        except (sqlite3.Error, UnicodeError) as error:
            if connection is not None:
                connection.close()
                connection = None
            typed = read_error(error)
            raise (typed.in_file(self._path) if isinstance(typed, CorruptLog) else typed) from error
        except CorruptLog as error:
            error.in_file(self._path)
            raise
        finally:
            if connection is not None:
                self._give_back(connection)

    @property
    def is_open(self) -> bool:
        """Whether there is anything to lend."""
        return not self._closed

    def check_open(self) -> None:
        """Refuse use after ``close``, and use in a forked child.

        Raises:
            StoreClosed: it is either.
        """
        if self._closed:
            raise closed_error(self._pid)

    def close(self) -> None:
        """Close what is idle now, and what is lent as it comes back."""
        if self._closed:
            return
        with self._lock:
            self._closed = True
            self._returned.notify_all()
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def abandon(self) -> None:
        """Never touch the parent's connections from a child. The lock may be held by a thread that is not here."""
        self._closed = True
        leak(self._idle)

    def _take(self) -> sqlite3.Connection:
        self.check_open()
        with self._lock:
            if self._idle:
                return self._idle.pop()
        try:
            return self._open_one()
        except (ReadFailed, sqlite3.Error):
            lent = None if self._file is None else self._wait_for_one()
            if lent is None:
                raise
            return lent

    def _open_one(self) -> sqlite3.Connection:
        connection = self._open()
        if self._file is not None and self._file != _file_to_open(self._path):
            connection.close()
            raise ReadFailed(f"another file was put in the place of {self._path}")
        return connection

    def _wait_for_one(self) -> sqlite3.Connection | None:
        """One that comes back, where no more can be opened: pages are short."""
        with self._returned:
            self._returned.wait_for(lambda: self._idle or self._closed, COMES_BACK_S)
            return self._idle.pop() if self._idle else None

    def _give_back(self, connection: sqlite3.Connection) -> None:
        if os.getpid() != self._pid:
            leak(connection)
            return
        with self._lock:
            if not self._closed and len(self._idle) < MAX_IDLE:
                self._idle.append(connection)
                self._returned.notify()
                return
        connection.close()
