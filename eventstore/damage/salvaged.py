"""What a damaged log kept beside its events, as far as it can be brought back, and the new log that is made of all."""

from __future__ import annotations

import sqlite3
import uuid
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import attrs

from eventstore.checksums import HASH_SIZE, attachment_checksum, chain_next, row_checksum, snapshot_checksum
from eventstore.codec import decode_value
from eventstore.damage.choosing import Found
from eventstore.damage.remains import UNCOMMITTED, Remains
from eventstore.prepare import SNAPSHOTS_KEPT
from eventstore.schema import migrate, prepare_file

OWN_NUMBERS = ("attachments", "receipts", "appends")
"""Tables with a column that is the row's own number, which is stored as NULL."""

_EVENT = "INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"


@attrs.define
class Besides:
    """Everything but the events."""

    log_id: str
    names: dict[str, dict[int, list[str]]]
    """By table and id: what the name may be."""
    removed: int = 0
    removed_chain: bytes | None = None
    removed_said: set[tuple[int, bytes | None]] = attrs.field(factory=set)
    """All that is said of how much was removed, where SQLite can read it."""
    removed_traces: tuple[set[int], set[bytes]] = (set(), set())
    """All that was ever written of it, as far as it was found."""
    commits: int = 0
    owner_epoch: int = 0
    last_known: int = 0
    """The last position that something speaks of."""
    streams: dict[str, tuple[int, int]] = attrs.field(factory=dict)
    """Epoch and removed version by name."""
    snapshots: list[tuple[str, int, str, bytes, bytes]] = attrs.field(factory=list)
    """Stream, version, schema, checksum, data."""
    attachments: list[tuple[Any, ...]] = attrs.field(factory=list)
    cursors: dict[str, int] = attrs.field(factory=dict)
    receipts: list[tuple[Any, ...]] = attrs.field(factory=list)
    appends: list[tuple[Any, ...]] = attrs.field(factory=list)
    keys: list[tuple[Any, ...]] = attrs.field(factory=list)

    def check_removed(self, found: Mapping[int, Iterable[Found]]) -> None:
        """Find out how much was removed on purpose: up to where the first event that is kept fits what is said of it.

        Where that one is lost, believe what nothing contradicts; and else that nothing was removed.
        """
        positions, chains = self.removed_traces
        traces: set[tuple[int, bytes | None]] = {(n, chain) for n in positions if n > 0 for chain in chains}
        for removed, chain in sorted(self.removed_said | traces, key=lambda one: -one[0]):
            if chain and any(chain_next(chain, one.record) == one.chain for one in found.get(removed + 1, ())):
                self.removed, self.removed_chain = removed, chain
                return
        said = self.removed_said or {max(traces, key=lambda one: one[0], default=(0, None))}
        (self.removed, self.removed_chain) = min(said, key=lambda one: one[0]) if len(said) == 1 else (0, None)

    def fit(self, events: list[Found]) -> None:
        """Drop or set back what goes beyond the events there are."""
        head = events[-1].position if events else self.removed
        ends = {name: removed for name, (_, removed) in self.streams.items()}
        for one in events:
            ends[one.header[1]] = one.header[2]
        kept: defaultdict[str, list[tuple[str, int, str, bytes, bytes]]] = defaultdict(list)
        for snapshot in sorted(self.snapshots, key=lambda one: one[1], reverse=True):
            if snapshot[1] <= ends.get(snapshot[0], 0) and len(kept[snapshot[0]]) < SNAPSHOTS_KEPT:
                kept[snapshot[0]].append(snapshot)
        self.snapshots = [one for name in sorted(kept) for one in kept[name]]
        self.cursors = {consumer: max(0, min(position, head)) for consumer, position in self.cursors.items()}


def besides_of(remains: Remains, log_id: str | None) -> Besides:
    """Everything but the events, as far as it is undamaged."""
    names = {table: _names(remains, table) for table in ("streams", "types", "boots")}
    found = Besides(log_id or uuid.uuid4().hex, names)
    _read_meta(remains, found)
    _read_streams(remains, found)
    found.snapshots = list(_snapshots(remains, names["streams"]))
    found.attachments = list(_attachments(remains))
    found.receipts = list(_remembered(remains, "receipts", "command_id"))
    found.appends = list(_remembered(remains, "appends", "idempotency_key"))
    cursors, _ = remains.ask_both(
        "SELECT consumer, position FROM cursors NOT INDEXED",
        "SELECT consumer, position FROM cursors INDEXED BY cursor_checks",
    )
    for consumer, position in cursors:
        if isinstance(consumer, str) and isinstance(position, int):
            found.cursors[consumer] = min(position, found.cursors.get(consumer, position))  # rather twice than never
    found.keys = remains.ask("SELECT id, created_us, wrapped FROM keys")[0]
    return found


