"""Durable appends: against raw SQLite on the same disk, among many callers, against a peer, and in a long log.

Everybody waits for the disk at each commit (``synchronous=FULL``). Our side starts from event objects and ends with
what ``append`` returned; the raw side knows every number and hash beforehand.
"""

from __future__ import annotations

import shutil
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import attrs

from benchmarks import peers
from benchmarks.harness import Figure, medians_of_pairs, ratio_of_pairs
from benchmarks.logs import (
    MINIMAL_COLUMNS,
    NEW,
    SAME_COLUMNS,
    fill,
    ours,
    raw,
    raw_append_many,
    raw_append_one,
    speed,
)
from eventstore.opening import open_store
from eventstore.records import Batch, StreamWrite

PEERS = ("sqlite3", peers.PEER)
THREADS = 16
IN_FLIGHT = 1000
"""Appends that a caller hands in before it waits: about as many as the store lets wait before it commits by itself."""


@attrs.frozen
class Size:
    """How much is done between two looks at the clock."""

    singles: int
    batches: int
    each: int
    """Appends of each of many threads."""
    pipelined: int
    short: int
    """Events in a log before what is measured."""
    long: int


FULL = Size(singles=400, batches=40, each=100, pipelined=8000, short=1000, long=1_000_000)
QUICK = Size(singles=10, batches=2, each=2, pipelined=100, short=100, long=1000)


def run(quick: bool) -> list[Figure]:
    """Every figure; those against a peer only where it is installed."""
    size = QUICK if quick else FULL
    sections: tuple[Callable[[Path, Size, bool], Iterator[Figure]], ...] = (_raw, _many_callers, _peer, _long_log)
    found: list[Figure] = []
    for section in sections:
        with tempfile.TemporaryDirectory() as name:
            found += section(Path(name), size, quick)
    return found


def _raw(directory: Path, size: Size, quick: bool) -> Iterator[Figure]:
    (directory / "1").mkdir()
    with raw(directory / "1", SAME_COLUMNS) as connection, ours(directory / "1", 1) as append:
        theirs = speed(raw_append_one(connection), size.singles)
        value = ratio_of_pairs(speed(append, size.singles), theirs, quick=quick)
    yield Figure("append_1_vs_raw", value, "higher", "appends of one event over raw inserts of the same columns")
    (directory / "100").mkdir()
    with raw(directory / "100", MINIMAL_COLUMNS) as connection, ours(directory / "100", 100) as append:
        theirs = speed(raw_append_many(connection, 100), size.batches, 100)
        value = ratio_of_pairs(speed(append, size.batches, 100), theirs, quick=quick)
    yield Figure("append_100_vs_raw", value, "higher", "appends of 100 events over raw inserts of minimal columns")


def _many_callers(directory: Path, size: Size, quick: bool) -> Iterator[Figure]:
    """The same appends to the same store: taking turns at a lock, a transaction for each; or as they come."""
    lock = threading.Lock()
    with open_store(directory / "lrm.db") as store:

        def shared(number: int) -> None:
            store.append(Batch((StreamWrite(f"caller/{number}", (NEW,)),)))

        def serial(number: int) -> None:
            with lock:
                shared(number)

        pairs = medians_of_pairs(
            lambda: _by_threads(shared, size.each), lambda: _by_threads(serial, size.each), quick=quick
        )
        yield Figure(
            "waiting_16_vs_serial",
            pairs["speed"],
            "higher",
            "16 threads that wait for each append, over turns at a lock",
        )
        what = "the 99th percentile of the wait of one of 16 threads, over that for a turn: a ratio of times"
        yield Figure("waiting_16_p99_vs_serial", pairs["p99_s"], "lower", what)

        def pipelined() -> float:
            began = time.perf_counter()
            pending = []
            for _ in range(size.pipelined):
                pending.append(store.submit(Batch((StreamWrite("pipeline", (NEW,)),))))
                if len(pending) == IN_FLIGHT:
                    pending[-1].result()
                    for one in pending:
                        one.result()
                    pending.clear()
            for one in pending:
                one.result()
            return size.pipelined / (time.perf_counter() - began)

        value = ratio_of_pairs(pipelined, lambda: _by_threads(serial, size.each)["speed"], quick=quick)
        what = f"one caller with up to {IN_FLIGHT} appends handed in, over one transaction for each"
        yield Figure("pipelined_vs_serial", value, "higher", what)


def _by_threads(append: Callable[[int], None], each: int) -> dict[str, float]:
    """Appends per second of many threads, and how long the slowest of a hundred waited."""
    waits: list[float] = []
    start = threading.Barrier(THREADS + 1)

    def work(number: int) -> None:
        mine = []
        start.wait()
        for _ in range(each):
            began = time.perf_counter()
            append(number)
            mine.append(time.perf_counter() - began)
        waits.extend(mine)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    start.wait()
    began = time.perf_counter()
    for thread in threads:
        thread.join()
    took_s = time.perf_counter() - began
    return {"speed": THREADS * each / took_s, "p99_s": statistics.quantiles(waits, n=100)[98]}


def _peer(directory: Path, size: Size, quick: bool) -> Iterator[Figure]:
    if not peers.available():
        return
    value = _against_peer(directory / "1", 1, size.singles, quick)
    yield Figure("append_1_vs_eventsourcing", value, "higher", "appends of one event over saves of eventsourcing's")
    value = _against_peer(directory / "100", 100, size.batches, quick)
    yield Figure("append_100_vs_eventsourcing", value, "higher", "appends of 100 events over saves of eventsourcing's")


def _against_peer(place: Path, events: int, times: int, quick: bool) -> float:
    peer = peers.Peer(place)
    with ours(place, events) as append:
        value = ratio_of_pairs(speed(append, times, events), speed(peer.append(events), times, events), quick=quick)
    peer.close()
    return value


def _long_log(directory: Path, size: Size, quick: bool) -> Iterator[Figure]:
    for name, events in (("short", size.short), ("long", size.long)):
        fill(directory / name / "ours" / "lrm.db", events)
    with ours(directory / "short", 1) as short, ours(directory / "long", 1) as long:
        value = ratio_of_pairs(speed(long, size.singles), speed(short, size.singles), quick=quick)
    shutil.rmtree(directory / "long")
    what = f"appends of one event after {size.long} others, over appends after {size.short}"
    yield Figure("append_at_1m_vs_at_1k", value, "higher", what)
