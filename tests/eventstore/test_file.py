"""The log file as others see it: its header, its views, and what a damaged byte in it does."""

from __future__ import annotations

import contextlib
import random
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from eventstore import schema
from eventstore.errors import CorruptAttachment, CorruptEvent, CorruptLog, EventStoreError
from eventstore.opening import open_reader, open_store
from eventstore.records import Attachment, Batch, Cursor, Durability, NewEvent, Receipt, Snapshot, StreamWrite
from eventstore.schema import SCHEMA_VERSION
from eventstore.store import SqliteStore
from tests.eventstore.support import Counted, FakeClock, Measured, append, counts

PRAGMAS = ("synchronous", "wal_autocheckpoint")
FLIPS, FLIPS_FOR_RELEASE = 150, 5000


@pytest.fixture
def raw(path: Path) -> Callable[..., list[Any]]:
    """Runs SQL on the closed log of ``path``, as any SQLite tool could."""

    def run(sql: str, *values: Any) -> list[Any]:
        connection = sqlite3.connect(path, isolation_level=None)
        try:
            return connection.execute(sql, values).fetchall()
        finally:
            connection.close()

    return run


def fill(path: Path) -> None:
    """A log with ten events in two streams, two snapshots, two attachments, a cursor and a receipt."""
    clock = FakeClock()
    with open_store(path, clock=clock) as store:
        for n in range(5):
            new = NewEvent(Counted(n), cause=n or None, command_id=f"c-{n}", correlation_id="trace")
            store.append(Batch((StreamWrite("a", (new,)), StreamWrite("b", (NewEvent(Measured({"n": float(n)})),)))))
        store.append(
            Batch(
                cursors=(Cursor("reader", 4),),
                receipts=(Receipt("c-1", {"ok": True}),),
                snapshots=(Snapshot("a", 2, "a/1", b'{"n":1}'), Snapshot("a", 4, "a/1", b'{"n":3}')),
                attachments=(Attachment("small", b"bytes"), Attachment("large", bytes(range(256)) * 80)),
            )
        )


# --- header and pragmas -------------------------------------------------------------------------------------------


def test_the_file_is_set_up_as_promised(sqlite_store: SqliteStore, path: Path) -> None:
    """WAL, incremental vacuum, schema version; the writer waits for the disk and trusts no schema."""
    writer = sqlite_store._writer.transactions._connection

    def pragma(connection: sqlite3.Connection, name: str) -> Any:
        return connection.execute(f"PRAGMA {name}").fetchone()[0]

    assert "wal" == pragma(writer, "journal_mode")
    assert 2 == pragma(writer, "auto_vacuum")
    assert 2 == pragma(writer, "synchronous")
    assert 5000 == pragma(writer, "busy_timeout")
    assert 0 == pragma(writer, "trusted_schema")
    assert 0 < pragma(writer, "wal_autocheckpoint")
    assert 0 < pragma(writer, "journal_size_limit") <= 2**26
    assert SCHEMA_VERSION == pragma(writer, "user_version")
    with open_reader(path) as reader, reader._pool.lend() as connection:
        assert 1 == pragma(connection, "query_only")
        assert 0 == pragma(connection, "wal_autocheckpoint")
        with pytest.raises(sqlite3.OperationalError):
            connection.execute("DELETE FROM events")


def test_a_relaxed_append_does_not_wait_and_a_strict_one_does(sqlite_store: SqliteStore) -> None:
    """The pragma is switched between transactions; a barrier after relaxed ones writes something to wait for."""
    writer = sqlite_store._writer
    statements: list[str] = []
    writer.transactions._connection.set_trace_callback(statements.append)

    def synchronous() -> int:
        return int(writer.transactions._connection.execute("PRAGMA synchronous").fetchone()[0])

    append(sqlite_store, "a", Counted(1), durability=Durability.RELAXED)
    assert 1 == synchronous()
    append(sqlite_store, "a", Counted(2), durability=Durability.RELAXED)
    statements.clear()
    sqlite_store.barrier()
    assert 2 == synchronous()
    assert any("barrier" in statement for statement in statements)
    statements.clear()
    sqlite_store.barrier()
    assert [] == statements
    append(sqlite_store, "a", Counted(3), durability=Durability.RELAXED)
    sqlite_store.append(Batch(discard=("nothing there",)))  # changes no page itself
    assert 2 == synchronous()
    assert any("barrier" in statement for statement in statements)


