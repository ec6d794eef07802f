"""What salvage brings back of a damaged log, and what the new log is then good for."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from eventstore import Salvaged, salvage
from eventstore.damage import salvaged
from eventstore.damage.carving import Row
from eventstore.damage.salvaging import keep_copy, salvage_copy
from eventstore.errors import CorruptLog, LogExists, LogLocked, LogNotFound
from eventstore.mark import mark_path
from eventstore.opening import open_reader, open_store
from eventstore.records import Attachment, Batch, Cursor, NewEvent, Receipt, Snapshot, StreamWrite
from tests.eventstore.support import Counted, append, counts

EVENTS = 200


@pytest.fixture
def log(path: Path) -> Path:
    """A closed log with events on many pages, and one of everything else."""
    with open_store(path, reserve_bytes=0) as store:
        for n in range(EVENTS):
            append(store, "ab"[n % 2], Counted(n, "x" * 100))
        store.acquire("a")
        store.append(
            Batch(
                cursors=(Cursor("reader", EVENTS),),
                receipts=(Receipt("c-1", {"ok": True}),),
                snapshots=(Snapshot("b", 50, "b/1", b"{}"), Snapshot("b", 100, "b/1", b"[]")),
                attachments=(Attachment("file", bytes(range(256)) * 100),),
                idempotency_key="once",
            )
        )
    return path


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """Where the new log goes."""
    return tmp_path / "new" / "lrm.db"


def zero(log: Path, position: int) -> None:
    """Lose the page on which an event lies."""
    with closing(sqlite3.connect(log)) as connection:
        data, chain = connection.execute("SELECT data, chain FROM events WHERE position = ?", (position,)).fetchone()
    whole = bytearray(log.read_bytes())
    page = whole.index(data + chain) // 4096 * 4096
    whole[page : page + 4096] = bytes(4096)
    log.write_bytes(whole)


def test_everything_of_a_whole_log_comes_back(log: Path, target: Path) -> None:
    """The same events with the same hashes, and all that is kept beside them."""
    assert Salvaged(EVENTS, (), EVENTS, EVENTS, 2, 1, 1, 1) == salvage(log, target)
    assert 0o600 == target.stat().st_mode & 0o777
    assert {"lrm.db", "lrm.db-mark"} == {file.name for file in target.parent.iterdir()}
    with open_reader(log) as old, open_reader(target) as new:
        assert list(old.read()) == list(new.read())
        assert old.streams() == new.streams()
        assert old.snapshot("b") == new.snapshot("b")
        assert (EVENTS, {"ok": True}) == (new.cursor("reader"), new.receipt("c-1").reply)  # type: ignore[union-attr]
        assert old.attachment("file") == new.attachment("file")
        assert new.verify().ok
        assert EVENTS == new.verify().marked


def test_a_lost_page_leaves_a_gap_that_is_told(log: Path, target: Path) -> None:
    """Positions and hashes stay as they were on both sides of it, and the owner can go on."""
    zero(log, 100)
    before = log.read_bytes()
    result = salvage(log, target)
    ((first, last),) = result.lost
    assert first <= 100 <= last
    assert (EVENTS - (last - first + 1), EVENTS) == (result.events, result.head)
    assert before == log.read_bytes()
    with open_store(target, reserve_bytes=0) as store:
        assert [("gap", first)] == [(problem.what, problem.position) for problem in store.verify().problems]
        grant = store.acquire("b")
        assert EVENTS + 1 == append(store, "b", Counted(1000), expected_version=100, epoch=grant.epoch).last_position
        assert 1000 == counts(store, "b")[-1]
        assert [("gap", first)] == [(problem.what, problem.position) for problem in store.verify().problems]


def test_a_changed_event_does_not_come_back(log: Path, target: Path) -> None:
    """Its checksum is wrong; its neighbours are right."""
    with closing(sqlite3.connect(log, isolation_level=None)) as connection:
        connection.execute("UPDATE events SET depth = 9 WHERE position = 77")
        connection.execute("UPDATE events SET chain = zeroblob(16) WHERE position = 50")
    assert ((77, 77),) == salvage(log, target).lost
    with open_reader(target) as reader:
        assert [("gap", 77)] == [(problem.what, problem.position) for problem in reader.verify().problems]


@pytest.mark.parametrize("size", [4096, 100])
def test_events_come_back_without_the_first_page(log: Path, target: Path, size: int) -> None:
    """To SQLite it is no database any more: everything is found in the bytes themselves."""
    whole = log.read_bytes()
    log.write_bytes(bytes(size) + whole[size:])
    result = salvage(log, target)
    assert (EVENTS, ()) == (result.events, result.lost)
    assert (2, 1) == (result.snapshots, result.attachments)
    with open_reader(target) as reader:
        assert reader.verify().ok


def test_what_is_ahead_of_a_lost_end_is_set_back(log: Path, target: Path) -> None:
    """A cursor beyond the end would skip what is new, and a snapshot beyond its stream would hide it."""
    with closing(sqlite3.connect(log, isolation_level=None)) as connection:
        connection.execute("UPDATE events SET depth = 9 WHERE position > 150")
    result = salvage(log, target)
    assert (((151, EVENTS),), 150, 1) == (result.lost, result.head, result.snapshots)
    with open_store(target, reserve_bytes=0) as store:
        assert 150 == store.cursor("reader")
        assert 50 == store.snapshot("b").version  # type: ignore[union-attr]
        assert store.verify().ok


def test_events_behind_a_flipped_bit_in_the_wal_come_back(path: Path, target: Path, tmp_path: Path) -> None:
    """SQLite drops them without a word; each frame behind it is whole."""
    with open_store(path, reserve_bytes=0) as store:
        for n in range(30):
            append(store, "a", Counted(n))
        copy = tmp_path / "copy" / "lrm.db"
        copy.parent.mkdir()
        for suffix in ("", "-wal", "-mark"):
            copy.with_name(f"lrm.db{suffix}").write_bytes(path.with_name(f"lrm.db{suffix}").read_bytes())
    wal = copy.with_name("lrm.db-wal")
    data = bytearray(wal.read_bytes())
    data[len(data) // 2] ^= 1
    wal.write_bytes(data)
    with open_reader(copy) as reader:
        assert reader.verify().head < 30
        assert not reader.verify().ok
    for file in (copy.with_name("lrm.db-shm"),):
        file.unlink(missing_ok=True)
    assert (30, ()) == (salvage(copy, target).events, salvage_copy(copy, tmp_path / "again.db").lost)


def test_a_log_of_the_first_schema_comes_back_by_its_chain(log: Path, target: Path) -> None:
    """There are no checksums: an event is right if it fits the one before it, or carries the one behind it."""
    with closing(sqlite3.connect(log, isolation_level=None)) as connection:
        connection.execute("ALTER TABLE events DROP COLUMN checksum")
        connection.execute("UPDATE events SET depth = 9 WHERE position = 77")
        connection.execute("PRAGMA user_version = 1")
    result = salvage(log, target)
    assert (EVENTS - 1, ((77, 77),)) == (result.events, result.lost)


def test_a_live_log_is_left_alone(sqlite_store: object, path: Path, target: Path) -> None:
    """Its owner is alive: reading the file itself would take SQLite's locks from it."""
    with pytest.raises(LogLocked):
        salvage(path, target)
    assert not target.exists()


