"""Logs to damage, and everything that a log says."""

from __future__ import annotations

import contextlib
import random
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs

from eventstore.errors import EventStoreError
from eventstore.opening import open_reader, open_store
from eventstore.reader import SqliteReader
from eventstore.records import Attachment, Batch, Cursor, NewEvent, Receipt, Retention, Snapshot, StreamWrite
from eventstore.store import SqliteStore
from tests.eventstore.support import Counted, FakeClock, Measured

PAGE, SECTOR = 4096, 512
DATABASE, WAL, MARK = "", "-wal", "-mark"
_ROWS = (
    "SELECT * FROM events WHERE position = ?",
    "SELECT * FROM events WHERE position > ? - 1 ORDER BY position LIMIT 1",
)
"""Both ways to a row: on damaged pages they may lead to different ones."""
_NAMES = ("SELECT id, name FROM streams", "SELECT id, name FROM types", "SELECT id, name FROM boots")
_BESIDES = {
    "cursors": "SELECT consumer, position FROM cursors ORDER BY consumer",
    "receipts": "SELECT command_id, reply FROM receipts ORDER BY id",
    "appends": "SELECT idempotency_key, digest, result FROM appends ORDER BY id",
    "snapshots": "SELECT stream_id, version, schema, data FROM snapshots ORDER BY stream_id, version",
}


def scratch() -> Path:
    """A directory in memory where there is one."""
    memory = Path("/dev/shm")
    return Path(tempfile.mkdtemp(prefix="damaged-", dir=memory if memory.is_dir() else None))


# --- logs ---------------------------------------------------------------------------------------------------------


