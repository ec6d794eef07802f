"""How large the files of a log are, by a look at their names."""

from __future__ import annotations

import contextlib
from pathlib import Path


def files_size(log: Path) -> int:
    """Bytes of a log's file and its WAL; one that cannot be looked at, as in a directory without permission, has none.

    They are never opened for it: closing them would drop SQLite's locks.
    """
    size = 0
    for path in (log, log.with_name(f"{log.name}-wal")):
        with contextlib.suppress(OSError):
            size += path.stat().st_size
    return size
