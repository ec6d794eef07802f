"""What verify says of damage: once, where it is, and nothing of what only follows from it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from eventstore import integrity
from eventstore.checksums import chain_anchor, chain_next, record_checksum
from eventstore.damage.trail import Trail
from eventstore.errors import CorruptLog, TailMissing
from eventstore.mark import SLOT_BYTES, MarkFile, mark_path, read_mark
from eventstore.opening import open_reader, open_store
from eventstore.records import (
    Attachment,
    Batch,
    Cursor,
    NewEvent,
    Receipt,
    Retention,
    Snapshot,
    StreamWrite,
    Verification,
)
from tests.eventstore.support import Counted, append


def fill(path: Path, events: int = 10) -> None:
    """Events in two streams in turn, each with its own commit."""
    with open_store(path, reserve_bytes=0) as store:
        for n in range(events):
            append(store, "ab"[n % 2], Counted(n))


def change(path: Path, sql: str, *values: Any) -> None:
    """What somebody does to the file behind our back."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(sql, values)


def found(path: Path) -> list[tuple[str, int | None]]:
    """The problems of a log."""
    return [(problem.what, problem.position) for problem in verified(path).problems]


def verified(path: Path) -> Verification:
    """What verify says of a log."""
    with open_reader(path) as reader:
        return reader.verify()


def test_head_and_mark_are_told(path: Path) -> None:
    """How far the log goes, and how far it was acknowledged at least."""
    fill(path)
    assert (10, 10, True) == (verified(path).head, verified(path).marked, verified(path).ok)
    mark_path(path).unlink()
    assert (10, None, True) == (verified(path).head, verified(path).marked, verified(path).ok)


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("UPDATE events SET data = x'7b7d' WHERE position = 4", [("checksum", 4)]),
        ("UPDATE events SET version = 9 WHERE position = 4", [("checksum", 4)]),
        ("UPDATE events SET stream_id = 9 WHERE position = 4", [("file", 4)]),
        ("UPDATE events SET chain = zeroblob(16) WHERE position = 4", [("chain", 4)]),
        ("UPDATE events SET chain = zeroblob(16), depth = 5 WHERE position = 4", [("checksum", 4)]),
        ("UPDATE events SET checksum = 1 WHERE position = 4", [("checksum", 4)]),
        ("UPDATE events SET checksum = NULL WHERE position = 4", [("checksum", 4)]),
        (
            "UPDATE events SET depth = 5 WHERE position IN (4, 5, 8)",
            [("checksum", 4), ("checksum", 5), ("checksum", 8)],
        ),
        ("DELETE FROM events WHERE position IN (4, 5)", [("gap", 4)]),
        ("DELETE FROM events WHERE position > 8", [("tail", 9)]),
        ("UPDATE events SET depth = 5 WHERE position = 10", [("checksum", 10)]),
    ],
)
def test_damage_is_told_once_and_where_it_is(path: Path, sql: str, expected: list[tuple[str, int | None]]) -> None:
    """And none of the events after it, which are as they were."""
    fill(path)
    change(path, sql)
    assert (
        sorted(expected, key=str) == sorted((one for one in found(path) if one[0] != "mark"), key=str)[: len(expected)]
    )
    positions = [position for _, position in found(path) if position is not None]
    assert positions == sorted(positions)


def test_the_first_bad_position_comes_first(path: Path) -> None:
    """Problems of the file as a whole, which have no position, come after those that have one."""
    fill(path)
    change(path, "UPDATE events SET depth = 5 WHERE position = 7")
    change(path, "DELETE FROM events WHERE position = 3")
    change(path, "UPDATE meta SET value = -1 WHERE key = 'removed_position'")
    assert found(path)[-1][1] is None
    change(path, "UPDATE meta SET value = 0 WHERE key = 'removed_position'")
    assert [("gap", 3), ("checksum", 7)] == found(path)


