"""Moving a log to another place: a complete copy there first, under a name that nobody opens, then its own name.

Works on a log that nobody writes. The copy is made through SQLite, not file by file: a part of the log may still be in
its WAL, as long as somebody reads it.
"""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

from eventstore.errors import LogExists, LogNotWritable

if TYPE_CHECKING:
    from eventstore.protocol import EventStore

PARTIAL_SUFFIX = ".partial"
RESCUED_SUFFIX = ".rescued"
MOVED_NAME = "moved.txt"
"""Left beside the old log: where it went. Whoever opens the old log again should know that it is not the newest."""


def check_place(target: Path) -> None:
    """See that a log can be put there, and make its directory.

    Raises:
        LogNotWritable: there is one already, or a part of one, or the directory cannot be made or written.
    """
    from eventstore.copying.placing import check_free

    try:
        check_free(target)  # a WAL that another log left there would be taken for a part of this one
    except LogExists as error:
        hint = "choose an empty directory, or stop and start there to go on with the log that it holds"
        raise LogNotWritable(str(target), str(error), hint=hint) from error
    probe = target.with_name(target.name + PARTIAL_SUFFIX)
    try:
        for directory in reversed([one for one in target.parents if not one.exists()]):
            directory.mkdir(mode=0o700)
        probe.unlink(missing_ok=True)
        probe.touch(mode=0o600)
        probe.unlink()
    except OSError as error:
        raise LogNotWritable(str(target), f"{target.parent} cannot be written: {error.strerror}") from error


def copy_log(source: Path, target: Path) -> None:
    """Copy a log that nobody writes. When this returns, the copy is durable and complete; before, it has no name.

    Raises:
        LogNotWritable: as ``check_place``; or the copy could not be written, and nothing is left of it.
    """
    import sqlite3

    check_place(target)
    partial = target.with_name(target.name + PARTIAL_SUFFIX)
    try:
        partial.touch(mode=0o600)
        with (
            contextlib.closing(sqlite3.connect(f"file:{_quoted(source)}?mode=ro", uri=True)) as old,
            contextlib.closing(sqlite3.connect(partial)) as new,
        ):
            old.backup(new)
        _sync(partial)
        partial.rename(target)
        _sync(target.parent)
    except (OSError, sqlite3.Error) as error:
        partial.unlink(missing_ok=True)
        raise LogNotWritable(str(target), f"{source} could not be copied to {target}: {error}") from error


def rescue(store: EventStore, path: Path) -> Path:
    """Copy a log that is open and whose file is gone. Gives the copy, which has no name yet that anybody opens.

    Raises:
        CopyFailed, ReadFailed, CorruptLog: it cannot be copied.
    """
    from eventstore.copying.backups import backup
    from eventstore.store import SqliteStore

    if not isinstance(store, SqliteStore):
        raise TypeError(store)
    copy = path.with_name(path.name + RESCUED_SUFFIX)
    copy.unlink(missing_ok=True)
    backup(store, copy)
    return copy


def put_back(copy: Path, path: Path) -> None:
    """Give a copy the name of the log that it was made of.

    Raises:
        LogExists: there is another one by now, and the copy stays where it is.
        OSError: it cannot be renamed.
    """
    from eventstore.copying.placing import check_free

    check_free(path)
    copy.rename(path)
    _sync(path.parent)


def leave_note(source: Path, target: Path) -> None:
    """Say beside the old log where the newer one is. A note that cannot be written is no reason to stop."""
    with contextlib.suppress(OSError):
        source.with_name(MOVED_NAME).write_text(f"{target}\n{time.time():.3f}\n", encoding="utf-8")


def moved_to(source: Path) -> str | None:
    """Where a note says that this log went, None without one."""
    try:
        return source.with_name(MOVED_NAME).read_text(encoding="utf-8").partition("\n")[0] or None
    except (OSError, UnicodeDecodeError):
        return None


def _quoted(path: Path) -> str:
    from urllib.parse import quote

    return quote(str(path.resolve()))


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