def test_only_commits_that_wait_checkpoint(sqlite_store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """And among many relaxed ones some wait all the same, or the WAL would grow without bound."""
    monkeypatch.setattr("eventstore.transactions.MAX_RELAXED", 3)
    connection = sqlite_store._writer.transactions._connection
    found = []
    for n in range(8):
        append(sqlite_store, "a", Counted(n), durability=Durability.RELAXED)
        found.append(tuple(connection.execute(f"PRAGMA {name}").fetchone()[0] for name in PRAGMAS))
    assert [(1, 0), (1, 0), (1, 0), (2, 1000)] * 2 == found


def test_closing_makes_relaxed_appends_durable(path: Path) -> None:
    """Even where another process keeps the log open, so that closing does not checkpoint."""
    store = open_store(path)
    append(store, "a", Counted(1), durability=Durability.RELAXED)
    statements: list[str] = []
    store._writer.transactions._connection.set_trace_callback(statements.append)
    store.close()
    assert any("barrier" in statement for statement in statements)


def test_the_wal_is_gone_after_closing(path: Path) -> None:
    """The file alone holds everything."""
    fill(path)
    assert {"lrm.db", "lrm.db-mark", "lrm.db-reserve", "lrm.lock"} == {file.name for file in path.parent.iterdir()}


def test_migrating_twice_changes_nothing(path: Path, raw: Callable[..., list[Any]]) -> None:
    """A log whose version was lost is migrated again, to what it already is."""
    fill(path)
    before = raw("SELECT sql FROM sqlite_schema ORDER BY name")
    raw("PRAGMA user_version = 0")
    with open_store(path) as store:
        assert list(range(5)) == counts(store, "a")
        assert store.verify().ok
    assert before == raw("SELECT sql FROM sqlite_schema ORDER BY name")
    assert [(SCHEMA_VERSION,)] == raw("PRAGMA user_version")


def test_a_new_log_is_as_the_migrations_make_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is made without the library that migrates older ones; nothing in the file may tell that."""

    def made(name: str) -> tuple[list[Any], list[Any]]:
        with contextlib.closing(sqlite3.connect(tmp_path / name, isolation_level=None)) as connection:
            schema.migrate(connection, "0" * 32)
            noted = connection.execute("SELECT id, migration_set, name, length(applied_at) FROM _sqlite_migrations")
            return connection.execute(
                "SELECT type, name, tbl_name, sql FROM sqlite_schema"
            ).fetchall(), noted.fetchall()

    directly = made("directly.db")
    monkeypatch.setattr(schema, "_apply_all", schema._apply_pending)
    assert made("migrated.db") == directly


# --- views --------------------------------------------------------------------------------------------------------


def test_any_sqlite_tool_can_read_the_views(path: Path, raw: Callable[..., list[Any]]) -> None:
    """Names in place of numbers, text in place of blobs, dates that people read."""
    fill(path)
    assert (
        3,
        "a",
        2,
        "sample.counted",
        1,
        "1970-01-01T00:16:40.000Z",
        1,
        "c-1",
        "trace",
        0,
        '{"n":1,"note":""}',
    ) == raw("SELECT * FROM event_log WHERE position = 3")[0]
    assert [("a", 5, 0), ("b", 5, 0)] == raw("SELECT * FROM stream_log")
    assert [("a", 2, "a/1", '{"n":1}'), ("a", 4, "a/1", '{"n":3}')] == raw("SELECT * FROM snapshot_log")
    assert [("large", "1970-01-01T00:16:40.000Z", 20480), ("small", "1970-01-01T00:16:40.000Z", 5)] == raw(
        "SELECT * FROM attachment_log"
    )
    assert [("reader", 4)] == raw("SELECT consumer, position FROM cursors")


# --- damage -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("damage", "what", "position"),
    [
        ('UPDATE events SET data = CAST(\'{"n":9,"note":""}\' AS BLOB) WHERE position = 5', "checksum", 5),
        ("UPDATE events SET cause = NULL WHERE position = 5", "checksum", 5),
        ("UPDATE events SET wall_us = wall_us + 1 WHERE position = 6", "checksum", 6),
        ("UPDATE events SET command_id = 'x' WHERE position = 1", "checksum", 1),
        ("UPDATE events SET chain = zeroblob(16) WHERE position = 3", "chain", 3),
        ("UPDATE streams SET name = 'c' WHERE name = 'b'", "checksum", 2),
        ("UPDATE types SET name = 'sample.measure' WHERE name = 'sample.measured'", "checksum", 2),
        ("UPDATE boots SET name = 'boot-2'", "checksum", 1),
        ("UPDATE meta SET value = 'other' WHERE key = 'log_id'", "chain", 1),
        ("UPDATE events SET data = CAST('{' AS BLOB) WHERE position = 7", "checksum", 7),
        ("UPDATE events SET schema_version = 2 WHERE position = 7", "checksum", 7),
        ("DELETE FROM events WHERE position = 4", "gap", 4),
        ("DELETE FROM events WHERE position = 1", "gap", 1),
        ("UPDATE events SET version = 9 WHERE position = 8", "checksum", 8),
        ("DELETE FROM types", "file", 1),
        ("UPDATE snapshots SET data = x'00' WHERE version = 4", "snapshot", None),
        ("UPDATE snapshots SET schema = 'a/2' WHERE version = 4", "snapshot", None),
        ("UPDATE attachments SET data = x'00' WHERE key = 'small'", "attachment", None),
        ("UPDATE attachments SET key = 'other' WHERE key = 'small'", "attachment", None),
    ],
)
def test_verify_names_what_is_wrong_and_where_first(
    path: Path, raw: Callable[..., list[Any]], damage: str, what: str, position: int | None
) -> None:
    """Every kind of damage to a record is found, and the first bad position is named."""
    fill(path)
    with open_reader(path) as reader:
        found = reader.verify()
        assert (10, 2, 2, 2, ()) == (found.events, found.streams, found.snapshots, found.attachments, found.problems)
    raw(damage)
    with open_reader(path) as reader:
        problems = reader.verify().problems
        assert (what, position) in [(problem.what, problem.position) for problem in problems]
        assert position == min((p.position for p in problems if p.position is not None), default=None)


def test_unknown_types_are_a_problem_unless_placeholders_are_wanted(path: Path, raw: Callable[..., list[Any]]) -> None:
    """A tool that does not know the user's own events can still say whether the log is whole."""
    fill(path)
    raw("UPDATE events SET type_id = 77 WHERE position = 10")
    raw("INSERT INTO types VALUES (77, 'users.own')")
    for unknown, expected in (("raise", {"checksum"}), ("placeholder", {"checksum"})):
        with open_reader(path, unknown=unknown) as reader:  # type: ignore[arg-type]  # a plain str
            assert expected == {problem.what for problem in reader.verify().problems}


def test_a_damaged_snapshot_is_passed_over(path: Path, raw: Callable[..., list[Any]]) -> None:
    """For the next older one, and at last for none: the events have the truth."""
    fill(path)
    raw("UPDATE snapshots SET data = x'00' WHERE version = 4")
    with open_reader(path) as reader:
        assert Snapshot("a", 2, "a/1", b'{"n":1}') == reader.snapshot("a")
    raw("UPDATE snapshots SET checksum = x'00' WHERE version = 2")
    with open_reader(path) as reader:
        assert reader.snapshot("a") is None


def test_a_damaged_attachment_is_told(path: Path, raw: Callable[..., list[Any]]) -> None:
    """Never given out."""
    fill(path)
    raw("UPDATE attachments SET data = x'00' WHERE key = 'small'")
    with open_reader(path) as reader:
        with pytest.raises(CorruptAttachment):
            reader.attachment("small")
        assert 20480 == len(reader.attachment("large").data)


def test_a_damaged_attachment_hides_none_of_those_read_with_it(path: Path, raw: Callable[..., list[Any]]) -> None:
    """It is told of in its place among them, never left out."""
    fill(path)
    raw("UPDATE attachments SET data = x'00' WHERE key = 'small'")
    with open_reader(path) as reader:
        found = reader.attachments(["large", "small", "large"])
        assert 20480 == len(next(found).data)
        with pytest.raises(CorruptAttachment) as caught:
            next(found)
        assert "small" == caught.value.key
        assert ["large"] == [one.key for one in found]


def test_a_damaged_event_is_told_with_its_position(path: Path, raw: Callable[..., list[Any]]) -> None:
    """Those before and after it can be read."""
    fill(path)
    raw("UPDATE events SET data = x'00' WHERE position = 5")
    with open_reader(path) as reader:
        with pytest.raises(CorruptEvent) as caught:
            list(reader.read())
        assert 5 == caught.value.position
        assert [6, 7, 8, 9, 10] == [record.position for record in reader.read(after=5)]


def test_a_damaged_receipt_is_told(path: Path, raw: Callable[..., list[Any]]) -> None:
    """Rather than given as an answer."""
    fill(path)
    raw("UPDATE receipts SET reply = x'00'")
    with open_reader(path) as reader, pytest.raises(CorruptLog):
        reader.receipt("c-1")


def content(path: Path) -> object:
    """Everything that hashes vouch for, by every way of reading it."""
    with open_reader(path) as reader:
        return (
            list(reader.read()),
            [list(reader.read_stream(name)) for name in ("a", "b")],
            reader.snapshot("a"),
            [reader.attachment(key) for key in reader.attachment_keys()],
        )


def flips(size: int, seed: int, many: int) -> Iterator[tuple[int, int]]:
    """Places and bits, seeded."""
    chance = random.Random(seed)
    return ((chance.randrange(size), 1 << chance.randrange(8)) for _ in range(many))


def test_a_flipped_bit_is_harmless_or_found(path: Path, tmp_path: Path, release: bool) -> None:
    """Anywhere in the file: what is read is right, or refused with a typed error and reported by verify."""
    fill(path)
    whole = path.read_bytes()
    expected = content(path)
    victim = tmp_path / "victim.db"
    harmed = 0
    for place, bit in flips(len(whole), 1, FLIPS_FOR_RELEASE if release else FLIPS):
        damaged = bytearray(whole)
        damaged[place] ^= bit
        victim.write_bytes(damaged)
        try:
            same = expected == content(victim)
        except EventStoreError:
            same = False
        if not same:
            harmed += 1
            try:
                with open_reader(victim) as reader:
                    assert not reader.verify().ok, f"byte {place} bit {bit}"
            except EventStoreError:
                continue
        for file in tmp_path.glob("victim.db-*"):
            file.unlink()
    print(f"{harmed} harmful flips, all found")
    assert harmed


def test_sqlite_alone_would_not_find_a_flipped_payload_bit(path: Path, raw: Callable[..., list[Any]]) -> None:
    """The planted bug: a verify that only asks SQLite calls a changed record whole."""
    fill(path)
    raw('UPDATE events SET data = CAST(\'{"n":9,"note":""}\' AS BLOB) WHERE position = 5')
    assert [("ok",)] == raw("PRAGMA integrity_check")
    with open_reader(path) as reader:
        assert not reader.verify().ok


def test_a_log_cut_short_is_told(path: Path, tmp_path: Path) -> None:
    """A file that lost its end, or its middle, or its beginning."""
    fill(path)
    whole = path.read_bytes()
    end, middle = whole[: len(whole) // 2], whole[:8192] + bytes(4096) + whole[12288:]
    for n, damaged in enumerate((end, middle, bytes(4096) + whole[4096:])):
        victim = tmp_path / f"victim-{n}.db"
        victim.write_bytes(damaged)
        try:
            with open_reader(victim) as reader:
                assert not reader.verify().ok
        except EventStoreError:
            continue