def _names(remains: Remains, table: str) -> dict[int, list[str]]:
    queries = (
        f"SELECT id, name FROM {table} NOT INDEXED",  # noqa: S608 - one of three
        f"SELECT id, name FROM {table} INDEXED BY sqlite_autoindex_{table}_1",  # noqa: S608
    )
    answers = [remains.ask(sql) for sql in queries]
    rows = [row for found, _ in answers for row in found]
    if not all(complete for _, complete in answers) or sorted(answers[0][0]) != sorted(answers[1][0]):
        shape = "streams" if table == "streams" else "names"
        for region in remains.regions():
            rows += [(row.rowid, row.columns[1]) for row in region.rows(shape)]
    names: defaultdict[int, list[str]] = defaultdict(list)
    for number, name in rows:
        if isinstance(number, int) and isinstance(name, str) and name and name not in names[number]:
            names[number].append(name)
    return names


def _read_meta(remains: Remains, found: Besides) -> None:
    answers = [
        dict(row for row in remains.ask(sql)[0] if isinstance(row[0], str))
        for sql in ("SELECT key, value FROM meta NOT INDEXED", "SELECT key, value FROM meta INDEXED BY meta_checks")
    ]
    said = [
        (removed, chain)
        for meta in answers
        if isinstance(removed := meta.get("removed_position"), int)
        and removed >= 0
        and isinstance(chain := meta.get("removed_chain"), bytes | None)
    ]
    found.removed_said = {(n, chain) for n, chain in said if len(chain or b"") == (HASH_SIZE if n else 0)}
    found.removed_traces = remains.removed()
    found.commits = max((n for meta in answers if isinstance(n := meta.get("barrier"), int)), default=0)
    epochs, _ = remains.ask_both(
        "SELECT epoch FROM owner NOT INDEXED", "SELECT epoch FROM owner INDEXED BY owner_checks"
    )
    found.owner_epoch = max((epoch for (epoch,) in epochs if isinstance(epoch, int)), default=0)
    lasts, _ = remains.ask_both(
        "SELECT max(position) FROM events NOT INDEXED",
        "SELECT max(position) FROM events INDEXED BY sqlite_autoindex_events_1",
    )
    found.last_known = max((last for (last,) in lasts if isinstance(last, int)), default=0)


def _read_streams(remains: Remains, found: Besides) -> None:
    rows, complete = remains.ask_both(
        "SELECT id, epoch, removed_version FROM streams NOT INDEXED",
        "SELECT id, epoch, removed_version FROM streams INDEXED BY stream_checks",
    )
    if not complete:
        for region in remains.regions():
            rows += [(row.rowid, *row.columns[2:4]) for row in region.rows("streams")]
    for number, epoch, removed in rows:
        for name in found.names["streams"].get(number, ())[:1]:
            if isinstance(epoch, int) and isinstance(removed, int):
                known = found.streams.get(name, (0, 0))
                found.streams[name] = max(epoch, known[0]), max(removed, known[1])


# --- rows that a checksum vouches for -----------------------------------------------------------------------------


def _carved(remains: Remains, table: str, live: set[Any], key: Any, *, complete: bool) -> Iterator[tuple[Any, ...]]:
    """Rows of a table with their ids, the newest of each last; of those that SQLite knows, or has no word of."""
    for region in remains.regions():
        if region.trust != UNCOMMITTED:
            for row in region.rows(table):
                if (row.columns[0] is None) != (table in OWN_NUMBERS):
                    continue  # other bytes that look like a row by chance
                whole = (row.rowid, *row.columns[1:]) if table in OWN_NUMBERS else (row.rowid, *row.columns)
                if region.trust == 1 or not complete or key(whole) in live:
                    yield whole


def _snapshots(remains: Remains, streams: Mapping[int, list[str]]) -> Iterator[tuple[str, int, str, bytes, bytes]]:
    rows, complete = remains.ask_both(
        "SELECT stream_id, version FROM snapshots NOT INDEXED",
        "SELECT stream_id, version FROM snapshots INDEXED BY sqlite_autoindex_snapshots_1",
    )
    found = {}
    for _, stream_id, version, schema, checksum, data in _carved(
        remains, "snapshots", set(rows), lambda row: row[1:3], complete=complete
    ):
        if isinstance(schema, str) and isinstance(data, bytes) and isinstance(version, int):
            for name in streams.get(stream_id, ()):
                if snapshot_checksum(name, version, schema, data) == checksum:
                    found[name, version] = name, version, schema, checksum, data
    yield from found.values()


