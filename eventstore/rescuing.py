"""Writing a log anew that is open and whose file is gone: a copy from what is open, and then its name.

The copy lies beside the log, under a name that nobody opens. Nothing that is open is to be closed before there is one.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from eventstore.frozen import frozen

if TYPE_CHECKING:
    from eventstore.protocol import EventStore
    from eventstore.whereabouts import Whereabouts

RESCUED_SUFFIX = ".rescued"
NEWER_SUFFIX = ".newer"
TOLD_PROBLEMS = 5
"""How much of the damage is told in words."""


@frozen
class Rescued:
    """A copy of a log."""

    path: Path
    damage: str = ""
    """What was damaged in the log, and is in the copy; where, in words."""


def rescue(store: EventStore, path: Path) -> Rescued:
    """Copy a log that is open and whose file is gone. Gives the copy, which has no name yet that anybody opens.

    An earlier copy is replaced by it, and stays what it was where there is no new one. A log that is damaged is copied
    as it is: all the rest of it would be lost.

    Raises:
        CopyFailed, LogExists, ReadFailed, CorruptLog, OSError: it cannot be copied.
    """
    from eventstore.copying.backups import backup, said
    from eventstore.store import SqliteStore

    if not isinstance(store, SqliteStore):
        raise TypeError(store)
    copy = path.with_name(path.name + RESCUED_SUFFIX)
    newer = path.with_name(copy.name + NEWER_SUFFIX)
    newer.unlink(missing_ok=True)
    done = backup(store, newer, even_damaged=True)
    newer.replace(copy)
    return Rescued(copy, "; ".join(said(one) for one in done.problems[:TOLD_PROBLEMS]))


def settle(copy: Path, path: Path, files: Whereabouts) -> None:
    """Once the log is closed, have one in its place: its own file, where that is back by now, else the copy.

    Raises:
        LogExists: there is another one by now, and the copy stays where it is.
        OSError: a file cannot be removed or renamed.
    """
    if files.is_back():
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