@attrs.frozen
class Specimen:
    """A log as it lies, what it says, and an older state of its files."""

    name: str
    files: dict[str, bytes]
    older: dict[str, bytes]
    says: Any
    rows: dict[int, Any]
    """Every event by its position, with its hashes."""
    names: Any
    places: dict[int, list[tuple[str, int, int]]] = attrs.field(factory=dict)
    """Where all bytes of an event lie together: file, start and end. Of those too large for that, none."""
    name_pages: tuple[tuple[int, int], ...] = ()
    """Where the tables lie that have the names: start and end, in the database."""

    def lay(self, path: Path, damaged: dict[str, bytes] | None = None) -> None:
        """Put it into a directory, and nothing else."""
        for suffix in (DATABASE, WAL, MARK, "-shm"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
        path.parent.mkdir(exist_ok=True)
        for suffix, data in {**self.files, **(damaged or {})}.items():
            path.with_name(path.name + suffix).write_bytes(data)


def _live(store: SqliteStore, first: int, rounds: int) -> None:
    """What an agent stores, of every kind, in commits with and without events."""
    for n in range(first, first + rounds):
        note = f"{n} " + "x" * (5000 if n % 20 == 7 else n % 90)
        counted = NewEvent(Counted(n, note), command_id=f"c-{n}", correlation_id=f"t-{n // 5}")
        measured = tuple(NewEvent(Measured({"n": n / 3, "m": float(k)}), cause=n or None) for k in range(n % 3))
        writes = (StreamWrite("a", (counted,)), StreamWrite(f"b/{n % 3}", measured))
        store.append(Batch(writes, receipts=(Receipt(f"c-{n}", {"done": n}),), idempotency_key=f"k-{n}"))
        if n % 4 == 0:
            store.append(Batch(cursors=(Cursor("reader", store.head), Cursor("other", n))))
        if n % 7 == 0:
            version = store.version("a")
            store.append(Batch(snapshots=(Snapshot("a", version, "a/1", b'{"n":%d}' % n),)))
        if n % 10 == 0:
            data = random.Random(n).randbytes(200 + 900 * (n % 13))
            store.append(Batch(attachments=(Attachment(f"file/{n % 20}", data),)))
        if n % 15 == 0:
            store.acquire(f"owned/{n % 2}")


def _bytes(path: Path) -> dict[str, bytes]:
    files = {suffix: path.with_name(path.name + suffix) for suffix in (DATABASE, WAL, MARK)}
    return {suffix: file.read_bytes() for suffix, file in files.items() if file.exists()}


def specimens() -> list[Specimen]:
    """A closed log, one whose WAL holds its newest part, and one that lost its oldest part to retention."""
    made = []
    directory = scratch()
    try:
        for name, rounds in (("closed", 60), ("live", 50), ("removed", 60)):
            path = directory / name / "lrm.db"
            with open_store(path, clock=FakeClock(), reserve_bytes=0) as store:
                writing = store._writer.transactions._connection
                _live(store, 0, rounds // 2)
                writing.execute("PRAGMA wal_checkpoint(RESTART)")  # the WAL begins anew over what it held before
                older = _copied(path)
                _live(store, rounds // 2, rounds // 2)
                if name == "removed":
                    everything = ("a", "b", "owned")
                    removed = store.retain(Retention(max_events=store.head // 2, consumers=(), expendable=everything))
                    assert removed.removed
                files = _copied(path) if name == "live" else {}
            made.append(_specimen(name, files or _bytes(path), older, directory / "look" / "lrm.db"))
    finally:
        shutil.rmtree(directory)
    return made


def _copied(path: Path) -> dict[str, bytes]:
    """The files of a log that is open. Opened as files only because nothing of it is used after the next append."""
    copy = path.parent / "copy"
    copy.mkdir(exist_ok=True)

    names = [str(file) for suffix in (DATABASE, WAL, MARK) if (file := path.with_name(path.name + suffix)).exists()]
    subprocess.run(["cp", *names, str(copy)], check=True)
    return _bytes(copy / path.name)


def _specimen(name: str, files: dict[str, bytes], older: dict[str, bytes], path: Path) -> Specimen:
    path.parent.mkdir(exist_ok=True)
    bare = Specimen(name, files, older, None, {}, None)
    bare.lay(path)
    with open_reader(path) as reader:
        problems = reader.verify().problems
        assert problems == (), problems
        rows = {position: row for position, (row, _) in rows_of(reader, range(reader.first, reader.head + 1)).items()}
        with reader._pool.lend() as connection:
            roots = connection.execute(
                "SELECT rootpage FROM sqlite_schema WHERE type = 'table' AND name IN ('streams', 'types', 'boots')"
            ).fetchall()
        pages = tuple(((root - 1) * PAGE, root * PAGE) for (root,) in roots)
        whole = attrs.evolve(bare, says=said_by(reader), rows=rows, names=names_of(reader), name_pages=pages)
    return attrs.evolve(whole, places={position: list(_places(files, row)) for position, row in rows.items()})


def _places(files: dict[str, bytes], row: Any) -> Iterator[tuple[str, int, int]]:
    """Every place where an event lies, with more before it than its header and its other columns take."""
    size = next(size for size in (1, 2, 3, 4, 6) if row[14] < 1 << 8 * size - 1)
    tail = row[12] + row[13] + row[14].to_bytes(size, "big")
    for file, data in files.items():
        at = data.find(tail)
        while file != MARK and at >= 0:
            yield file, max(0, at - 120), at + len(tail)
            at = data.find(tail, at + 1)


# --- what a log says ----------------------------------------------------------------------------------------------


def said_by(reader: SqliteReader) -> Any:
    """Everything that can be read, by every way of reading it."""
    streams = reader.streams()
    records = list(reader.read())
    with reader._pool.lend() as connection:
        besides = {what: connection.execute(sql).fetchall() for what, sql in _BESIDES.items()}
    return (
        (reader.first, reader.head),
        records,
        streams,
        {info.name: [record.position for record in reader.read_stream(info.name)] for info in streams},
        {info.name: reader.snapshot(info.name) for info in streams},
        {consumer: reader.cursor(consumer) for consumer, _ in besides["cursors"]},
        besides,
        [reader.attachment(key) for key in reader.attachment_keys()],
    )


def rows_of(reader: SqliteReader, positions: range) -> dict[int, list[Any]]:
    """Each event by itself, as its row lies in the table, by either way to it that leads there."""
    rows: dict[int, list[Any]] = {}
    for position in positions:
        for sql in _ROWS:
            with contextlib.suppress(EventStoreError), reader._pool.lend() as connection:
                row = connection.execute(sql, (position,)).fetchone()
                if row is not None:
                    rows.setdefault(position, []).append(row)
    return rows


def names_of(reader: SqliteReader) -> Any:
    """What the numbers in the events' rows mean; None where that cannot be read."""
    try:
        with reader._pool.lend() as connection:
            return [sorted(connection.execute(sql).fetchall()) for sql in _NAMES]
    except (EventStoreError, TypeError):
        return None
