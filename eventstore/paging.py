"""Reading the events of a file in short pages, each of one moment: what is removed between two of them is told."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import attrs

from eventstore.asked import OnRemoved
from eventstore.connections import ReaderPool
from eventstore.decoding import Decoding
from eventstore.errors import CorruptLog, EventsRemoved
from eventstore.records import Record
from eventstore.schema import PAGE_ROWS
from eventstore.tailing import follow
from eventstore.waking import Listeners

SCAN_POSITIONS = 20_000
"""Positions one filtered read looks through in one transaction, however few of them match."""
FOREVER = 2**63 - 1

HEAD = "SELECT coalesce((SELECT max(position) FROM events), (SELECT value FROM meta WHERE key = 'removed_position'))"
EVENTS = (
    "SELECT position, stream_id, version, type_id, schema_version, wall_us, monotonic_us, boot_id,"
    " cause, command_id, correlation_id, depth, data FROM events"
)
_POSITIONS = " WHERE position > ? AND position <= ?"
_IN_ORDER = " ORDER BY position LIMIT ?"
_OF_STREAM = (
    " WHERE stream_id = (SELECT id FROM streams WHERE name = ?) AND version > ? AND version <= ?"
    " ORDER BY version LIMIT ?"
)
_REMOVED = "SELECT value FROM meta WHERE key = 'removed_position'"
_REMOVED_OF_STREAM = "SELECT removed_version FROM streams WHERE name = ?"


@attrs.frozen
class Pages:
    """Reads pages of one log.

    Args:
        pool: lends connections to it.
        decoding: begins a reading, whose records it makes of rows.
        removed: what to do where events were removed.
    """

    pool: ReaderPool
    decoding: Callable[[], Decoding]
    removed: OnRemoved

    def read(
        self,
        after: int,
        up_to: int,
        where: str = "",
        values: Sequence[Any] = (),
        limit: int | None = None,
        *,
        begun: bool = False,
    ) -> Iterator[Record]:
        """Records in log order. A read from 0 begins with what is there, unless it has ``begun``; then none is missing.

        Raises:
            EventsRemoved: events behind the last one that was given, or behind ``after``, were removed.
        """
        sql = EVENTS + _POSITIONS + where + _IN_ORDER
        decoding = self.decoding()
        begun = begun or after > 0
        tells = self.removed == "raise"
        left = FOREVER if limit is None else limit
        while left > 0 and after < up_to:
            rows_wanted = min(PAGE_ROWS, left)
            with self.pool.lend() as connection:
                if where and tells and not begun:
                    after = max(after, _removed(connection, _REMOVED))
                window_end = min(up_to, clamp(after + SCAN_POSITIONS)) if where else up_to
                # The head before the page: what is committed between the two is then not skipped, only not seen yet.
                head = connection.execute(HEAD).fetchone()[0] if where else 0
                rows = connection.execute(sql, (after, window_end, *values, rows_wanted)).fetchall()
                if tells and (where or not rows or rows[0][0] != after + 1):
                    removed = _removed(connection, _REMOVED)
                    if min(removed, up_to) > after:
                        if begun:
                            raise EventsRemoved(None, after, removed)
                        if where:  # between the two looks
                            continue
            begun = True
            yield from decoding.records(rows)
            left -= len(rows)
            if len(rows) == rows_wanted:
                after = _onwards(after, rows[-1][0])
            elif window_end >= min(up_to, head) or not where:
                return
            else:
                after = window_end

    def read_stream(self, stream: str, after: int, up_to: int) -> Iterator[Record]:
        """Records of one stream, from 0 as ``read``.

        Raises:
            EventsRemoved: as ``read``.
        """
        decoding = self.decoding()
        begun = after > 0
        while after < up_to:
            with self.pool.lend() as connection:
                rows = connection.execute(EVENTS + _OF_STREAM, (stream, after, up_to, PAGE_ROWS)).fetchall()
                if begun and self.removed == "raise" and (not rows or rows[0][2] != after + 1):
                    removed = _removed(connection, _REMOVED_OF_STREAM, stream)
                    if min(removed, up_to) > after:
                        raise EventsRemoved(stream, after, removed)
            begun = True
            yield from decoding.records(rows)
            if len(rows) < PAGE_ROWS:
                return
            after = _onwards(after, rows[-1][2])

    def tail(
        self, after: int, poll_s: float, stop: Callable[[], bool], listeners: Listeners | None
    ) -> Iterator[Record]:
        """What is there, and then what is appended.

        Raises:
            EventsRemoved: as ``read``; it lagged behind.
        """

        def read(after: int, *, begun: bool) -> Iterator[Record]:
            return self.read(after, FOREVER, begun=begun)

        def last_removed() -> int:
            with self.pool.lend() as connection:
                return _removed(connection, _REMOVED)

        return follow(after, read, last_removed, poll_s=poll_s, stop=stop, listeners=listeners)


def clamp(number: float) -> int:
    """The nearest number that SQLite has: positions beyond it hold nothing either."""
    return round(max(-FOREVER, min(FOREVER, number)))


def _removed(connection: sqlite3.Connection, sql: str, *values: str) -> int:
    """Up to where events were removed, 0 where that is not said."""
    row = connection.execute(sql, values).fetchone()
    return row[0] if row is not None and isinstance(row[0], int) else 0


def _onwards(after: int, last: int) -> int:
    """Where the next page begins. On damaged pages SQLite goes in circles."""
    if last <= after:
        raise CorruptLog("its events are out of order")
    return last
