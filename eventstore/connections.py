"""Read-only connections to a log file, lent out for one short read each, and what their errors mean."""

from __future__ import annotations

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
        self._closed = False
        self._pid = os.getpid()
        abandon_in_children(self)

    @contextmanager
    def lend(self) -> Iterator[sqlite3.Connection]:
        """A connection, outside any transaction.

        Raises:
            StoreClosed: the pool is closed, or belongs to the process that this one was forked from.
            ReadFailed, CorruptLog: for SQLite's errors inside the block.
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
        return self._open()

    def _give_back(self, connection: sqlite3.Connection) -> None:
        if os.getpid() != self._pid:
            leak(connection)
            return
        with self._lock:
            if not self._closed and len(self._idle) < MAX_IDLE:
                self._idle.append(connection)
                return
        connection.close()
