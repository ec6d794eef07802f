"""What can still be read of a damaged log's files: through SQLite where that works, and out of their bytes."""

from __future__ import annotations

import contextlib
import mmap
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import attrs

from eventstore.connections import open_reading
from eventstore.damage import walfile
from eventstore.damage.carving import Bytes, Carver, Row, integer

DEFAULT_PAGE_SIZE = 4096
UNCOMMITTED, SUPERSEDED = 2, 3
"""Trust of what nothing says was committed, and of what the database has had since."""

_LOG_ID = re.compile(rb"\x03(?:\x19\x4dlog_id([0-9a-f]{32})|\x4d\x19([0-9a-f]{32})log_id)")
"""The row of ``meta`` and its copy in ``meta_checks``: two texts, of 6 and of 32 bytes."""
_REMOVED = re.compile(
    rb"\x03(?:\x2d([\x01-\x06\x08\x09])removed_position(.{8})|([\x01-\x06\x08\x09])\x2d(.{0,8})removed_position)",
    re.DOTALL,
)
_REMOVED_CHAIN = re.compile(rb"\x03(?:\x27\x2cremoved_chain(.{16})|\x2c\x27(.{16})removed_chain)", re.DOTALL)


@attrs.frozen
class Region:
    """A part of a file in which rows are looked for."""

    carver: Carver
    start: int
    end: int
    trust: int
    """As that of a frame; 0 for the database."""

    def rows(self, table: str) -> Iterator[Row]:
        """What looks like rows of a table."""
        return self.carver.carve(table, self.start, self.end)


class Remains:
    """A private copy of a damaged log.

    Args:
        log: the copy. Nothing else has it open.
    """

    def __init__(self, log: Path) -> None:
        self.path = log
        self._files: list[mmap.mmap] = []
        self._database = self._bytes(log)
        self._wal = bytes(self._bytes(log.with_name(f"{log.name}-wal")))
        self.page_size = self._page_size()
        self._frames = walfile.frames(self._wal, self.page_size)
        self._images: dict[int, int] = {frame.page: frame.start for frame in self._frames if frame.trust < UNCOMMITTED}
        self._connection: sqlite3.Connection | None = None
        with contextlib.suppress(sqlite3.Error):
            self._connection = open_reading(sqlite3.connect, log, busy_timeout_s=1.0)
            self._connection.text_factory = _text

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._connection is not None:
            self._connection.close()
        for file in self._files:
            file.close()

    def regions(self) -> list[Region]:
        """Every part of the files, the newest last."""
        carver = Carver(self._wal, self.page_size, self._newest)
        framed = [
            Region(carver, frame.start, frame.start + self.page_size, frame.trust)
            for frame in sorted(self._frames, key=lambda frame: -frame.trust if frame.trust >= UNCOMMITTED else 0)
        ]
        step = walfile.FRAME_HEADER_BYTES + self.page_size
        torn = walfile.HEADER_BYTES + len(framed) * step + walfile.FRAME_HEADER_BYTES  # the last one, cut short
        if torn < len(self._wal):
            framed.insert(0, Region(carver, torn, len(self._wal), UNCOMMITTED))
        old = sum(region.trust >= UNCOMMITTED for region in framed)
        database = Region(Carver(self._database, self.page_size, self._newest), 0, len(self._database), trust=0)
        return [*framed[:old], database, *framed[old:]]

    def ask(self, sql: str) -> tuple[list[Any], bool]:
        """The rows of a query as far as they can be read, and whether these are all."""
        rows: list[Any] = []
        if self._connection is None:
            return rows, False
        try:
            rows.extend(self._connection.execute(sql))
        except (sqlite3.Error, UnicodeError):
            return rows, False
        return rows, True

    def ask_both(self, *queries: str) -> tuple[list[Any], bool]:
        """The rows of several queries that should give the same, and whether one of them gave all."""
        answers = [self.ask(sql) for sql in queries]
        return [row for rows, _ in answers for row in rows], any(complete for _, complete in answers)

    def log_id(self) -> str | None:
        """The log's id, wherever it stands."""
        rows, _ = self.ask_both(
            "SELECT value FROM meta NOT INDEXED WHERE key = 'log_id'",
            "SELECT value FROM meta INDEXED BY meta_checks WHERE key = 'log_id'",
        )
        found = [row[0] for row in rows if isinstance(row[0], str) and re.fullmatch("[0-9a-f]{32}", row[0])]
        for data in (self._wal, self._database):
            found += [(match[1] or match[2]).decode() for match in _LOG_ID.finditer(data)]
        return found[0] if found else None

    def removed(self) -> tuple[set[int], set[bytes]]:
        """What the bytes say of how much was removed: positions, and hashes. Older answers are among them."""
        positions, chains = set(), set()
        for data in (self._wal, self._database):
            for match in _REMOVED.finditer(data):
                positions.add(integer(match[1] or match[3], match[2] if match[1] else match[4]))
            chains |= {match[1] or match[2] for match in _REMOVED_CHAIN.finditer(data)}
        return positions, chains

    # --- inside ---------------------------------------------------------------------------------------------------

    def _bytes(self, path: Path) -> Bytes:
        try:
            if path.stat().st_size == 0:
                return b""
            with path.open("rb") as file:
                mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except FileNotFoundError:
            return b""
        self._files.append(mapped)
        return mapped

    def _page_size(self) -> int:
        size = int.from_bytes(self._database[16:18], "big")
        if 512 <= size <= 32768 and size & (size - 1) == 0:
            return size
        return walfile.page_size_of(self._wal) or DEFAULT_PAGE_SIZE

    def _newest(self, page: int) -> bytes | None:
        """A page as it was left last."""
        if page in self._images:
            start = self._images[page]
            return self._wal[start : start + self.page_size]
        if page < 1:
            return None
        return bytes(self._database[(page - 1) * self.page_size : page * self.page_size])


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")