def test_a_log_of_the_first_schema_is_verified_by_its_chain(path: Path) -> None:
    """It has no column for checksums, and reading does not migrate it."""
    fill(path)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for sql in ("ALTER TABLE events DROP COLUMN checksum", "DROP TABLE appends", "PRAGMA user_version = 1"):
            connection.execute(sql)
        connection.execute("ALTER TABLE receipts DROP COLUMN checksum")
    assert [] == found(path)
    change(path, "UPDATE events SET depth = 5 WHERE position = 4")
    assert [("chain", 4)] == found(path)


def test_another_chain_at_the_marked_position_is_told(path: Path) -> None:
    """A log that was put back to an older state and went on differently is whole, and is not the one acknowledged."""
    fill(path)
    mark = mark_path(path).read_bytes()
    change(path, "DELETE FROM events WHERE position > 8")
    with open_store(path, accept_lost_tail=True, reserve_bytes=0) as store:
        append(store, "a", Counted(100), Counted(101), Counted(102))
    assert [] == found(path)
    mark_path(path).write_bytes(mark)
    assert [("mark", 10)] == found(path)


def test_the_mark_of_another_log_is_told(path: Path, tmp_path: Path) -> None:
    """Whoever put one file in the place of another."""
    fill(path)
    other = tmp_path / "other" / "lrm.db"
    fill(other)
    mark_path(path).write_bytes(mark_path(other).read_bytes())
    assert [("mark", None)] == found(path)


def test_an_unreadable_mark_is_told_and_hides_nothing(path: Path) -> None:
    """One of its two slots is enough; with none of them it is said that a missing tail would not be noticed."""
    fill(path)
    data = bytearray(mark_path(path).read_bytes())
    data[10] ^= 1
    mark_path(path).write_bytes(data)
    assert [] == found(path)
    data[SLOT_BYTES + 10] ^= 1
    mark_path(path).write_bytes(data)
    assert [("mark", None)] == found(path)


def test_a_lost_commit_without_events_is_told(path: Path) -> None:
    """A cursor, a snapshot, an attachment or an epoch that was acknowledged after the last event."""
    fill(path)
    with open_store(path, reserve_bytes=0) as store:
        before = (path.read_bytes(), path.with_name("lrm.db-wal").read_bytes())
        store.append(Batch(cursors=(Cursor("reader", 3),)))
    path.write_bytes(before[0])
    path.with_name("lrm.db-wal").write_bytes(before[1])
    assert [("tail", None)] == found(path)
    with pytest.raises(TailMissing, match="what was acknowledged after that is missing"):
        open_store(path)
    with open_store(path, accept_lost_tail=True, reserve_bytes=0) as store:
        assert store.verify().ok
    assert [] == found(path)


@pytest.mark.parametrize(
    ("sql", "what"),
    [
        ("UPDATE snapshots SET version = 7", "snapshot"),
        ("UPDATE attachments SET data = x'00'", "attachment"),
        ("UPDATE attachments SET size = 1", "attachment"),
        ("UPDATE cursors SET position = 99", "cursor"),
        ("UPDATE receipts SET reply = CAST('{\"ok\":false}' AS BLOB)", "receipt"),
        ("UPDATE appends SET result = x'00'", "append"),
        ("UPDATE meta SET value = 'x' WHERE key = 'removed_chain'", "meta"),
    ],
)
def test_what_is_kept_beside_the_events_is_checked(path: Path, sql: str, what: str) -> None:
    """By their checksums, and by what they say of the events."""
    with open_store(path, reserve_bytes=0) as store:
        writes = (StreamWrite("a", (NewEvent(Counted(1)),)),)
        store.append(
            Batch(
                writes,
                receipts=(Receipt("c", {"ok": True}),),
                snapshots=(Snapshot("a", 1, "a/1", b"{}"),),
                attachments=(Attachment("file", b"bytes"),),
                idempotency_key="key",
            )
        )
        store.append(Batch(cursors=(Cursor("reader", 1),)))
    assert [] == found(path)
    change(path, sql)
    assert what in {one for one, _ in found(path)}


# --- the trail ----------------------------------------------------------------------------------------------------


def trail(records: list[bytes]) -> list[tuple[bytes, bytes, int]]:
    """Records with their hashes."""
    chain, made = chain_anchor("log"), []
    for record in records:
        chain = chain_next(chain, record)
        made.append((record, chain, record_checksum(record)))
    return made


