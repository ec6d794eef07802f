"""What somebody does to the files of a log that is in use."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path


def without_the_wal(log: Path) -> None:
    """As a script does that takes these for rubbish."""
    for side in ("-wal", "-shm"):
        log.with_name(f"{log.name}{side}").unlink()


HARM: dict[str, Callable[[Path], object]] = {
    "the directory is removed": lambda log: shutil.rmtree(log.parent.rename(log.parent.with_name("going"))),  # at once
    "the file is removed": lambda log: log.unlink(),
    "the directory is moved away": lambda log: log.parent.rename(log.parent.with_name("elsewhere")),
    "the WAL is removed": without_the_wal,
    "the lock is removed": lambda log: log.with_name("lrm.lock").unlink(),
}
