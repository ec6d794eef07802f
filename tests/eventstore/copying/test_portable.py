"""Exports: the same log gives the same bytes, what is imported is the same log, and nothing damaged is imported."""

from __future__ import annotations

import io
import itertools
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eventstore.copying import importing
from eventstore.copying.lines import LineWriter
from eventstore.copying.portable import Exported, export_log, import_log
from eventstore.errors import BadRequest, CopyFailed, CorruptEvent, CorruptLog, ExportDamaged, LogExists, ReadFailed
from eventstore.opening import open_reader, open_store
from eventstore.records import Attachment, Batch, Cursor, NewEvent, Receipt, Retention, Snapshot, StreamWrite
from tests.eventstore.support import Counted, FakeClock, Measured, append

GOLDEN = Path(__file__).parents[1] / "golden"


def exported(source: Any) -> bytes:
    """The bytes of an export."""
    file = io.BytesIO()
    export_log(source, file)
    return file.getvalue()


def lived(path: Path, clock: FakeClock | None = None) -> None:
    """A log with everything in it, whose first events are removed."""
    with open_store(path, clock=clock or FakeClock()) as store:
        append(store, "a", *(Counted(n, "ä\n\u2028") for n in range(10)))
        grant = store.acquire("b/ü")
        write = StreamWrite("b/ü", (NewEvent(Measured({"x": 0.1}, ("l",), {"k": [1, None]}), cause=3),), 0, grant.epoch)
        store.append(
            Batch(
                (write, StreamWrite("a", (NewEvent(Counted(10), command_id="c", correlation_id="r", depth=2),))),
                cursors=(Cursor("reader", 7), Cursor("other", 12)),
                receipts=(Receipt("z", {"ok": True}), Receipt("c", None)),
                snapshots=(Snapshot("a", 8, "sample/1", b'{"n":0}'), Snapshot("a", 11, "sample/2", b"\x00\xff no\n")),
                attachments=(Attachment("k/2", bytes(range(256))), Attachment("k/1", b"{}")),
                idempotency_key="once",
            )
        )
        store.acquire("never written to")
        append(store, "a", *(Counted(n) for n in range(11, 20)))
        assert 7 == store.retain(Retention(max_events=0)).removed


def test_a_path_in_the_place_of_a_file_is_told_to_be_one(path: Path, tmp_path: Path) -> None:
    """Both take files, so that lines may go through a pipe or a compressor; nothing is made."""
    lived(path)
    wrong: Any
    for wrong in (str(tmp_path / "e.jsonl"), io.StringIO('{"line":"'), None):
        with pytest.raises(BadRequest, match="it is no file of bytes"):
            export_log(path, wrong)
        with pytest.raises(BadRequest, match="it is no file of bytes"):
            import_log(wrong, tmp_path / "new.db")
    assert [path.parent] == list(tmp_path.iterdir())


def test_what_is_no_export_is_told_to_be_none(tmp_path: Path) -> None:
    """Rather than to be cut off."""
    with pytest.raises(ExportDamaged, match="line 1: it is not the beginning of an export"):
        import_log(io.BytesIO(b"SQLite format 3"), tmp_path / "new.db")


@pytest.fixture
def log(path: Path, clock: FakeClock) -> Path:
    """Such a log."""
    lived(path, clock)
    return path


def test_a_round_trip_gives_the_same_log_and_the_same_bytes(log: Path, tmp_path: Path) -> None:
    """Positions, versions, hashes, the log's id, epochs, and everything beside the events."""
    lines = exported(log)
    new = tmp_path / "there" / "new.db"
    done = import_log(io.BytesIO(lines), new)
    assert done == Exported(done.log_id, 21, 14, lines.count(b"\n"))
    assert ["new.db"] == [one.name for one in new.parent.iterdir()]
    assert 0o600 == new.stat().st_mode & 0o777
    assert lines == exported(new)
    with open_reader(log) as old, open_reader(new) as reader:
        assert list(old.read()) == list(reader.read())
        assert old.streams() == reader.streams()
        assert (old.first, old.head) == (reader.first, reader.head) == (8, 21)
        assert reader.verify().ok
        assert old.snapshot("a") == reader.snapshot("a")
        assert Receipt("c", None) == reader.receipt("c")
        assert (7, 12) == (reader.cursor("reader"), reader.cursor("other"))
        assert bytes(range(256)) == reader.attachment("k/2").data
    with open_store(log) as one, open_store(new) as two:
        assert one.owner_epoch == two.owner_epoch
        assert "delete" != two._writer.transactions._connection.execute("PRAGMA journal_mode").fetchone()[0]
        assert (2,) == two._writer.transactions._connection.execute("PRAGMA auto_vacuum").fetchone()
        results = [append(store, "a", Counted(20), expected_version=20) for store in (one, two)]
        assert results[0] == results[1]
        assert two.verify().ok


