"""Retention on a file: what goes, what stays, what a crash between leaves, and that the file gets smaller."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from eventstore import retention as module
from eventstore.connections import file_uri
from eventstore.errors import AppendFailed, BadRequest, CorruptLog, EventsRemoved, PositionNotFound
from eventstore.exclusive import Running
from eventstore.opening import open_reader, open_store
from eventstore.records import Batch, Cursor, NewEvent, Retained, Retention, Snapshot, StreamWrite
from eventstore.reserve import reserve_path
from eventstore.store import SqliteStore
from eventstore.transactions import Statement
from tests.eventstore.support import Counted, FakeClock, Fault, append, counts, faulty, io_error

ALL = Retention(max_events=0)


def fill(store: SqliteStore, stream: str, count: int, note: str = "") -> None:
    """Append numbered events, a hundred at once."""
    for start in range(0, count, 100):
        append(store, stream, *(Counted(n, note) for n in range(start, min(start + 100, count))))


def snap(store: SqliteStore, stream: str, version: int) -> None:
    """Keep a snapshot of a stream."""
    store.append(Batch(snapshots=(Snapshot(stream, version, "sample/1", b'{"n":0}'),)))


def test_events_go_that_nothing_needs(sqlite_store: SqliteStore, clock: FakeClock) -> None:
    """By number and by age; positions, versions, reading and verifying go on from what is left."""
    fill(sqlite_store, "a", 1200)
    snap(sqlite_store, "a", 1100)
    result = sqlite_store.retain(Retention(max_events=700))
    assert Retained(500, 501, result.freed_bytes, "policy") == result
    assert 501 == sqlite_store.first
    assert list(range(500, 1200)) == counts(sqlite_store, "a")
    assert (1200, 1200) == (sqlite_store.head, sqlite_store.version("a"))
    with pytest.raises(PositionNotFound):
        sqlite_store.get(500)
    with pytest.raises(EventsRemoved):
        sqlite_store.fold("a", lambda state, event: state, None)
    assert 100 == sqlite_store.fold("a", lambda state, event: state + 1, 0, after=1100).state
    clock.wall_s += 60
    append(sqlite_store, "a", Counted(1200))
    assert (0, "policy") == drop_first(sqlite_store.retain(Retention(max_age_s=60.1)))
    assert (600, "stream a") == drop_first(sqlite_store.retain(Retention(max_age_s=59.9)))
    assert sqlite_store.verify().ok
    assert [*range(1100, 1201)] == counts(sqlite_store, "a")


def drop_first(result: Retained) -> tuple[int, str]:
    """How many went, and what kept the next."""
    return result.removed, result.held_by


def test_what_recovery_needs_stays(sqlite_store: SqliteStore) -> None:
    """Of each stream, what its oldest snapshot does not cover; everything without one, unless it is expendable."""
    fill(sqlite_store, "covered", 10)
    fill(sqlite_store, "samples/cpu", 10)
    fill(sqlite_store, "bare", 10)
    fill(sqlite_store, "covered", 10)
    for version in (12, 15, 20):
        snap(sqlite_store, "covered", version)
    assert (10, "stream samples/cpu") == drop_first(sqlite_store.retain(ALL))
    assert (10, "stream bare") == drop_first(sqlite_store.retain(Retention(max_events=0, expendable=("samples",))))
    snap(sqlite_store, "bare", 10)
    assert (12, "stream covered") == drop_first(sqlite_store.retain(ALL))
    assert 10 == sqlite_store.version("samples/cpu")
    assert [] == counts(sqlite_store, "bare")
    append(sqlite_store, "bare", Counted(10), expected_version=10)
    assert sqlite_store.verify().ok


def test_a_damaged_snapshot_holds_nothing_together(sqlite_store: SqliteStore) -> None:
    """The oldest intact one counts: events before a damaged one may go, those after it may not."""
    fill(sqlite_store, "a", 30)
    for version in (10, 20, 25):
        snap(sqlite_store, "a", version)
    run = sqlite_store._writer.transactions.run
    run(lambda connection: connection.execute("UPDATE snapshots SET data = x'00' WHERE version = 10"))
    assert (20, "stream a") == drop_first(sqlite_store.retain(ALL))
    run(lambda connection: connection.execute("UPDATE snapshots SET data = x'00'"))
    assert (0, "stream a") == drop_first(sqlite_store.retain(ALL))


def test_a_calm_stream_can_be_taken_as_covered_by_its_newest_snapshot(sqlite_store: SqliteStore) -> None:
    """When that is asked for, its older snapshots hold nothing; a damaged newest one does not count."""
    fill(sqlite_store, "calm", 10)
    for version in (3, 8, 10):
        snap(sqlite_store, "calm", version)
    assert (3, "stream calm") == drop_first(sqlite_store.retain(ALL))
    run = sqlite_store._writer.transactions.run
    run(lambda connection: connection.execute("UPDATE snapshots SET data = x'00' WHERE version = 10"))
    newest = Retention(max_events=0, newest_snapshot=True)
    assert (5, "stream calm") == drop_first(sqlite_store.retain(newest))
    snap(sqlite_store, "calm", 10)
    assert (2, "policy") == drop_first(sqlite_store.retain(newest))


def test_what_stands_after_a_position_stays(sqlite_store: SqliteStore) -> None:
    """Exactly, however many events come meanwhile."""
    fill(sqlite_store, "a", 30)
    snap(sqlite_store, "a", 30)
    assert (12, "policy") == drop_first(sqlite_store.retain(Retention(max_events=0, keep_after=12)))
    fill(sqlite_store, "b", 5)
    assert (0, "policy") == drop_first(sqlite_store.retain(Retention(max_events=0, keep_after=12)))
    assert 13 == next(iter(sqlite_store.read())).position


def test_what_a_consumer_has_not_read_stays(sqlite_store: SqliteStore) -> None:
    """Of those that are named, or of all; one that was named and never stored a cursor has read nothing."""
    fill(sqlite_store, "a", 30)
    snap(sqlite_store, "a", 30)
    sqlite_store.append(Batch(cursors=(Cursor("slow", 10), Cursor("quick", 20))))
    assert (0, "cursor never") == drop_first(sqlite_store.retain(Retention(max_events=0, consumers=("quick", "never"))))
    assert (10, "cursor slow") == drop_first(sqlite_store.retain(ALL))
    assert (10, "cursor quick") == drop_first(sqlite_store.retain(Retention(max_events=0, consumers=("quick",))))
    assert (10, "policy") == drop_first(sqlite_store.retain(Retention(max_events=0, consumers=())))


def test_a_consumer_that_comes_between_planning_and_removing(
    sqlite_store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its cursor is looked at again in each transaction."""
    fill(sqlite_store, "a", 30)
    snap(sqlite_store, "a", 30)
    plan = module.Remover._plan
    late = [Batch(cursors=(Cursor("late", 7),))]

    def plan_then_append(self: module.Remover) -> int:
        up_to = plan(self)
        for batch in late:
            sqlite_store.append(batch)
        late.clear()
        return up_to

    monkeypatch.setattr(module.Remover, "_plan", plan_then_append)
    assert (7, "cursor late") == drop_first(sqlite_store.retain(ALL))


