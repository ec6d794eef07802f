"""What is in a log file, seen in three ways: by plain SQL, through the store's reader, and by a new owner."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from eventstore.codec import encode_value
from eventstore.opening import open_reader, open_store
from eventstore.protocol import EventReader
from eventstore.records import Batch, NewEvent, StreamWrite
from eventstore.store import SqliteStore
from tests.eventstore.support import Counted
from tests.faults.histories import Found

NOTHING = Found()


def by_sql(path: Path) -> Found:
    """What any SQLite tool would find, by the documented views. Cheap: a log is opened once."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, isolation_level=None)) as log:
        log.execute("BEGIN")
        if not log.execute("SELECT count(*) FROM sqlite_schema WHERE name = 'event_log'").fetchone()[0]:
            return NOTHING
        removed = log.execute("SELECT value FROM meta WHERE key = 'removed_position'").fetchone()[0]
        events = log.execute("SELECT position, stream, version, type, data FROM event_log").fetchall()
        positions = [position for position, *_ in events]
        if positions != list(range(removed + 1, removed + 1 + len(positions))):
            msg = f"positions {positions} after {removed}"
            raise ValueError(msg)
        return Found(
            tuple((stream, version, name, data.encode()) for _, stream, version, name, data in events),
            dict(log.execute("SELECT consumer, position FROM cursors").fetchall()),
            dict(log.execute("SELECT command_id, reply FROM receipts").fetchall()),
            {(stream, version): data for stream, version, data in log.execute(_SNAPSHOTS)},
            dict(log.execute("SELECT key, data FROM attachments").fetchall()),
            removed,
        )


_SNAPSHOTS = "SELECT s.name, n.version, n.data FROM snapshots AS n JOIN streams AS s ON s.id = n.stream_id"


def quick_check(path: Path) -> list[str]:
    """SQLite's own complaints."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as log:
        return [line for (line,) in log.execute("PRAGMA quick_check") if line != "ok"]


def by_reader(path: Path, like: Found, key: bytes | None = None) -> Found:
    """The same through the store's reader: whatever ``like`` names is looked for."""
    with open_reader(path, unknown="placeholder", key=key) as reader:
        return _read(reader, like)


def by_owner(path: Path, like: Found, key: bytes | None = None) -> tuple[Found, list[str]]:
    """The same for a new owner, who can append, and what it finds wrong."""
    with open_store(path, unknown="placeholder", reserve_bytes=0, key=key) as store:
        return through(store, like)


def through(store: SqliteStore, like: Found) -> tuple[Found, list[str]]:
    """The same for an owner that is there already."""
    found = _read(store, like)
    problems = [str(problem) for problem in store.verify().problems]
    store.append(Batch((StreamWrite("after", (NewEvent(Counted(1)),)),)))
    if store.head != found.removed + len(found.events) + 1 or store.version("after") != 1:
        problems.append(f"appended to {len(found.events)} events, the head is {store.head}")
    return found, problems


def _read(reader: EventReader, like: Found) -> Found:
    cursors = {name: reader.cursor(name) for name in like.cursors}
    receipts = {name: reader.receipt(name) for name in like.receipts}
    snapshots = {key: reader.snapshot(key[0], up_to=key[1]) for key in like.snapshots}
    return Found(
        tuple((one.stream, one.version, one.type, one.data) for one in reader.read()),
        {name: position for name, position in cursors.items() if position is not None},
        {name: encode_value(one.reply) for name, one in receipts.items() if one is not None},
        {key: one.data for key, one in snapshots.items() if one is not None and one.version == key[1]},
        {key: reader.attachment(key).data for key in reader.attachment_keys()},
        reader.first - 1,
    )
