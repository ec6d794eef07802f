"""The logs that the store's benchmarks compare: ours, and the barest that SQLite could keep."""

from __future__ import annotations

import itertools
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from eventstore.codec import encode_event
from eventstore.events import event
from eventstore.opening import open_store
from eventstore.records import Batch, Durability, NewEvent, StreamWrite

PAYLOAD_BYTES = 200
STREAM = "benchmark/1"


@event("benchmark.sampled", 1)
class Sampled:
    """An event of 200 bytes of JSON."""

    number: int
    text: str


SAMPLE = Sampled(123_456, "x" * (PAYLOAD_BYTES - len('{"number":123456,"text":""}')))
_, DATA = encode_event(SAMPLE)
NEW = NewEvent(SAMPLE, command_id="command", correlation_id="correlation")
SAME_COLUMNS = (
    "CREATE TABLE events (position INTEGER PRIMARY KEY, stream_id INTEGER NOT NULL, version INTEGER NOT NULL,"
    " type_id INTEGER NOT NULL, schema_version INTEGER NOT NULL, wall_us INTEGER NOT NULL,"
    " monotonic_us INTEGER NOT NULL, boot_id INTEGER NOT NULL, cause INTEGER, command_id TEXT,"
    " correlation_id TEXT NOT NULL, depth INTEGER NOT NULL, data BLOB NOT NULL, chain BLOB NOT NULL, checksum INTEGER,"
    " UNIQUE (stream_id, version)) STRICT"
)
INSERT_SAME = "INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
MINIMAL_COLUMNS = (
    "CREATE TABLE events (position INTEGER PRIMARY KEY, stream_id INTEGER NOT NULL, version INTEGER NOT NULL,"
    " data BLOB NOT NULL, UNIQUE (stream_id, version)) STRICT"
)


@contextmanager
def raw(directory: Path, schema: str) -> Iterator[sqlite3.Connection]:
    """A bare log: one table, WAL, FULL. Usable from any thread, one at a time."""
    connection = sqlite3.connect(directory / "raw.db", isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute(schema)
    try:
        yield connection
    finally:
        connection.close()


def raw_append_one(connection: sqlite3.Connection) -> Callable[[], None]:
    """Appends one event of the same columns in a transaction of its own, each column filled from what is at hand."""
    numbers = itertools.count(1)
    now_us = time.time_ns() // 1000

    def append() -> None:
        number = next(numbers)
        row = (number, 1, number, 1, 1, now_us, now_us, 1, None, "command", "correlation", 0, DATA, bytes(16), number)
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(INSERT_SAME, row)
        connection.execute("COMMIT")

    return append


def raw_append_many(connection: sqlite3.Connection, size: int) -> Callable[[], None]:
    """Appends events of minimal columns, ``size`` in a transaction."""
    numbers = itertools.count(1)

    def append() -> None:
        rows = [(number, 1, number, DATA) for number in itertools.islice(numbers, size)]
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany("INSERT INTO events VALUES (?, ?, ?, ?)", rows)
        connection.execute("COMMIT")

    return append


@contextmanager
def ours(directory: Path, size: int) -> Iterator[Callable[[], None]]:
    """Appends ``size`` events through the store as an actor does: owned, fenced, at an expected version."""
    with open_store(directory / "ours" / "lrm.db") as store:
        grant = store.acquire(STREAM)
        version = grant.version
        events = (NEW,) * size

        def append() -> None:
            nonlocal version
            write = StreamWrite(STREAM, events, version, grant.epoch)
            version = store.append(Batch((write,))).versions[STREAM]

        yield append


def fill(path: Path, events: int, *, stream: str = STREAM) -> None:
    """A log of ours with so many events in it, written as fast as it goes."""
    with open_store(path) as store:
        size = 1000
        for start in range(0, events, size):
            write = StreamWrite(stream, (NEW,) * min(size, events - start))
            store.append(Batch((write,), durability=Durability.RELAXED))


def speed(append: Callable[[], None], times: int, size: int = 1) -> Callable[[], float]:
    """Measures events per second, ``times`` appends of ``size`` events."""

    def measure() -> float:
        began = time.perf_counter()
        for _ in range(times):
            append()
        return times * size / (time.perf_counter() - began)

    return measure