def test_a_planted_removal_of_what_a_consumer_needs_is_caught(
    sqlite_store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same without the second look loses what the consumer has not read."""
    monkeypatch.setattr(module, "_CURSORS", "SELECT consumer, position FROM cursors WHERE 0")
    with pytest.raises(AssertionError):
        test_what_a_consumer_has_not_read_stays(sqlite_store)


def test_an_empty_log_and_a_log_all_of_whose_events_went(sqlite_store: SqliteStore, path: Path) -> None:
    """Nothing to remove is no error; and where everything went, positions and versions go on."""
    assert (0, "policy") == drop_first(sqlite_store.retain(ALL))
    fill(sqlite_store, "a", 5)
    snap(sqlite_store, "a", 5)
    assert 5 == sqlite_store.retain(ALL).removed
    assert 6 == sqlite_store.first
    sqlite_store.close()
    with open_store(path) as store:
        assert (5, 5, 6) == (store.head, store.version("a"), store.first)
        appended = append(store, "a", Counted(5), expected_version=5)
        assert (6, {"a": 6}) == (appended.first_position, appended.versions)
        assert store.verify().ok
    with open_reader(path) as reader:
        assert [5] == counts(reader, "a")


@pytest.mark.parametrize("retention", [Retention(), Retention(max_events=-1), Retention(max_age_s=float("nan"))])
def test_limits_that_make_no_sense(sqlite_store: SqliteStore, retention: Retention) -> None:
    """Refused before anything is looked at."""
    with pytest.raises(BadRequest):
        sqlite_store.retain(retention)


def test_it_stops_when_its_time_is_over(sqlite_store: SqliteStore, clock: FakeClock) -> None:
    """Having got on by one transaction at least; called again it goes on."""
    fill(sqlite_store, "a", 1200)
    snap(sqlite_store, "a", 1200)
    seen: list[Retained] = []
    while not seen or seen[-1].held_by == "time":
        seen.append(sqlite_store.retain(ALL, within_s=0))
    assert [500, 500, 200] == [result.removed for result in seen if result.removed]
    assert "policy" == seen[-1].held_by
    assert 1201 == seen[-1].first


# --- the file -----------------------------------------------------------------------------------------------------


def size(path: Path) -> int:
    """Bytes of a log and its WAL."""
    return sum(one.stat().st_size for one in (path, path.with_name("lrm.db-wal")) if one.exists())


def test_the_file_system_gets_the_space_back(sqlite_store: SqliteStore, path: Path) -> None:
    """All of it and at once: no free page stays in the file, and the WAL is empty."""
    fill(sqlite_store, "a", 2000, "x" * 500)
    snap(sqlite_store, "a", 2000)
    before = size(path)
    result = sqlite_store.retain(Retention(max_events=100, consumers=()))
    after = size(path)
    assert result.freed_bytes == before - after
    assert after < before / 5
    assert 0 == path.with_name("lrm.db-wal").stat().st_size
    with sqlite_store._pool.lend() as connection:
        assert (0,) == connection.execute("PRAGMA freelist_count").fetchone()
    assert sqlite_store.verify().ok
    assert list(range(1900, 2000)) == counts(sqlite_store, "a")


def test_a_planted_vacuum_that_steps_once_is_caught(
    sqlite_store: SqliteStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As ``execute`` does, whatever number of pages it is asked for."""

    def vacuum(self: module.Remover, transactions: Running) -> None:
        transactions.run(lambda connection: list(connection.execute("PRAGMA incremental_vacuum(1000000)")))

    monkeypatch.setattr(module.Remover, "give_back", vacuum)
    with pytest.raises(AssertionError):
        test_the_file_system_gets_the_space_back(sqlite_store, path)


def test_a_reader_that_pins_the_wal(sqlite_store: SqliteStore, path: Path) -> None:
    """Goes on reading what was there when it began; the events go all the same, and the space with the next run."""
    fill(sqlite_store, "a", 2000, "x" * 500)
    snap(sqlite_store, "a", 2000)
    reader = sqlite3.connect(file_uri(path, "mode=ro"), uri=True, isolation_level=None)
    reader.execute("BEGIN")
    assert (2000,) == reader.execute("SELECT count(*) FROM events").fetchone()
    assert 1900 == sqlite_store.retain(Retention(max_events=100)).removed
    assert (2000,) == reader.execute("SELECT count(*) FROM events").fetchone()
    append(sqlite_store, "a", Counted(2000))
    reader.close()
    result = sqlite_store.retain(Retention(max_events=100))
    assert result.freed_bytes > 1_000_000
    assert size(path) < 200_000
    assert sqlite_store.verify().ok


def test_relaxed_commits_are_durable_before_they_are_copied(sqlite_store: SqliteStore) -> None:
    """A checkpoint that ran before them would not tell that they cannot be."""
    from eventstore.records import Durability

    fill(sqlite_store, "a", 10)
    snap(sqlite_store, "a", 10)
    write = StreamWrite("a", (NewEvent(Counted(10)),))
    sqlite_store.append(Batch((write,), durability=Durability.RELAXED))
    assert 1 == sqlite_store._writer.transactions._relaxed
    assert 0 == sqlite_store.retain(Retention(max_events=100)).removed
    assert 0 == sqlite_store._writer.transactions._relaxed
    assert sqlite_store._writer.transactions.checkpoint()


def test_a_crash_between_two_transactions_leaves_a_valid_log(
    path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever it is: each copy of the file after each of its transactions opens, verifies and goes on."""
    monkeypatch.setattr(module, "EVENTS_AT_ONCE", 7)
    copies: list[Path] = []
    with open_store(path, clock=clock) as store:
        for stream in ("a", "b", "c"):
            fill(store, stream, 20)
            snap(store, stream, 20)
        transactions = store._writer.transactions
        commit = transactions._commit

        def commit_and_copy(connection: sqlite3.Connection, statement: Statement) -> None:
            commit(connection, statement)
            copies.append(path.with_name(f"copy-{len(copies)}") / "lrm.db")
            copies[-1].parent.mkdir()
            copy = sqlite3.connect(copies[-1])
            connection.backup(copy)
            copy.close()

        monkeypatch.setattr(transactions, "_commit", commit_and_copy)
        assert 50 == store.retain(Retention(max_events=10)).removed
    for number, copy in enumerate(copies):
        with open_store(copy, clock=clock) as store:
            assert min(50, number * 7) + 1 == store.first  # the first transaction only looks whose log it is
            assert [20, 20, 20] == [store.version(stream) for stream in ("a", "b", "c")]
            assert store.verify().ok
            append(store, "a", Counted(0), expected_version=20)
            assert store.verify().ok
    assert len(copies) >= 9


@pytest.mark.parametrize("left_out", range(3))
def test_a_planted_beginning_that_does_not_move_along_is_caught(
    path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch, left_out: int
) -> None:
    """Whichever part of it: the streams' versions, the hash, or the position."""
    moves = module._MOVE_BEGINNING
    monkeypatch.setattr(module, "_MOVE_BEGINNING", moves[:left_out] + moves[left_out + 1 :])
    with pytest.raises((AssertionError, CorruptLog)):
        test_a_crash_between_two_transactions_leaves_a_valid_log(path, clock, monkeypatch)


# --- the reserve --------------------------------------------------------------------------------------------------


def test_the_reserve_is_made_again(path: Path) -> None:
    """When the log is opened and after each retention, if it is not there or of another size."""
    with open_store(path) as store:
        reserve = reserve_path(path)
        assert 6 * 1024 * 1024 == pytest.approx(reserve.stat().st_size, rel=0.02)
        assert reserve.stat().st_blocks * 512 >= reserve.stat().st_size
        assert 0o600 == reserve.stat().st_mode & 0o777
        reserve.unlink()
        store.retain(ALL)
        assert reserve.exists()
    with open_store(path, reserve_bytes=8192):
        assert 8192 == reserve.stat().st_size
    with open_store(path, reserve_bytes=0):
        assert not reserve.exists()
    for size_bytes in (-1, 1.5, True):
        with pytest.raises(BadRequest):
            open_store(path, reserve_bytes=size_bytes)  # type: ignore[arg-type]


def test_the_reserve_is_made_again_when_retention_fails(path: Path) -> None:
    """It was given up for a disk that may have been full. Where it was another fault, a full disk may still come."""
    faults: list[Fault] = []
    with open_store(path, connect=faulty(faults)) as store:
        fill(store, "a", 20)
        faults.append(Fault("BEGIN IMMEDIATE", io_error(sqlite3.SQLITE_BUSY), left=1000))
        with pytest.raises(AppendFailed):
            store.retain(Retention(max_events=0, expendable=("a",)))
        faults.clear()
        assert reserve_path(path).exists()
