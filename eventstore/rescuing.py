"""Writing a log anew that is open and whose file is gone: a copy from what is open, and then its name.

The copy lies beside the log, under a name that nobody opens. Nothing that is open is to be closed before there is one.
"""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from eventstore.errors import EventStoreError
from eventstore.frozen import frozen

if TYPE_CHECKING:
    from eventstore.protocol import EventStore
    from eventstore.whereabouts import Whereabouts

RESCUED_SUFFIX = ".rescued"
NEWER_SUFFIX = ".newer"
TOLD_PROBLEMS = 5
"""How much of the damage is told in words."""
_made: WeakKeyDictionary[EventStore, tuple[Path, tuple[int, int]]] = WeakKeyDictionary()
"""The copy of each log that is open, and which file that is. What another left may be all there is of its log."""


@frozen
class Rescued:
    """A copy of a log."""

    path: Path
    damage: str = ""
    """What was damaged in the log, and is in the copy; where, in words."""


def rescue(store: EventStore, path: Path) -> Rescued:
    """Copy a log that is open and whose file is gone. Gives the copy, which has no name yet that anybody opens.

    An earlier copy of it is replaced by it, and stays what it was where there is no new one. One that another
    process or run left is never touched. A log that is damaged is copied as it is: all the rest of it would be lost.

    Raises:
        CopyFailed, LogExists, ReadFailed, CorruptLog, OSError: it cannot be copied.
    """
    from eventstore.copying.backups import backup, said
    from eventstore.store import SqliteStore

    if not isinstance(store, SqliteStore):
        raise TypeError(store)
    copy = _copy_of(store, path)
    newer = path.with_name(copy.name + NEWER_SUFFIX)
    newer.unlink(missing_ok=True)
    done = backup(store, newer, even_damaged=True)
    newer.replace(copy)
    _made[store] = copy, _file(copy)
    return Rescued(copy, "; ".join(said(one) for one in done.problems[:TOLD_PROBLEMS]))


def settle(copy: Path, path: Path, files: Whereabouts) -> None:
    """Once the log is closed, have one in its place: its own file, where that is back by now, else the copy.

    Raises:
        LogExists: there is another one by now, and the copy stays where it is.
        OSError: a file cannot be removed or renamed.
    """
    if files.is_back() and _has_all_of(path, copy):
        discard(copy)
        return
    files.clear_away()
    put_back(copy, path)


def put_back(copy: Path, path: Path) -> None:
    """Give a copy the name of the log that it was made of.

    Raises:
        LogExists: there is another one by now, and the copy stays where it is.
        OSError: it cannot be renamed.
    """
    from eventstore.copying.placing import check_free, sync

    check_free(path)
    copy.rename(path)
    discard(copy)
    sync(path.parent)


def discard(copy: Path) -> None:
    """Remove a copy, and what SQLite left beside it for whoever looked into it.

    Raises:
        OSError: it cannot be removed.
    """
    from eventstore.leftovers import SIDE_FILES

    for path in (copy, *(copy.with_name(f"{copy.name}{side}") for side in SIDE_FILES)):
        path.unlink(missing_ok=True)


def _copy_of(store: EventStore, path: Path) -> Path:
    """Where the copy of a log goes: the first name that is free, or has the copy that was made of it before."""
    first = path.with_name(path.name + RESCUED_SUFFIX)
    names = (first if number == 1 else first.with_name(f"{first.name}.{number}") for number in itertools.count(1))
    return next(one for one in names if not one.exists() or _made.get(store) == (one, _file(one)))


def _file(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino


def _has_all_of(path: Path, copy: Path) -> bool:
    """Whether a file is the log itself. Once that is closed and gone, the next file that is made may get its number."""
    try:
        (log_id, found), (wanted_id, wanted) = _end_of(path), _end_of(copy)
    except EventStoreError:
        return False
    return log_id == wanted_id and found >= wanted


def _end_of(path: Path) -> tuple[str, int]:
    """Which log a file is, and the position of its last event."""
    from eventstore.opening import open_reader
    from eventstore.schema import log_end

    with open_reader(path, unknown="placeholder") as reader, reader.pool.lend() as connection:
        log_id, position, _ = log_end(connection)
    return log_id, position
