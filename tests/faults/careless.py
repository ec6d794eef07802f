"""The planted ``synchronous = NORMAL``: commits do not wait for the disk, though what is read back says they do."""

from __future__ import annotations

import sqlite3
from typing import Any

from eventstore.connections import Connect
from eventstore.testing import FaultVFS


class Careless(sqlite3.Connection):
    """A connection that takes less care than it says."""

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        if sql.startswith("PRAGMA synchronous = "):
            return super().execute("PRAGMA synchronous = 1")
        return super().execute("SELECT 2" if sql == "PRAGMA synchronous" else sql, parameters)


def careless(vfs: FaultVFS) -> Connect:
    """A ``connect`` whose connections are careless."""
    return lambda *args, **options: vfs.connect(*args, factory=Careless, **options)