def judged(records: list[tuple[bytes, bytes, int]]) -> list[str | None]:
    """What a trail says of each."""
    walker = Trail(chain_anchor("log"))
    return [walker.judge(*one)[0] for one in records]


def test_a_record_taken_out_put_in_or_moved_breaks_the_chain_once() -> None:
    """All have right checksums; where the chain is broken is told, and not again behind it."""
    made = trail([b"a", b"b", b"c", b"d", b"e"])
    assert [None, None, None, None] == judged(made[:4])
    assert [None, "chain", None, None] == judged(made[:1] + made[2:])
    assert [None, None, "chain", None, None] == judged(
        [*made[:2], (b"x", b"\0" * 16, record_checksum(b"x")), *made[3:]]
    )


def test_a_trail_without_checksums_needs_its_neighbour() -> None:
    """Behind a gap, a changed record of the first schema is told by nothing; with a checksum it is."""
    made = trail([b"a", b"b", b"c"])
    changed = (b"x", made[1][1], made[1][2])
    for checksum, expected in ((None, None), (changed[2], "checksum")):
        walker = Trail(chain_anchor("log"))
        walker.gap()
        assert (expected, False) == (walker.judge(changed[0], changed[1], checksum)[0], False)


def test_a_mark_counts_commits(path: Path) -> None:
    """Both numbers come back as they were noted, the newest of two."""
    path.parent.mkdir()
    with closing(MarkFile(path, "ab" * 16)) as file:
        file.write(5, b"c" * 16, 7)
        file.write(5, b"c" * 16, 8)
    mark = read_mark(path)
    assert mark is not None
    assert (5, 8) == (mark.position, mark.commits)


def test_retention_that_goes_on_while_verify_reads_is_no_gap(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It removes what stands before the page that was read, and more of the page itself before that is looked at."""
    monkeypatch.setattr(integrity, "PAGE_ROWS", 10)
    with open_store(path, reserve_bytes=0) as store:
        for n in range(60):
            append(store, "ab"[n % 2], Counted(n))

        def retain(kept: int) -> None:
            store.retain(Retention(max_events=kept, expendable=("a", "b")))

        take, was_removed = integrity._Check._take, integrity._Check._was_removed

        def taking(check: integrity._Check, row: Any) -> None:
            take(check, row)
            if row[0] == 10:
                retain(40)  # the next page begins with 21

        def looking(check: integrity._Check, position: int) -> bool:
            retain(36)
            return was_removed(check, position)

        monkeypatch.setattr(integrity._Check, "_take", taking)
        monkeypatch.setattr(integrity._Check, "_was_removed", looking)
        result = store.verify()
    assert ((), 46, 60) == (result.problems, result.events, result.head)


def test_a_reply_that_is_not_what_was_stored_is_not_given(path: Path) -> None:
    """Whoever tries a command again would take it for what the first try was told."""
    with open_store(path) as store:
        store.append(Batch(receipts=(Receipt("c", {"paid": 1}),)))
    change(path, "UPDATE receipts SET reply = ?", b'{"paid":2}')
    with open_reader(path) as reader, pytest.raises(CorruptLog, match="checksum"):
        reader.receipt("c")


def test_a_damaged_idempotency_key_is_told_and_costs_nobody_else_anything(tmp_path: Path) -> None:
    """Its sender is not given a result that may be wrong; the next batch is stored as ever."""
    log = tmp_path / "lrm.db"
    keyed = Batch((StreamWrite("a", (NewEvent(Counted(1)),)),), idempotency_key="key")
    with open_store(log) as store:
        store.append(keyed)
    connection = sqlite3.connect(log)
    connection.execute("UPDATE appends SET result = ?", (b'{"first_position":7}',))
    connection.commit()
    connection.close()
    with open_store(log) as store:
        other, again = store.submit(Batch((StreamWrite("b", (NewEvent(Counted(2)),)),))), store.submit(keyed)
        with pytest.raises(CorruptLog, match="'key'"):
            again.result()
        assert 2 == other.result().last_position