@pytest.mark.parametrize("lost", ["_ATTACHMENT", "_RECEIPT", "_SNAPSHOT", "_APPEND", "_STREAM"])
def test_a_planted_import_that_changes_something_is_caught(
    log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lost: str
) -> None:
    """Whatever is stored otherwise than it was, the second export tells; here, one value of each kind."""
    sql = getattr(importing, lost)
    monkeypatch.setattr(importing, lost, sql.replace("(?, ?", "(?, ? + 1", 1))
    with pytest.raises((AssertionError, CopyFailed)):
        test_a_round_trip_gives_the_same_log_and_the_same_bytes(log, tmp_path)


def test_each_line_is_json_with_the_event_as_it_is(log: Path) -> None:
    """Anyone can read it: the kind of a line stands first, and an event's data is JSON in it."""
    lines = [msgspec.json.decode(line) for line in exported(log).splitlines()]
    kinds = [kind for kind, _ in itertools.groupby(line["line"] for line in lines)]
    assert ["log", "stream", "event", "snapshot", "cursor", "receipt", "append", "attachment", "end"] == kinds
    events = [line for line in lines if line["line"] == "event"]
    assert {"n": 7, "note": "ä\n\u2028"} == events[0]["data"]
    assert list(range(8, 22)) == [event["position"] for event in events]


EVENTS = st.one_of(
    st.builds(Counted, st.integers(-(2**63), 2**63 - 1), st.text(st.characters(exclude_categories=["Cs"]))),
    st.builds(
        Measured,
        st.dictionaries(
            st.text(st.characters(exclude_categories=["Cs"])), st.floats(allow_nan=False, allow_infinity=False)
        ),
    ),
)
NAMES = st.sampled_from(["a", "b", "b/1", "ü", "\U0001f600"])
BATCHES = st.builds(
    lambda stream, events, cursors, receipts, attachments, key: Batch(
        (StreamWrite(stream, tuple(NewEvent(event) for event in events)),),
        cursors=cursors,
        receipts=receipts,
        attachments=attachments,
        idempotency_key=key,
    ),
    NAMES,
    st.lists(EVENTS, max_size=4),
    st.lists(st.builds(Cursor, NAMES, st.just(0)), max_size=2).map(tuple),
    st.lists(
        st.builds(Receipt, NAMES, st.none() | st.booleans() | st.text(st.characters(exclude_categories=["Cs"]))),
        max_size=2,
    ).map(tuple),
    st.lists(st.builds(Attachment, NAMES, st.binary(max_size=300)), max_size=2).map(tuple),
    st.none() | st.uuids().map(str),
)


