"""Writing a log anew that is open and whose file is gone: a copy from what is open, and then its name.

The copy lies beside the log, under a name that nobody opens. Nothing that is open is to be closed before there is one.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from eventstore.protocol import EventStore
    from eventstore.whereabouts import Whereabouts

RESCUED_SUFFIX = ".rescued"
NEWER_SUFFIX = ".newer"


def rescue(store: EventStore, path: Path) -> Path:
    """Copy a log that is open and whose file is gone. Gives the copy, which has no name yet that anybody opens.

    An earlier copy is replaced by it, and stays what it was where there is no new one.

    Raises:
        CopyFailed, LogExists, ReadFailed, CorruptLog, OSError: it cannot be copied.
    """
    from eventstore.copying.backups import backup
    from eventstore.store import SqliteStore

    if not isinstance(store, SqliteStore):
        raise TypeError(store)
    copy = path.with_name(path.name + RESCUED_SUFFIX)
    newer = path.with_name(copy.name + NEWER_SUFFIX)
    newer.unlink(missing_ok=True)
    backup(store, newer)
    newer.replace(copy)
    return copy


def settle(copy: Path, path: Path, files: Whereabouts) -> None:
    """Once the log is closed, have one in its place: its own file, where that is back by now, else the copy.

    Raises:
        LogExists: there is another one by now, and the copy stays where it is.
        OSError: a file cannot be removed or renamed.
    """
    if files.is_back():
        copy.unlink(missing_ok=True)
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
    sync(path.parent)
