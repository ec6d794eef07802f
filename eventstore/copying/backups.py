"""An online backup: a log's file as it is at one moment, copied by SQLite itself while its owner goes on writing."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import attrs

from eventstore.connections import ReaderPool, file_uri, primary_code, read_error
from eventstore.copying.placing import check_free, placed
from eventstore.errors import CopyFailed
from eventstore.reader import SqliteReader
from eventstore.records import Problem, Verification

PAGES_AT_ONCE = 1024
"""Pages that are copied in one step, during which other threads of this process wait."""


@attrs.frozen
class BackedUp:
    """What a backup holds."""

    path: Path
    head: int
    """Position of its last event."""
    events: int
    size_bytes: int
    problems: tuple[Problem, ...] = ()
    """What is damaged in it, as in the log."""


def backup(
    source: SqliteReader | str | os.PathLike[str], target: str | os.PathLike[str], *, even_damaged: bool = False
) -> BackedUp:
    """Copy a log, alive or not, into a new file, mode 0600, that opens as a log; verify it, and only then name it.

    A reader or a store gives the log that it has open, also where its file was removed or replaced since. Its owner
    goes on appending; only the WAL grows meanwhile, as with any reader. An encrypted log needs no key.

    Args:
        source: the log: its path, or a reader or store of it.
        target: the new file. Missing directories are made.
        even_damaged: copy a log with damage in it too, as it is: no more than in the log may be damaged in the copy.

    Raises:
        LogExists: there is something at ``target``, or beside it what would be taken for a part of it.
        CopyFailed: the copy cannot be written, or is not whole; nothing is left of it.
        LogNotFound, NotALog, LogTooNew, LogNotReadable, OpenError, ReadFailed, CorruptLog: the log cannot be read.
    """
    place = Path(os.path.abspath(target))  # noqa: PTH100 - links stay as they are
    check_free(place)
    with _pool_of(source) as pool, placed(place) as copy:
        with pool.lend() as connection:
            _copy(connection, copy, place)
        checked, problems = _problems_of(copy)
        if problems and not (even_damaged and _has_them_too(source, problems)):
            raise _damaged(place, problems[0])
    return BackedUp(place, checked.head, checked.events, place.stat().st_size, problems)


@contextmanager
def _pool_of(source: SqliteReader | str | os.PathLike[str]) -> Iterator[ReaderPool]:
    if isinstance(source, SqliteReader) and source.pool.is_open:
        yield source.pool
        return
    from eventstore.opening import open_pool

    _, pool = open_pool(source.path if isinstance(source, SqliteReader) else source)
    with contextlib.closing(pool):
        yield pool


def check_copy(copy: Path, target: Path) -> Verification:
    """Verify a new file before it gets its name.

    Raises:
        CopyFailed: something in it is not as it was written.
    """
    result, problems = _problems_of(copy)
    if problems:
        raise _damaged(target, problems[0])
    return result


def _problems_of(copy: Path) -> tuple[Verification, tuple[Problem, ...]]:
    from eventstore.opening import open_reader

    with open_reader(copy, unknown="placeholder") as reader:
        result = reader.verify()
    # Whether an event can be decoded is a matter of this program's classes.
    return result, tuple([problem for problem in result.problems if problem.what != "decode"])


def _has_them_too(source: SqliteReader | str | os.PathLike[str], problems: Sequence[Problem]) -> bool:
    """Whether the log itself is damaged in the same places, so that nothing went wrong when it was copied."""
    from eventstore.opening import open_reader

    if isinstance(source, SqliteReader) and source.pool.is_open:
        known = source.verify().problems
    else:
        with open_reader(source.path if isinstance(source, SqliteReader) else source, unknown="placeholder") as reader:
            known = reader.verify().problems
    return {(one.what, one.position) for one in problems} <= {(one.what, one.position) for one in known}


def _damaged(target: Path, first: Problem) -> CopyFailed:
    hint = (
        "run 'lrm verify' on the log: what is damaged there is damaged in a copy too; 'lrm backup --even-damaged' "
        "copies it as it is, and 'lrm salvage' makes a new log of what is whole"
    )
    return CopyFailed(str(target), said(first), hint=hint)


def said(problem: Problem) -> str:
    """A problem in words: what it is, and where."""
    where = "" if problem.position is None else f" at position {problem.position}"
    return f"{problem.what}{where}: {problem.detail}"


def _copy(connection: sqlite3.Connection, copy: Path, place: Path) -> None:
    """Page by page, all of one moment: a read transaction of our own keeps the steps from starting anew.

    A failure of the log's own file is told as such, and left to the pool.
    """
    target = sqlite3.connect(file_uri(copy, "mode=rw"), uri=True, isolation_level=None)
    with contextlib.closing(target):
        target.execute("PRAGMA journal_mode = OFF")  # it is thrown away if anything goes wrong
        target.execute("PRAGMA synchronous = OFF")  # and synchronised as a whole
        connection.execute("BEGIN")
        try:
            connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
            connection.backup(target, pages=PAGES_AT_ONCE)
        except sqlite3.Error as error:
            if primary_code(error) in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
                raise read_error(error) from error
            raise CopyFailed(str(place), str(error)) from error
        finally:
            connection.execute("ROLLBACK")