@settings(max_examples=max(15, settings.default.max_examples // 4))  # type: ignore[union-attr]
@given(batches=st.lists(BATCHES, max_size=8), snapshot=st.binary(max_size=50), keep=st.integers(0, 20))
def test_any_log_comes_back(
    tmp_path_factory: pytest.TempPathFactory, batches: list[Batch], snapshot: bytes, keep: int
) -> None:
    """Whatever is in it: the export of the import is the export, byte for byte."""
    directory = tmp_path_factory.mktemp("log")
    with open_store(directory / "lrm.db", clock=FakeClock(), reserve_bytes=0) as store:
        for batch in batches:
            store.append(batch)
        for info in store.streams():
            store.append(Batch(snapshots=(Snapshot(info.name, info.version, "s/1", snapshot),)))
        store.retain(Retention(max_events=keep, consumers=()))
    lines = exported(directory / "lrm.db")
    import_log(io.BytesIO(lines), directory / "new.db")
    assert lines == exported(directory / "new.db")


def test_a_log_of_an_earlier_release(tmp_path: Path) -> None:
    """Comes back too, in the form of this one; its events have no checksums, but their hashes."""
    for number, golden in enumerate(sorted(GOLDEN.glob("*/lrm.db"))):
        copy = tmp_path / f"{number}.db"
        copy.write_bytes(golden.read_bytes())
        lines = exported(copy)
        import_log(io.BytesIO(lines), tmp_path / f"new-{number}.db")
        assert lines == exported(tmp_path / f"new-{number}.db")
        assert lines.count(b'"line":"event"') > 10


def test_an_empty_log(path: Path, tmp_path: Path) -> None:
    """Is one line, and the last."""
    open_store(path).close()
    lines = exported(path)
    assert 2 == lines.count(b"\n")
    import_log(io.BytesIO(lines), tmp_path / "new.db")
    assert lines == exported(tmp_path / "new.db")


# --- damage -------------------------------------------------------------------------------------------------------


def refused(data: bytes, place: Path) -> ExportDamaged:
    """Why an import is refused; nothing is left of it."""
    with pytest.raises(ExportDamaged) as caught:
        import_log(io.BytesIO(data), place)
    assert not list(place.parent.glob(f"{place.name}*"))
    return caught.value


def test_any_damage_is_refused_and_its_line_named(log: Path, tmp_path: Path, *, release: bool) -> None:
    """A changed byte, a line that is cut, missing, doubled or moved, and anything behind the end."""
    data = exported(log)
    lines = data.splitlines(keepends=True)
    place = tmp_path / "new.db"
    starts = [0, *itertools.accumulate(map(len, lines))]
    tried = 0
    kinds = [line[: line.index(b",")] for line in lines]
    for number, line in enumerate(lines):
        if not release and kinds[number] in kinds[:number]:
            continue  # the first of each kind
        places = range(len(line)) if release else sorted({0, len(line) // 2, len(line) - 1})
        for at in places:
            changed = bytearray(data)
            changed[starts[number] + at] ^= 1
            error = refused(bytes(changed), place)
            assert number + 1 == error.line, error
            tried += 1
        assert number + 1 == refused(data[: starts[number] + len(line) // 2], place).line
        assert number + 1 == refused(data[: starts[number]], place).line
        refused(b"".join(lines[:number] + lines[number + 1 :]), place)
        refused(b"".join(lines[: number + 1] + lines[number:]), place)
        tried += 4
    for number in range(0, len(lines) - 1, 1 if release else 5):
        swapped = [*lines[:number], lines[number + 1], lines[number], *lines[number + 2 :]]
        refused(b"".join(swapped), place)
        tried += 1
    assert len(lines) + 1 == refused(data + b"\n", place).line
    refused(b"", place)
    refused(b"SQLite format 3\x00" + bytes(100), place)
    print(f"{tried} damaged exports refused")
    import_log(io.BytesIO(data), place)


def test_lines_that_were_made_up(log: Path, tmp_path: Path) -> None:
    """Their checksums are right, and what they say is not: told at the line that does not fit."""
    lines = [msgspec.json.decode(line) for line in exported(log).splitlines()[:-1]]
    first = {
        kind: next(n for n, line in enumerate(lines) if line["line"] == kind) for kind in {x["line"] for x in lines}
    }
    changes: list[tuple[str, dict[str, Any]]] = [
        ("log", {"version": 2}),
        ("log", {"schema": 99}),
        ("log", {"log_id": "x"}),
        ("log", {"removed_chain": None}),
        ("event", {"data": {"n": 8}}),
        ("event", {"stream": "b/ü"}),
        ("event", {"checksum": 1}),
        ("event", {"chain": "00" * 16}),
        ("event", {"depth": "1"}),
        ("event", {"more": 1}),
        ("snapshot", {"version": 9}),
        ("snapshot", {"stream": "nobody"}),
        ("cursor", {"position": 22}),
        ("receipt", {"data": 1}),
        ("append", {"digest": "00"}),
        ("attachment", {"base64": "AAAA"}),
        ("stream", {"name": None}),
    ]
    for kind, change in changes:
        made = [dict(line) for line in lines]
        made[first[kind]].update(change)
        error = refused(written(made), tmp_path / "new.db")
        assert first[kind] + 1 == error.line, (kind, change, error)
    error = refused(written([line for line in lines if line.get("position") != 21]), tmp_path / "new.db")
    assert "events end at position 20" in str(error)
    import_log(io.BytesIO(written(lines)), tmp_path / "new.db")


def written(lines: list[dict[str, Any]]) -> bytes:
    """Lines with right checksums, and the last one."""
    file = io.BytesIO()
    writer = LineWriter(file)
    for line in lines:
        writer.write({key: value for key, value in line.items() if key != "crc32"})  # type: ignore[arg-type]
    writer.end()
    return file.getvalue()


def test_a_damaged_log_is_not_exported(log: Path) -> None:
    """The first event that is not as it was written is named; so is what is damaged beside the events."""
    connection = sqlite3.connect(log, isolation_level=None)
    for table, column, row, error in (
        ("events", "depth", "position = 12", CorruptEvent),
        ("snapshots", "schema", "version = 8", CorruptLog),
        ("receipts", "created_us", "command_id = 'z'", None),  # which only says when it may be forgotten
        ("receipts", "command_id", "id = 1", CorruptLog),
        ("appends", "digest", "id = 1", CorruptLog),
        ("attachments", "key", "id = 1", CorruptLog),
    ):
        (before,) = connection.execute(f"SELECT {column} FROM {table} WHERE {row}").fetchone()
        after = {int: 99, str: "other", bytes: b"other"}[type(before)]
        connection.execute(f"UPDATE {table} SET {column} = ? WHERE {row}", (after,))
        if error is None:
            exported(log)
        else:
            with pytest.raises(error) as caught:
                exported(log)
            assert getattr(caught.value, "position", 12) == 12
        connection.execute(f"UPDATE {table} SET {column} = ? WHERE {row}", (before,))
    connection.execute("DELETE FROM events WHERE position = 15")
    with pytest.raises(CorruptEvent) as missing:
        exported(log)
    assert 15 == missing.value.position
    connection.close()


# --- places -------------------------------------------------------------------------------------------------------


def test_nothing_is_overwritten(log: Path, tmp_path: Path) -> None:
    """Not a log, and not a WAL that would be taken for the new log's."""
    data = exported(log)
    with pytest.raises(LogExists):
        import_log(io.BytesIO(data), log)
    (tmp_path / "new.db-wal").write_bytes(b"")
    with pytest.raises(LogExists):
        import_log(io.BytesIO(data), tmp_path / "new.db")
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(CopyFailed):
        import_log(io.BytesIO(data), tmp_path / "file" / "new.db")
    (tmp_path / "link.db").symlink_to("nowhere")
    with pytest.raises(LogExists):
        import_log(io.BytesIO(data), tmp_path / "link.db")


# --- a log that lives ---------------------------------------------------------------------------------------------

APPENDER = """
import sys
from eventstore.opening import open_store
from eventstore.records import Batch, Cursor, Receipt
from tests.eventstore.support import Counted, append
with open_store(sys.argv[1]) as store:
    for n in range(1_000_000):
        append(store, "a", Counted(n), cursors=(Cursor("c", n),), receipts=(Receipt(str(n), n),))
        if n == 200:
            print("ready", flush=True)
"""


def test_the_export_of_a_log_that_another_process_writes(path: Path, tmp_path: Path) -> None:
    """Is of one moment: its cursor and its newest reply are those of its newest event."""
    command = [sys.executable, "-c", APPENDER, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]) as owner:
        try:
            assert owner.stdout is not None
            owner.stdout.readline()
            taken = [exported(path) for _ in range(3)]
        finally:
            owner.kill()
    heads = []
    for number, lines in enumerate(taken):
        new = tmp_path / f"{number}.db"
        heads.append(import_log(io.BytesIO(lines), new).head)
        with open_reader(new) as reader:
            assert heads[-1] - 1 == reader.cursor("c")
            assert heads[-1] - 1 == reader.receipt(str(heads[-1] - 1)).reply  # type: ignore[union-attr]
            assert list(range(heads[-1])) == [record.event.n for record in reader.read()]
    assert sorted(heads) == heads


def test_retention_while_it_is_exported(log: Path) -> None:
    """What is missing then is not called damage."""
    with open_store(log) as store:
        append(store, "a", *(Counted(n) for n in range(3000)))
        store.append(Batch(snapshots=tuple(Snapshot("a", 3000 + n, "s/1", b"{}") for n in range(3))))

        class Slow(io.BytesIO):
            def write(self, data: Any) -> int:
                if b'"position":1000,' in data:
                    store.retain(Retention(max_events=0, consumers=(), expendable=("b",)))
                return super().write(data)

        with pytest.raises(ReadFailed) as caught:
            export_log(store, Slow())
        assert "removed meanwhile" in str(caught.value)


def test_no_page_of_an_export_pins_the_wal(log: Path) -> None:
    """While it writes its lines, the owner can empty the WAL."""
    with open_store(log) as store:
        emptied = []

        class Watched(io.BytesIO):
            def write(self, data: Any) -> int:
                if b'"line":"event"' in data:
                    append(store, "b2", Counted(1))
                    emptied.append(store._writer.transactions.checkpoint())
                return super().write(data)

        export_log(store, Watched())
        assert emptied == [True] * 14
