"""Reads a whole log and says what is wrong with it, and where first."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import attrs

from eventstore import attachments
from eventstore.checksums import chain_anchor, chain_next, record_bytes
from eventstore.codec import OnUnknown, decode_events
from eventstore.connections import ReaderPool
from eventstore.errors import CorruptEvent, CorruptLog, ReadFailed, UnknownEventType
from eventstore.records import Problem, Verification
from eventstore.schema import PAGE_ROWS
from eventstore.snapshots import is_intact

MAX_PROBLEMS = 1000
"""Problems reported at most: a file that is damaged all over need not fill the memory too."""

_EVENTS = (
    "SELECT e.position, s.name, e.version, t.name, e.schema_version, e.wall_us, e.monotonic_us, b.name, e.cause,"
    " e.command_id, e.correlation_id, e.depth, e.data, e.chain, e.stream_id"
    " FROM events AS e LEFT JOIN streams AS s ON s.id = e.stream_id LEFT JOIN types AS t ON t.id = e.type_id"
    " LEFT JOIN boots AS b ON b.id = e.boot_id WHERE e.position > ? AND e.position <= ? ORDER BY e.position LIMIT ?"
)


def verify(pool: ReaderPool, *, unknown: OnUnknown) -> Verification:
    """Check the file, every event, snapshot and attachment.

    Types not known here are problems unless placeholders are wanted.
    """
    return _Check(pool, unknown).run()


@attrs.define
class _Check:
    pool: ReaderPool
    unknown: OnUnknown
    problems: list[Problem] = attrs.field(factory=list)
    events: int = 0
    snapshots: int = 0
    attachments: int = 0
    streams: int = 0
    versions: dict[int, int] = attrs.field(factory=dict)
    position: int = 0
    chain: bytes | None = None
    """None after a gap, where there is nothing to chain to."""

    def run(self) -> Verification:
        for check in (self._check_file, self._check_events, self._check_snapshots, self._check_attachments):
            with self._reporting_damage():
                check()
        return Verification(self.events, self.streams, self.snapshots, self.attachments, tuple(self.problems))

    def _report(self, what: str, position: int | None, detail: str) -> None:
        if len(self.problems) < MAX_PROBLEMS:
            self.problems.append(Problem(what, position, detail))

    @contextmanager
    def _reporting_damage(self) -> Iterator[None]:
        """Pages that cannot be read end one check, not the others."""
        try:
            yield
        except (CorruptLog, ReadFailed) as error:
            self._report("file", self.position + 1 if self.position else None, str(error))

    def _check_file(self) -> None:
        with self.pool.lend() as connection:
            for (line,) in connection.execute("PRAGMA integrity_check(100)"):  # unlike quick_check, the indexes too
                if line != "ok":
                    self._report("file", None, line)

    def _check_events(self) -> None:
        with self.pool.lend() as connection:
            meta = dict(connection.execute("SELECT key, value FROM meta"))
            removed = connection.execute("SELECT id, removed_version FROM streams").fetchall()
            head = connection.execute("SELECT max(position) FROM events").fetchone()[0] or 0
        self.streams = len(removed)
        self.versions = dict(removed)
        self.position = meta.get("removed_position", 0)
        self.chain = meta.get("removed_chain") or chain_anchor(str(meta.get("log_id")))
        page = PAGE_ROWS
        while self.position < head:
            try:
                with self.pool.lend() as connection:
                    rows = connection.execute(_EVENTS, (self.position, head, page)).fetchall()
            except (CorruptLog, ReadFailed) as error:
                if page == 1:
                    self._skip(str(error))
                page = 1
                continue
            for row in rows:
                try:
                    self._check_event(row)
                except TypeError:  # SQLite's own checks do not hold for damaged pages
                    self._skip("a value of a wrong type")
            if len(rows) < page:
                return
            page = min(page * 2, PAGE_ROWS)

    def _skip(self, why: str) -> None:
        """Go on after an event that cannot be read."""
        self.position += 1
        self.chain = None
        self._report("file", self.position, why)

    def _check_event(self, row: Any) -> None:
        position, stream, version, type_name, schema_version = row[:5]
        *header, data, chain, stream_id = row
        self.events += 1
        if position != self.position + 1:
            self._report("gap", self.position + 1, f"positions {self.position + 1} to {position - 1} are missing")
            self.chain = None
        if None in (stream, type_name, row[7]):
            self._report("file", position, "its stream, type or boot has no name")
        elif self.chain is not None and chain_next(self.chain, record_bytes(tuple(header), data)) != chain:
            self._report("chain", position, "the record, or its hash, is not what was written")
        if version != self.versions.get(stream_id, 0) + 1:
            expected = self.versions.get(stream_id, 0) + 1
            self._report("version", position, f"version {version} of stream {stream!r}, expected {expected}")
        try:
            decode_events(position, str(type_name), schema_version, data, self.unknown)
        except (UnknownEventType, CorruptEvent) as error:
            self._report("decode", position, str(error))
        self.position, self.chain, self.versions[stream_id] = position, chain, version

    def _check_snapshots(self) -> None:
        sql = (
            "SELECT n.rowid, s.name, n.version, n.schema, n.data, n.checksum FROM snapshots AS n"
            " LEFT JOIN streams AS s ON s.id = n.stream_id WHERE n.rowid > ? ORDER BY n.rowid LIMIT 1"
        )
        for row in self._one_by_one(sql):
            _, stream, version, schema, data, checksum = row
            self.snapshots += 1
            if stream is None or not is_intact(stream, version, schema, data, checksum):
                self._report("snapshot", None, f"snapshot of {stream!r} at version {version} is damaged")

    def _check_attachments(self) -> None:
        sql = "SELECT id, key, data, checksum FROM attachments WHERE id > ? ORDER BY id LIMIT 1"
        for _, key, data, checksum in self._one_by_one(sql):
            self.attachments += 1
            if not attachments.is_intact(key, data, checksum):
                self._report("attachment", None, f"attachment {key!r} is damaged")

    def _one_by_one(self, sql: str) -> Iterator[Any]:
        """Rows that may be large, one short transaction each."""
        after = 0
        while True:
            with self.pool.lend() as connection:
                row: Any = connection.execute(sql, (after,)).fetchone()
            if row is None:
                return
            after = row[0]
            yield row
