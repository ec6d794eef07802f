"""Removing the oldest events of a log file, a bounded number in each transaction, and giving their space back.

Each transaction moves where the log begins together with what it deletes, so that a crash between two leaves a valid
log. Where the disk is full, the reserve beside the log is given up first.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import attrs

from eventstore.connections import ReaderPool
from eventstore.errors import AppendFailed, CorruptLog, OutcomeUnknown
from eventstore.exclusive import Running
from eventstore.frozen import frozen
from eventstore.leftovers import tidy
from eventstore.records import Instant, Retained, Retention
from eventstore.removable import check_retention, is_expendable, removable_up_to, young_after_us
from eventstore.reserve import Reserve
from eventstore.sizes import files_size
from eventstore.snapshots import is_intact
from eventstore.transactions import Transactions

EVENTS_AT_ONCE = 500
"""Events that one transaction removes."""
BYTES_AT_ONCE = 8 * 1024 * 1024
"""Bytes of events that one transaction removes, but for a single event that is larger."""
PAGES_AT_ONCE = 256
"""Pages that one transaction gives back."""
WITHIN_S = 2.0
"""Seconds after which retention stops where it is."""
PAUSE_S = 0.001
"""Between two transactions: whoever waits for the lock would hardly ever get it from a loop that takes it again."""

_FIRST = "SELECT value + 1 FROM meta WHERE key = 'removed_position'"
_ENDS = "SELECT value + 1, coalesce((SELECT max(position) FROM events), value) FROM meta WHERE key = 'removed_position'"
_FIRST_YOUNG = "SELECT position FROM events WHERE wall_us > ? ORDER BY position LIMIT 1"
_CURSORS = "SELECT consumer, position FROM cursors"
_STREAMS = (
    "SELECT id, name, (SELECT position FROM events WHERE stream_id = streams.id ORDER BY version LIMIT 1)"
    " FROM streams ORDER BY name"
)
_SNAPSHOTS = "SELECT version, schema, data, checksum FROM snapshots WHERE stream_id = ? ORDER BY version"
_FIRST_AFTER = "SELECT position FROM events WHERE stream_id = ? AND version > ? ORDER BY version LIMIT 1"
_SIZES = "SELECT position, length(data) FROM events WHERE position <= ? ORDER BY position LIMIT ?"
_MOVE_STREAMS = (
    "UPDATE streams SET removed_version = gone.version FROM"
    " (SELECT stream_id, max(version) AS version FROM events WHERE position <= ? GROUP BY stream_id) AS gone"
    " WHERE gone.stream_id = streams.id"
)
_MOVE_BEGINNING = (
    _MOVE_STREAMS,
    "UPDATE meta SET value = (SELECT chain FROM events WHERE position = ?) WHERE key = 'removed_chain'",
    "UPDATE meta SET value = ? WHERE key = 'removed_position'",
)
_REMOVE = "DELETE FROM events WHERE position <= ?"


@frozen
class Retainer:
    """What retention needs of an open log.

    Args:
        log: its file.
        pool: lends connections to read it.
        transactions: change it.
        clock: tells ages and the time that passes.
        reserve: is given up where the disk is full.
        alone: one run at a time: what one has planned, another must not remove, nor archive.
    """

    log: Path
    pool: ReaderPool
    transactions: Transactions
    clock: Callable[[], Instant]
    reserve: Reserve
    alone: threading.Lock = attrs.field(factory=threading.Lock)

    def retain(self, retention: Retention, archive: Path | None, within_s: float) -> Retained:
        """Remove the oldest events that may go, as far as the time allows, and give their space back.

        Raises:
            BadRequest: a limit makes no sense, or there is none.
            CopyFailed, CorruptEvent: an archive could not be written.
            AppendFailed, OutcomeUnknown, Fenced, StoreClosed: the storage refused, or another owner has taken the log.
        """
        check_retention(retention)
        with self.alone:
            return self._retain(retention, archive, within_s)

    def make_room(self) -> bool:
        """Give the reserve up and have the WAL copied into the file, after which it is written from its start again.

        Returns: whether there was a reserve; without one, nothing can be done here.

        Raises:
            AppendFailed, OutcomeUnknown, Fenced, StoreClosed: the storage refused, or another owner has taken the log.
        """
        with self.alone:
            if not self.reserve.release():
                return False
            with self.transactions.exclusive() as alone:  # or others would fill what is released
                alone.settle()
                _checkpoint(alone)
            return True

    def _retain(self, retention: Retention, archive: Path | None, within_s: float) -> Retained:
        size = files_size(self.log)
        keep: Callable[[int], int] | None = None
        if archive is not None:
            from eventstore.copying.archive import Archiver  # brings what opening a log does not need

            keep = Archiver(archive, self.pool).archive
        remover = Remover(self.pool, retention, keep, self.clock, self.clock().monotonic_s + within_s)
        try:
            self._remove(remover)
            _checkpoint(self.transactions)
        finally:
            tidy(self.log)
            self.reserve.make()  # whatever it was that failed: where there is no room, none is made
        freed = max(0, size - files_size(self.log))
        return Retained(remover.removed, remover.first(), freed, remover.held_by)

    def _remove(self, remover: Remover) -> None:
        try:
            self.transactions.run(lambda connection: None, strict=False)  # an older owner must not even checkpoint
            remover.remove(self.transactions)
            remover.give_back(self.transactions)
        except (AppendFailed, OutcomeUnknown):
            self.reserve.release()
            with self.transactions.exclusive() as alone:  # or others would fill what is released
                remover.remove_where_nothing_fits(alone)
            remover.give_back(self.transactions)


@attrs.define
class Remover:
    """One run of retention.

    Args:
        pool: lends connections to read the log.
        retention: what was asked for, checked.
        keep: keeps elsewhere what is removed, see ``Archiver.archive``; None where nothing does.
        clock: tells ages and the time that passes.
        until_s: when to stop, by the clock's monotonic seconds.
    """

    pool: ReaderPool
    retention: Retention
    keep: Callable[[int], int] | None
    clock: Callable[[], Instant]
    until_s: float
    removed: int = 0
    held_by: str = ""
    begun: bool = False
    """Whether there was a step: each run gets on, however little time it has."""
    at_once: int = attrs.field(factory=lambda: EVENTS_AT_ONCE)
    """Less where even that does not fit."""
    archived: int = 0
    """Up to which position events are in an archive."""

    def remove(self, transactions: Running) -> None:
        """Remove what may go."""
        up_to = self._plan()
        while self._goes_on(up_to):
            up_to = self._step(transactions, up_to)
            time.sleep(PAUSE_S)

    def give_back(self, transactions: Running) -> None:
        """Cut free pages off the file. SQLite moves what lies behind them; the end of the file goes at a checkpoint."""
        while self._free_pages() and not self._is_late():
            transactions.run(_vacuum)
            self.begun = True
            time.sleep(PAUSE_S)

    def remove_where_nothing_fits(self, transactions: Running) -> None:
        """Both on a full disk, with nobody else writing: the space of each step is there for the next."""
        transactions.settle()
        _checkpoint(transactions)
        up_to = self._plan()
        while self._goes_on(up_to):
            try:
                up_to = self._step(transactions, up_to)
            except (AppendFailed, OutcomeUnknown):
                transactions.settle()
                if self.at_once == 1:
                    raise
                self.at_once //= 2
            with contextlib.suppress(AppendFailed, OutcomeUnknown):
                transactions.run(_vacuum)
            transactions.settle()
            _checkpoint(transactions)

    def first(self) -> int:
        """Position of the oldest event kept."""
        with self.pool.lend() as connection:
            return int(connection.execute(_FIRST).fetchone()[0])

    # --- inside ---------------------------------------------------------------------------------------------------

    def _goes_on(self, up_to: int) -> bool:
        """Whether there is something to remove, and time. What is archived goes in any case, or it would be again."""
        first = self.first()
        return first <= up_to and (first <= self.archived or not self._is_late())

    def _is_late(self) -> bool:
        late = self.begun and self.clock().monotonic_s >= self.until_s
        if late:
            self.held_by = "time"
        return late

    def _plan(self) -> int:
        """Up to which position events may go; and notes what keeps the next one."""
        young = young_after_us(self.retention, self.clock().wall_s)
        with self.pool.lend() as connection:
            first, head = connection.execute(_ENDS).fetchone()
            cursors = dict(connection.execute(_CURSORS).fetchall())
            row = None if young is None else connection.execute(_FIRST_YOUNG, (young,)).fetchone()

        def plan(needed: Iterable[tuple[str, int]]) -> tuple[int, str]:
            return removable_up_to(
                self.retention, first=first, head=head, first_young=row and row[0], needed=needed, cursors=cursors
            )

        up_to, _ = plan(())
        up_to, self.held_by = plan(self._needed(up_to + 1))  # the others have nothing to lose
        return up_to

    def _needed(self, up_to: int) -> Iterator[tuple[str, int]]:
        """By stream, its first event that recovery needs, if it may be at or before a position."""
        with self.pool.lend() as connection:
            streams = connection.execute(_STREAMS).fetchall()
        for stream_id, name, first in streams:
            if first is not None and first <= up_to and not is_expendable(name, self.retention.expendable):
                with self.pool.lend() as connection:
                    after = _covered(connection, stream_id, name, newest=self.retention.newest_snapshot)
                    row = connection.execute(_FIRST_AFTER, (stream_id, after)).fetchone()
                if row is not None:
                    yield name, row[0]

    def _step(self, transactions: Running, up_to: int) -> int:
        """Remove some events. Returns up to which position they may go from now on."""
        before, bound = self.removed, up_to
        self.begun = True
        if self.keep is not None:
            if self.first() > self.archived:
                self.archived = self.keep(up_to)
            bound = min(up_to, self.archived)
        self.removed += transactions.run(lambda connection: self._remove(connection, bound))
        return up_to if self.removed > before else self._plan()

    def _remove(self, connection: sqlite3.Connection, up_to: int) -> int:
        """Inside a transaction: remove some events, and move the beginning of the log with them."""
        cursors = dict(connection.execute(_CURSORS).fetchall())  # a consumer may have come since it was planned
        for consumer in cursors if self.retention.consumers is None else self.retention.consumers:
            up_to = min(up_to, cursors.get(consumer, 0))
        if connection.execute(_FIRST).fetchone()[0] > up_to:
            return 0
        last, total = 0, 0
        for position, size in connection.execute(_SIZES, (up_to, self.at_once)):
            total += size
            if last and total > BYTES_AT_ONCE:
                break
            last = position
        if not last:
            raise CorruptLog("events are missing from its beginning")
        for statement in _MOVE_BEGINNING:
            connection.execute(statement, (last,))
        return connection.execute(_REMOVE, (last,)).rowcount

    def _free_pages(self) -> int:
        with self.pool.lend() as connection:
            return int(connection.execute("PRAGMA freelist_count").fetchone()[0])


def _covered(connection: sqlite3.Connection, stream_id: int, stream: str, *, newest: bool) -> int:
    """Version of a stream's oldest snapshot that is intact, or of its newest; 0 when there is none."""
    found = connection.execute(_SNAPSHOTS, (stream_id,)).fetchall()
    for version, schema, data, checksum in reversed(found) if newest else found:
        if is_intact(stream, version, schema, data, checksum):
            return int(version)
    return 0


def _vacuum(connection: sqlite3.Connection) -> None:
    """Inside a transaction: free some pages.

    One at a time: the statement frees one in each step, and the driver takes but one step of it, whatever is asked for.
    """
    free = connection.execute("PRAGMA freelist_count").fetchone()[0]
    for _ in range(min(free, PAGES_AT_ONCE)):
        connection.execute("PRAGMA incremental_vacuum(1)")


def _checkpoint(transactions: Running) -> None:
    """On a full disk it may fail until more has gone."""
    with contextlib.suppress(AppendFailed):
        transactions.checkpoint()
