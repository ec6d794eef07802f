"""Durable appends against raw SQLite on the same disk, both waiting for it at each commit (``synchronous=FULL``).

``append_1_vs_raw`` appends one event per transaction; the raw side fills the very same columns, hash chain included,
but knows every number and hash beforehand. ``append_100_vs_raw`` appends batches of 100; the raw side has the fewest
columns that could hold an event log. Our side starts from event objects and ends with what ``append`` returned.
"""

from __future__ import annotations

import itertools
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.harness import Figure, ratio_of_pairs
from eventstore.codec import encode_event
from eventstore.events import event
from eventstore.opening import open_store
from eventstore.records import Batch, NewEvent, StreamWrite

PEERS = ("sqlite3",)
PAYLOAD_BYTES = 200


@event("benchmark.sampled", 1)
class Sampled:
    """An event of about 200 bytes of JSON."""

    number: int
    text: str


SAMPLE = Sampled(123_456, "x" * (PAYLOAD_BYTES - len('{"number":123456,"text":""}')))
SAME_COLUMNS = (
    "CREATE TABLE events (position INTEGER PRIMARY KEY, stream_id INTEGER NOT NULL, version INTEGER NOT NULL,"
    " type_id INTEGER NOT NULL, schema_version INTEGER NOT NULL, wall_us INTEGER NOT NULL,"
    " monotonic_us INTEGER NOT NULL, boot_id INTEGER NOT NULL, cause INTEGER, command_id TEXT,"
    " correlation_id TEXT NOT NULL, depth INTEGER NOT NULL, data BLOB NOT NULL, chain BLOB NOT NULL,"
    " UNIQUE (stream_id, version)) STRICT"
)
MINIMAL_COLUMNS = (
    "CREATE TABLE events (position INTEGER PRIMARY KEY, stream_id INTEGER NOT NULL, version INTEGER NOT NULL,"
    " data BLOB NOT NULL, UNIQUE (stream_id, version)) STRICT"
)


@contextmanager
def raw(directory: Path, schema: str) -> Iterator[sqlite3.Connection]:
    """A bare log: one table, WAL, FULL."""
    connection = sqlite3.connect(directory / "raw.db", isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute(schema)
    yield connection
    connection.close()


def raw_same_columns(connection: sqlite3.Connection, data: bytes, commits: int) -> Callable[[], float]:
    """Events per second, one per transaction, every column filled from what is at hand."""
    numbers = itertools.count(1)
    now_us = time.time_ns() // 1000
    insert = "INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"

    def measure() -> float:
        began = time.perf_counter()
        for _ in range(commits):
            number = next(numbers)
            row = (number, 1, number, 1, 1, now_us, now_us, 1, None, "command", "correlation", 0, data, bytes(16))
            connection.execute("BEGIN IMMEDIATE")
            connection.execute(insert, row)
            connection.execute("COMMIT")
        return commits / (time.perf_counter() - began)

    return measure


def raw_minimal_columns(connection: sqlite3.Connection, data: bytes, commits: int, size: int) -> Callable[[], float]:
    """Events per second, in batches."""
    numbers = itertools.count(1)

    def measure() -> float:
        began = time.perf_counter()
        for _ in range(commits):
            rows = [(number, 1, number, data) for number in itertools.islice(numbers, size)]
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany("INSERT INTO events VALUES (?, ?, ?, ?)", rows)
            connection.execute("COMMIT")
        return commits * size / (time.perf_counter() - began)

    return measure


@contextmanager
def ours(directory: Path, commits: int, size: int) -> Iterator[Callable[[], float]]:
    """Events per second through the store, as an actor appends them: owned, fenced, at an expected version."""
    with open_store(directory / "ours" / "lrm.db") as store:
        grant = store.acquire("benchmark/1")
        version = grant.version
        events = tuple(NewEvent(SAMPLE, command_id="command", correlation_id="correlation") for _ in range(size))

        def measure() -> float:
            nonlocal version
            began = time.perf_counter()
            for _ in range(commits):
                write = StreamWrite(grant.stream, events, version, grant.epoch)
                version = store.append(Batch((write,))).versions[grant.stream]
            return commits * size / (time.perf_counter() - began)

        yield measure


def run(quick: bool) -> list[Figure]:
    """Both figures."""
    _, data = encode_event(SAMPLE)
    singles, batches = (100, 10) if quick else (500, 50)
    found = []
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        with raw(directory, SAME_COLUMNS) as connection, ours(directory, singles, 1) as measure:
            value = ratio_of_pairs(measure, raw_same_columns(connection, data, singles), quick=quick)
        what = "durable appends of one event over raw inserts of the same columns"
        found.append(Figure("append_1_vs_raw", value, "higher", what))
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        with raw(directory, MINIMAL_COLUMNS) as connection, ours(directory, batches, 100) as measure:
            value = ratio_of_pairs(measure, raw_minimal_columns(connection, data, batches, 100), quick=quick)
        what = "durable appends of 100 events at once over raw inserts of minimal columns"
        found.append(Figure("append_100_vs_raw", value, "higher", what))
    return found
