"""Reading back: every event as an object, a stream as a state, a snapshot."""

from __future__ import annotations

import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from benchmarks import peers
from benchmarks.harness import Figure, ratio_of_pairs
from benchmarks.logs import STREAM, Sampled, fill
from eventstore.codec import decode_state, encode_state
from eventstore.opening import open_reader, open_store
from eventstore.reader import SqliteReader
from eventstore.records import Batch, Snapshot

PEERS = ("sqlite3", "msgspec", peers.PEER)
EVENTS, EVENTS_QUICK = 10_000, 2_000
_ALL = (
    "SELECT position, stream_id, version, type_id, schema_version, wall_us, monotonic_us, boot_id,"
    " cause, command_id, correlation_id, depth, data FROM events ORDER BY position"
)


def run(quick: bool) -> list[Figure]:
    """Every figure; those against a peer only where it is installed."""
    events = EVENTS_QUICK if quick else EVENTS
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "lrm.db"
        fill(path, events)
        with open_store(path) as store:
            state = encode_state(Sampled(events, "x" * 200))
            store.append(Batch(snapshots=(Snapshot(STREAM, events, "benchmark/1", state),)))
        with open_reader(path) as reader:
            figures = [_against_decoding(path, reader, quick), _snapshot(reader)]
            if peers.available():
                figures += _against_the_peer(Path(name), reader, events, quick)
    return figures


def _against_decoding(path: Path, reader: SqliteReader, quick: bool) -> Figure:
    """Rows of the same table, decoded by what our codec decodes with: nothing could do less and give the same."""
    connection = sqlite3.connect(path)
    decode = msgspec.json.Decoder(Sampled).decode

    def raw() -> float:
        return _speed(lambda: sum(decode(row[12]).number > 0 for row in connection.execute(_ALL)))

    value = ratio_of_pairs(lambda: _speed(lambda: _count(reader)), raw, quick=quick)
    connection.close()
    return Figure("replay_vs_decode", value, "higher", "reading all records over raw rows and bare decoding")


def _against_the_peer(directory: Path, reader: SqliteReader, events: int, quick: bool) -> list[Figure]:
    peer = peers.Peer(directory / "peer")
    append = peer.append(1000)
    for _ in range(events // 1000):
        append()
    replay = ratio_of_pairs(lambda: _speed(lambda: _load(reader)), lambda: _speed(peer.replay), quick=quick)
    load = ratio_of_pairs(lambda: _speed(lambda: _load(reader)), lambda: _speed(peer.load), quick=quick)
    peer.close()
    return [
        Figure(
            "replay_vs_eventsourcing",
            replay,
            "higher",
            "every event decoded and applied, over the same there",
        ),
        Figure("load_10k_vs_eventsourcing", load, "higher", f"a state folded from {events} events, over an aggregate"),
    ]


def _snapshot(reader: SqliteReader) -> Figure:
    """A stream's state by its snapshot, and by the events after it, of which there are none."""

    def load() -> Any:
        snapshot = reader.snapshot(STREAM, schema="benchmark/1")
        assert snapshot is not None
        state = decode_state(snapshot.data, Sampled)
        return reader.fold(STREAM, _evolve, state, after=snapshot.version).state

    times = []
    for _ in range(200):
        began = time.perf_counter()
        load()
        times.append(time.perf_counter() - began)
    return Figure("snapshot_load_ms", statistics.median(times) * 1e3, "lower", "a state from a snapshot at the end")


def _count(reader: SqliteReader) -> int:
    return sum(1 for record in reader.read() if record.events)


def _load(reader: SqliteReader) -> int:
    return int(reader.fold(STREAM, _evolve, 0).state)


def _evolve(state: Any, event: Sampled) -> Any:
    return state + 1 if isinstance(state, int) else event


def _speed(count: Callable[[], int]) -> float:
    began = time.perf_counter()
    return count() / (time.perf_counter() - began)
