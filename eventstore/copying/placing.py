"""New files that are whole or not there: written under another name, synchronised, and only then given their own."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from eventstore.errors import CopyFailed, LogExists
from eventstore.leftovers import SIDE_FILES, clear_before, make_partial
from eventstore.schema import DIRECTORY_MODE


@contextmanager
def placed(target: Path) -> Iterator[Path]:
    """An empty file, mode 0600, to write to. When the block ends well it is on disk, under the name of ``target``.

    Otherwise nothing is left of it, but by a kill; then the next one for the same place removes it. Missing
    directories are made, mode 0700.

    Raises:
        LogExists: there is something at ``target``, or was when it was to be put there.
        CopyFailed: it could not be written; so are ``OSError`` and ``sqlite3.Error`` that leave the block.
    """
    check_free(target)
    made: tuple[Path, int] | None = None
    try:
        make_directory(target.parent)
        clear_before(target)
        made = partial, _ = make_partial(target)
        yield partial
        sync(partial)
        _put(partial, target)
        try:
            sync(target.parent)
        except OSError:
            target.unlink()
            raise
    except FileExistsError as error:
        if isinstance(error, LogExists):
            raise
        raise LogExists(str(target), f"{target} came into being meanwhile") from error
    except (CopyFailed, sqlite3.Error) as error:
        raise (error if isinstance(error, CopyFailed) else CopyFailed(str(target), str(error))) from error
    except OSError as error:
        if getattr(error, "code", None) is not None:  # one of ours, that says more
            raise
        raise CopyFailed(str(target), error.strerror or str(error)) from error
    finally:
        if made is not None:
            partial, descriptor = made
            for path in (*(partial.with_name(partial.name + side) for side in SIDE_FILES), partial):
                with contextlib.suppress(OSError):
                    path.unlink(missing_ok=True)
            os.close(descriptor)


def check_free(target: Path) -> None:
    """Refuse a place that is taken.

    Raises:
        LogExists: it is, or a part of another log lies beside it.
    """
    if os.path.lexists(target):  # also ``.`` and ``/``, which have no name that could be another's beginning
        raise LogExists(str(target), f"{target} is there already")
    for path in (target.with_name(target.name + side) for side in SIDE_FILES):
        if os.path.lexists(path):
            raise LogExists(str(target), f"{path} is there already")


def sync(path: Path) -> None:
    """Wait until the disk has a file, or what a directory lists."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_directory(directory: Path) -> None:
    """Make a directory, and above it what is missing, mode 0700. One that is there is fine."""
    for one in reversed([one for one in (directory, *directory.parents) if not one.exists()]):
        one.mkdir(DIRECTORY_MODE)


def _put(partial: Path, target: Path) -> None:
    """Give it its name, unless somebody else did so to another file."""
    try:
        os.link(partial, target)
    except FileExistsError:
        raise
    except OSError:  # a file system without links
        check_free(target)
        partial.rename(target)
