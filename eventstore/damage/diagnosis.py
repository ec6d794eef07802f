"""Looks at a log, at the SQLite that reads it, and at where it lies, and says what is wrong or soon will be.

It changes nothing, and never opens the log but through SQLite: its owner may be alive.
"""

from __future__ import annotations

import contextlib
import errno
import importlib.util
import os
import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from eventstore.connections import file_uri, open_reading
from eventstore.damage.findings import Diagnosis, Finding, size_text
from eventstore.damage.surroundings import look_around
from eventstore.errors import EventStoreError, LogNotFound
from eventstore.locking import LOCK_NAME, read_holder
from eventstore.mark import is_behind, is_mark_damaged, read_mark
from eventstore.schema import APPLICATION_ID, SCHEMA_VERSION, commits_without_events, identify, log_end

WAL_RESET_BUG = ((3, 7, 0), (3, 51, 2))
"""First and last version of SQLite that can corrupt a file when two connections write or checkpoint at once."""
WAL_RESET_FIXED = ((3, 44, 6), (3, 50, 7))
"""Versions in between that have the fix: these, and later ones of the same minor release."""
OTHER_LIBRARIES = ("pysqlite3", "sqlean", "apsw")
UNOWNED = "no process owns the log"
WORTH_VACUUMING = 0.25
"""Share of free pages above which it is worth to give them back."""
WORTH_VACUUMING_BYTES = 1024 * 1024


def doctor(path: str | os.PathLike[str]) -> Diagnosis:
    """Examine a log that may be damaged, and may be in use.

    Raises:
        LogNotFound: there is no file at the path.
    """
    log = Path(path).resolve()
    if not log.is_file():
        raise LogNotFound(str(log), f"there is no log at {log}")
    owner = _owner(log)
    in_it = _log(log, owned=owner.what != UNOWNED)
    return Diagnosis(str(log), (*_sqlite(), *_libraries(), owner, *in_it, *look_around(log)))


# --- SQLite -------------------------------------------------------------------------------------------------------


def has_wal_reset_bug(version: tuple[int, ...]) -> bool:
    """Whether a version of SQLite has it."""
    first, last = WAL_RESET_BUG
    fixed = any(version[:2] == one[:2] and version >= one for one in WAL_RESET_FIXED)
    return first <= version <= last and not fixed


def _sqlite() -> Iterator[Finding]:
    version = sqlite3.sqlite_version
    if has_wal_reset_bug(sqlite3.sqlite_version_info):
        yield Finding(
            "sqlite-version",
            "ok",
            f"SQLite {version} can corrupt a file when two connections write or checkpoint at once."
            " Here it is harmless: exactly one connection writes and checkpoints a log",
            "never write to the log with another program; 3.51.3, 3.50.7 and 3.44.6 have the fix",
        )
    else:
        yield Finding("sqlite-version", "ok", f"SQLite {version}")
    if sqlite3.threadsafety == 0:
        yield Finding("threading", "problem", "this SQLite is built for a single thread", "use another build of Python")
    else:
        mode = {1: "multi-thread", 3: "serialized"}.get(sqlite3.threadsafety, str(sqlite3.threadsafety))
        yield Finding("threading", "ok", f"SQLite's threading mode is {mode}")
    with sqlite3.connect(":memory:") as connection:
        options = {row[0].partition("=")[0] for row in connection.execute("PRAGMA compile_options")}
    connection.close()
    odd = sorted(options & {"OMIT_WAL", "OMIT_AUTOVACUUM", "OMIT_INTEGRITY_CHECK", "DISABLE_DIRSYNC", "NO_SYNC"})
    if odd:
        yield Finding("compile-options", "problem", f"SQLite is built with {', '.join(odd)}", "use another build of it")
    else:
        yield Finding("compile-options", "ok", f"none of SQLite's {len(options)} compile options is in the way")


def _libraries() -> Iterator[Finding]:
    loaded = [name for name in OTHER_LIBRARIES if name in sys.modules]
    there = [name for name in OTHER_LIBRARIES if name not in loaded and importlib.util.find_spec(name) is not None]
    if loaded:
        yield Finding(
            "other-sqlite",
            "warning",
            f"{', '.join(loaded)} is loaded: a second SQLite library in this process",
            "never open the log with it: closing a file there drops the locks that are held here, and commits are lost",
        )
    elif there:
        what = f"{', '.join(there)} can be imported: a second SQLite library"
        yield Finding("other-sqlite", "ok", what, "do not open the log with it in the process that owns the log")
    else:
        yield Finding("other-sqlite", "ok", "there is no second SQLite library")


# --- the log ------------------------------------------------------------------------------------------------------


def _owner(log: Path) -> Finding:
    """Whether a process owns the log: its lock is asked for, shared, and let go of at once."""
    try:
        descriptor = os.open(log.with_name(LOCK_NAME), os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return Finding("owner", "ok", UNOWNED)
    try:
        import fcntl  # POSIX only, as the lock is

        pid = read_holder(descriptor)[0] or "unknown"
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EAGAIN, errno.EACCES):
            return Finding("owner", "ok", f"process {pid} owns the log")
        return Finding("owner", "warning", f"the lock cannot be asked for: {error.strerror}", "look at its permissions")
    finally:
        os.close(descriptor)
    return Finding("owner", "ok", UNOWNED)


