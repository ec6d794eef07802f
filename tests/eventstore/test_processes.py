"""A log under several processes and threads: readers beside the owner, forks, kills."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from eventstore.errors import StoreClosed
from eventstore.group import Entry
from eventstore.opening import open_reader, open_store
from eventstore.prepare import PreparedBatch
from eventstore.records import Batch, NewEvent, Retention, StreamWrite
from eventstore.store import SqliteStore
from tests.eventstore.support import Counted, append, counts, in_child

PATIENCE_S = 10

# Threads that other tests left behind
pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")


def test_a_reader_sees_what_the_owner_commits(sqlite_store: SqliteStore, path: Path) -> None:
    """At once, without locking the owner out, and after the owner has gone."""
    with open_reader(path) as reader:
        records = reader.tail(poll_s=0.001)
        for n in range(3):
            append(sqlite_store, "a", Counted(n))
            assert n == next(records).event.n
            assert n + 1 == reader.head
        sqlite_store.close()
        assert [0, 1, 2] == counts(reader, "a")
        assert 0 == reader.statistics().owner_epoch
        assert reader.statistics().size_bytes > 0


def test_a_reader_reads_each_name_once(sqlite_store: SqliteStore, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many streams there are already, a new one costs no more than itself."""
    with open_reader(path) as reader:
        read = reader._names._read
        names: list[str] = []

        def noted(table: str, after: int) -> dict[int, str]:
            found = read(table, after)
            names.extend(found.values())
            return found

        monkeypatch.setattr(reader._names, "_read", noted)
        for n in range(20):
            append(sqlite_store, f"stream {n}", Counted(n))
            assert f"stream {n}" == reader.get(n + 1).stream
        assert sorted(["sample.counted", "boot-1", *(f"stream {n}" for n in range(20))]) == sorted(names)


def test_a_reader_can_read_a_killed_log(path: Path) -> None:
    """Its WAL is read as it lies, with and without the shared memory file."""
    in_child(lambda: append(open_store(path), "a", Counted(1)))
    for file in ("none", "lrm.db-shm"):
        path.with_name(file).unlink(missing_ok=True)
        assert path.with_name("lrm.db-wal").stat().st_size > 0
        with open_reader(path) as reader:
            assert [1] == counts(reader, "a")
            assert reader.verify().ok


def test_a_forked_child_cannot_use_the_handles(sqlite_store: SqliteStore, path: Path) -> None:
    """Not to read, not to write, not even after closing; the parent notices nothing."""
    append(sqlite_store, "a", Counted(1))
    with open_reader(path) as reader:
        assert 1 == reader.head == sqlite_store.head
        for use in (
            lambda: sqlite_store.head,
            lambda: reader.head,
            lambda: append(sqlite_store, "a", Counted(2)),
            lambda: sqlite_store.acquire("a"),
            sqlite_store.settle,
        ):
            assert "StoreClosed" == in_child(use)
        assert "None" == in_child(sqlite_store.close) == in_child(reader.close)
        assert "LogLocked" == in_child(lambda: open_store(path))
        assert "1" == in_child(lambda: open_reader(path).head)
        assert 1 == reader.head
    append(sqlite_store, "a", Counted(2))
    assert [1, 2] == counts(sqlite_store, "a")


def test_a_forked_child_has_no_mark(sqlite_store: SqliteStore) -> None:
    """It is mapped into memory that both share, and only the owner may say how far the log is."""
    assert "True" == in_child(lambda: sqlite_store._writer._mark._map is None)
    assert sqlite_store._writer._mark._map is not None


def test_a_forked_child_waits_for_no_thread_of_its_parent(
    sqlite_store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Forked in the middle of another thread's commit, it is refused at once: nobody there would end that commit."""
    group = sqlite_store._writer._group
    commit, under_way, go_on = group._commit, threading.Event(), threading.Event()

    def held_up(entries: list[Entry[PreparedBatch]]) -> None:
        with sqlite_store._writer.transactions._lock:
            under_way.set()
            go_on.wait(PATIENCE_S)
        commit(entries)

    monkeypatch.setattr(group, "_commit", held_up)
    batch = Batch(writes=(StreamWrite("a", (NewEvent(Counted(1)),)),))
    committing = threading.Thread(target=sqlite_store.submit(batch).result)
    committing.start()
    assert under_way.wait(PATIENCE_S)
    try:
        for use in (
            lambda: sqlite_store.append(batch),
            lambda: sqlite_store.submit(batch).result(),
            lambda: sqlite_store.acquire("a"),
            lambda: sqlite_store.retain(Retention(max_events=0)),
            sqlite_store.barrier,
            sqlite_store.settle,
            sqlite_store.renew,
        ):
            assert "StoreClosed" == in_child(lambda use=use: refused_soon(use))  # type: ignore[misc]
    finally:
        go_on.set()
        committing.join(PATIENCE_S)
    assert [1] == counts(sqlite_store, "a")


def refused_soon(use: Callable[[], object]) -> object:
    """What ``use`` gives; a child that waits for ever is ended."""
    signal.alarm(PATIENCE_S)
    return use()


def test_a_forked_child_does_not_keep_the_log_locked(path: Path) -> None:
    """It outlives its parent's ownership without holding the lock."""
    store = open_store(path)
    receiving, sending = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(sending)
        os.read(receiving, 1)  # until the parent lets go
        os._exit(0)
    store.close()
    with open_store(path) as again:
        assert 2 == again.owner_epoch
    os.close(sending)
    os.close(receiving)
    os.waitpid(child, 0)


def test_readers_on_many_threads_share_few_connections(sqlite_store: SqliteStore) -> None:
    """Each read is short, so that more threads than connections come along; closing closes them all."""
    append(sqlite_store, "a", *(Counted(n) for n in range(3000)))
    found: list[int] = []
    threads = [threading.Thread(target=lambda: found.append(len(counts(sqlite_store, "a")))) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [3000] * 12 == found
    assert len(sqlite_store._pool._idle) <= 4
    half_read = sqlite_store.read()
    next(half_read)
    sqlite_store.close()
    assert [] == sqlite_store._pool._idle
    with pytest.raises(StoreClosed):
        list(half_read)