def test_what_cannot_be_salvaged_is_told(log: Path, target: Path, tmp_path: Path) -> None:
    """No file, something at the target, and bytes in which there is nothing of a log."""
    with pytest.raises(LogNotFound):
        salvage(tmp_path / "none.db", target)
    with pytest.raises(LogExists):
        salvage(log, log)
    junk = tmp_path / "junk.db"
    junk.write_bytes(os.urandom(20_000))
    with pytest.raises(CorruptLog):
        salvage(junk, target)
    assert [] == list(target.parent.iterdir())


def test_a_removed_beginning_is_not_lost(path: Path, target: Path) -> None:
    """Where the log begins is known from what it says of what was removed."""
    with open_store(path, reserve_bytes=0) as store:
        for n in range(20):
            append(store, "a", Counted(n))
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(
            "UPDATE meta SET value = (SELECT chain FROM events WHERE position = 8) WHERE key = 'removed_chain'"
        )
        connection.execute("UPDATE meta SET value = 8 WHERE key = 'removed_position'")
        connection.execute("UPDATE streams SET removed_version = 8")
        connection.execute("DELETE FROM events WHERE position <= 8")
    assert (12, ()) == (salvage(path, target).events, salvage(path, target.with_name("again.db")).lost)
    with open_reader(target) as reader:
        assert (9, True) == (reader.first, reader.verify().ok)