def _log(log: Path, *, owned: bool) -> Iterator[Finding]:
    """What the file says of itself."""
    mark = read_mark(log)  # before the log: what is committed meanwhile is then no loss
    wal = log.with_name(f"{log.name}-wal")
    at_rest = not owned and not (wal.exists() and wal.stat().st_size)  # then SQLite need make no files beside it
    try:
        connection = open_reading(sqlite3.connect, log, busy_timeout_s=1.0, immutable=at_rest)
    except sqlite3.Error as error:
        yield Finding("log", "problem", f"it cannot be read: {error}", "look at the permissions of its directory")
        return
    try:
        application_id, version, tables = identify(connection)
        if not (application_id or tables) and mark is not None and (mark.position or mark.commits):
            yield _tail_missing(mark.position, 0)
            return
        if application_id != APPLICATION_ID or version > SCHEMA_VERSION:
            what = (
                "it is no log" if application_id != APPLICATION_ID else f"it has schema {version}, of a later release"
            )
            yield Finding("log", "problem", what, "point to an lrm.db, or upgrade")
            return
        yield _journal_mode(log, connection, at_rest=at_rest)
        yield from _pragmas(connection)
        log_id, head, _ = log_end(connection)
        epoch = connection.execute("SELECT epoch FROM owner").fetchone()[0]
        commits = commits_without_events(connection)
    except (sqlite3.Error, EventStoreError, UnicodeError, TypeError) as error:
        yield Finding("log", "problem", f"it is damaged: {error}", "run 'lrm verify', then 'lrm salvage'")
        return
    finally:
        connection.close()
    yield Finding("log", "ok", f"it ends at position {head}; owner epoch {epoch}")
    if mark is None and is_mark_damaged(log):
        yield Finding("mark", "warning", "it cannot be read: a missing tail would not be noticed", "open the log once")
    elif mark is None:
        yield Finding("mark", "warning", "there is none: a missing tail would not be noticed", "open the log once")
    elif mark.log_id.hex() != log_id:
        yield Finding("mark", "warning", "it belongs to another log", "find out whether a file was put in its place")
    elif is_behind(mark, head, commits):
        yield _tail_missing(mark.position, head)
    else:
        yield Finding("mark", "ok", f"everything acknowledged is there, up to position {mark.position} at least")


def _tail_missing(marked: int, head: int) -> Finding:
    return Finding(
        "mark",
        "problem",
        f"position {marked} was acknowledged, and the log ends at {head}: its tail is missing",
        "keep a copy of all its files, then 'lrm salvage'; or restore a backup; to go on without it, 'lrm accept'",
    )


def _journal_mode(log: Path, connection: sqlite3.Connection, *, at_rest: bool) -> Finding:
    mode = connection.execute("PRAGMA journal_mode").fetchone()[0]
    if at_rest:  # opened so that SQLite makes no files, it cannot say; but without locks it refuses just what is in WAL
        mode = "wal"
        with contextlib.suppress(sqlite3.OperationalError):
            with contextlib.closing(sqlite3.connect(file_uri(log, "mode=ro&nolock=1"), uri=True)) as bare:
                bare.execute("SELECT count(*) FROM sqlite_schema").fetchone()
            mode = "another one"
    if mode == "wal":
        return Finding("journal-mode", "ok", "the journal mode is WAL")
    return Finding("journal-mode", "problem", f"the journal mode is {mode}", "own the log once: that sets it to WAL")


def _pragmas(connection: sqlite3.Connection) -> Iterator[Finding]:
    def pragma(name: str) -> Any:
        return connection.execute(f"PRAGMA {name}").fetchone()[0]

    version = pragma("user_version")
    if version < SCHEMA_VERSION:
        what = f"schema {version}; this release writes {SCHEMA_VERSION}, and migrates when it owns the log"
        yield Finding("schema", "ok", what)
    else:
        yield Finding("schema", "ok", f"schema {version}")
    vacuum = pragma("auto_vacuum")
    if vacuum == 2:
        yield Finding("auto-vacuum", "ok", "free pages can be given back a few at a time")
    else:
        advice = "copy the log into a new one, with an export and an import"
        yield Finding("auto-vacuum", "warning", "space that is freed stays in the file", advice)
    pages, free, size = pragma("page_count"), pragma("freelist_count"), pragma("page_size")
    what = f"{size_text(free * size)} of {size_text(pages * size)} are free, in pages of {size} bytes"
    if free * size > WORTH_VACUUMING_BYTES and free > pages * WORTH_VACUUMING:
        yield Finding("free-pages", "warning", what, "run 'lrm retain': it gives them back")
    else:
        yield Finding("free-pages", "ok", what)