def _attachments(remains: Remains) -> Iterator[tuple[Any, ...]]:
    rows, complete = remains.ask_both(
        "SELECT id, checksum FROM attachments NOT INDEXED",
        "SELECT id, checksum FROM attachments INDEXED BY attachment_checks",
    )
    found = {}
    for number, key, created_us, size, checksum, data in _carved(
        remains, "attachments", set(rows), lambda row: (row[0], row[4]), complete=complete
    ):
        if isinstance(key, str) and isinstance(data, bytes) and attachment_checksum(key, data) == checksum:
            found[key] = number, key, created_us, size, checksum, data
    yield from sorted(found.values())


def _remembered(remains: Remains, table: str, key: str) -> Iterator[tuple[Any, ...]]:
    """Receipts, or what is remembered of batches: the last column is a checksum of those before it but the time."""
    rows, complete = remains.ask_both(
        f"SELECT id, {key} FROM {table} NOT INDEXED",  # noqa: S608 - one of two
        f"SELECT id, {key} FROM {table} INDEXED BY sqlite_autoindex_{table}_1",  # noqa: S608
    )
    found = {}
    live = set(rows)
    for row in _carved(remains, table, live, lambda row: row[:2], complete=complete):
        number, name, created_us, *values = row
        if table == "receipts" and len(values) == 1:
            values.append(None)  # of the first schema: nothing vouches for it but that it is there
        *values, checksum = values
        if not isinstance(name, str) or not all(isinstance(value, bytes) for value in values):
            continue
        unchecked = checksum is None and table == "receipts" and (number, name) in live and _is_json(values[0])
        if unchecked or checksum == row_checksum(name, *values):
            found[name] = number, name, created_us, *values, checksum
    yield from sorted(found.values())


def _is_json(reply: bytes) -> bool:
    try:
        decode_value(reply)
    except ValueError:
        return False
    return True


# --- the new log --------------------------------------------------------------------------------------------------


def write_log(file: Path, besides: Besides, events: list[Found]) -> None:
    """Fill an empty file with a log."""
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        prepare_file(connection)
        migrate(connection)
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("BEGIN IMMEDIATE")
        _write(connection, besides, events)
        connection.execute("COMMIT")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _write(connection: sqlite3.Connection, besides: Besides, events: list[Found]) -> None:
    meta = {
        "log_id": besides.log_id,
        "removed_position": besides.removed,
        "removed_chain": besides.removed_chain,
        "barrier": besides.commits,
    }
    connection.executemany("UPDATE meta SET value = ? WHERE key = ?", [(value, key) for key, value in meta.items()])
    connection.execute("UPDATE owner SET epoch = ?", (besides.owner_epoch,))
    numbers: dict[tuple[str, str], int] = {}

    def number(table: str, name: str) -> int:
        if (table, name) not in numbers:
            added = connection.execute(f"INSERT INTO {table} (name) VALUES (?)", (name,))  # noqa: S608 - one of three
            numbers[table, name] = int(added.lastrowid or 0)
        return numbers[table, name]

    for name, (epoch, removed) in besides.streams.items():
        connection.execute(
            "UPDATE streams SET epoch = ?, removed_version = ? WHERE id = ?", (epoch, removed, number("streams", name))
        )
    for one in events:
        position, stream, version, kind, schema_version, wall_us, monotonic_us, boot, *rest = one.header
        row = (
            position, number("streams", stream), version, number("types", kind), schema_version, wall_us, monotonic_us,
            number("boots", boot), *rest, one.data, one.chain, one.checksum,
        )  # fmt: skip
        connection.execute(_EVENT, row)
    for stream, *values in besides.snapshots:
        connection.execute("INSERT INTO snapshots VALUES (?, ?, ?, ?, ?)", (number("streams", stream), *values))
    for table, rows in (
        ("attachments VALUES (NULL, ?, ?, ?, ?, ?)", besides.attachments),
        ("receipts VALUES (NULL, ?, ?, ?, ?)", besides.receipts),
        ("appends VALUES (NULL, ?, ?, ?, ?, ?)", besides.appends),
    ):  # in the order of their ids, which nothing vouches for
        connection.executemany(f"INSERT INTO {table}", [row[1:] for row in rows])
    connection.executemany("INSERT INTO cursors VALUES (?, ?)", list(besides.cursors.items()))
    connection.executemany("INSERT OR IGNORE INTO keys VALUES (?, ?, ?)", besides.keys)