def test_a_copy_is_kept_of_every_file(log: Path, tmp_path: Path) -> None:
    """Byte for byte, in a directory of its own."""
    kept = keep_copy(log, tmp_path / "kept")
    assert log.read_bytes() == kept.read_bytes()
    assert mark_path(log).read_bytes() == mark_path(kept).read_bytes()
    assert 0o700 == kept.parent.stat().st_mode & 0o777


def test_a_large_event_comes_back_from_its_chain_of_pages(path: Path, target: Path) -> None:
    """And does not where one of them is lost."""
    with open_store(path, reserve_bytes=0) as store:
        store.append(Batch((StreamWrite("a", (NewEvent(Counted(1, "y" * 20_000)), NewEvent(Counted(2)))),)))
    assert (2, ()) == (salvage(path, target).events, salvage(path, target.with_name("again.db")).lost)
    whole = bytearray(path.read_bytes())
    whole[whole.rindex(b"y" * 4000) + 10] = 0
    path.write_bytes(whole)
    assert ((1, 1),) == salvage(path, target.with_name("third.db")).lost


def test_nobody_else_may_look_at_what_is_made(log: Path, tmp_path: Path, open_umask: None) -> None:
    """Every directory and every file is its owner's alone, whatever the process would give to others."""
    keep_copy(log, tmp_path / "kept" / "a" / "b")
    salvage(log, tmp_path / "salvaged" / "c" / "lrm.db")
    made = [one for top in ("kept", "salvaged") for one in (tmp_path / top, *(tmp_path / top).rglob("*"))]
    assert len(made) > 6
    assert {0o700 if one.is_dir() else 0o600 for one in made} == {one.stat().st_mode & 0o777 for one in made}
    assert [] == [one for one in made if one.stat().st_mode & 0o077]


@pytest.fixture
def open_umask() -> Iterator[None]:
    """New files are for everyone to read."""
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.mark.parametrize(
    ("table", "columns", "found"),
    [
        ("snapshots", (1, 2, "a/1", b"c" * 16, b"{}"), [(9, 1, 2, "a/1", b"c" * 16, b"{}")]),
        ("snapshots", (None, 2, "a/1", b"c" * 16, b"{}"), []),
        ("attachments", (None, "key", 3, 4, b"c" * 16, b"{}"), [(9, "key", 3, 4, b"c" * 16, b"{}")]),
        ("attachments", (1, "key", 3, 4, b"c" * 16, b"{}"), []),
    ],
)
def test_bytes_that_look_like_a_row_by_chance_are_none(table: str, columns: Any, found: Any) -> None:
    """A column that is the row's own number is stored as NULL, and no other first column is."""
    region = SimpleNamespace(trust=1, rows=lambda _table: [Row(9, columns, 0)])
    remains: Any = SimpleNamespace(regions=lambda: [region])
    assert found == list(salvaged._carved(remains, table, set(), lambda row: row, complete=False))
