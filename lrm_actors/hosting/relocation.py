"""Moving a log to another place: a complete copy there first, under a name that nobody opens, then its own name.

Works on a log that nobody writes. The copy is made through SQLite, not file by file: a part of the log may still be in
its WAL, as long as somebody reads it.
"""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

from eventstore.errors import CopyFailed, LogExists, LogNotWritable

MOVED_NAME = "moved.txt"
"""Left beside the old log: where it went. Whoever opens the old log again should know that it is not the newest."""


def check_place(target: Path) -> None:
    """See that a log can be put there, and make its directory. What an earlier try left behind is removed.

    Raises:
        LogNotWritable: there is one already, or a part of one, or the directory cannot be made or written.
    """
    from eventstore.copying.placing import check_free, make_directory
    from eventstore.leftovers import clear_before, make_partial

    try:
        check_free(target)  # a WAL that another log left there would be taken for a part of this one
    except LogExists as error:
        raise _taken(target, error) from error
    try:
        make_directory(target.parent)
        clear_before(target)
        probe, descriptor = make_partial(target)
        probe.unlink()
        os.close(descriptor)
    except OSError as error:
        raise LogNotWritable(str(target), f"{target.parent} cannot be written: {error.strerror}") from error


def copy_log(source: Path, target: Path) -> None:
    """Copy a log that nobody writes. When this returns, the copy is durable and complete; before, it has no name.

    Raises:
        LogNotWritable: as ``check_place``; or the copy could not be written, and nothing is left of it.
    """
    import sqlite3

    from eventstore.copying.placing import placed

    check_place(target)
    try:
        with (
            placed(target) as partial,
            contextlib.closing(sqlite3.connect(f"file:{_quoted(source)}?mode=ro", uri=True)) as old,
            contextlib.closing(sqlite3.connect(partial)) as new,
        ):
            old.backup(new)
    except LogExists as error:
        raise _taken(target, error) from error
    except CopyFailed as error:
        raise LogNotWritable(str(target), f"{source} could not be copied to {target}: {error}") from error


def _taken(target: Path, error: LogExists) -> LogNotWritable:
    hint = "choose an empty directory, or stop and start there to go on with the log that it holds"
    return LogNotWritable(str(target), str(error), hint=hint)


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
