"""Secrets in every place of a log, and what is found of them in its files."""

from __future__ import annotations

import contextlib
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from eventstore import open_reader, open_store
from eventstore.events import event
from eventstore.protocol import EventReader, EventStore
from eventstore.records import Attachment, Batch, Cursor, NewEvent, Receipt, Snapshot, StreamWrite
from eventstore.store import SqliteStore
from eventstore.testing.clock import FakeClock
from eventstore.testing.conformance import Beneath

KEY, OTHER, THIRD = (bytes([n]) * 32 for n in (1, 2, 3))
SECRET = "a-word-that-must-not-be-found"


@event("secret.kept", 1)
class Kept:
    word: str


@event("secret.also_kept", 1)
class AlsoKept:
    word: str


def everything(word: str = SECRET, stream: str = "diary") -> Batch:
    """A batch with a secret in each place where data go."""
    return Batch(
        writes=(StreamWrite(stream, (NewEvent(Kept(word)), NewEvent(AlsoKept(word)))),),
        cursors=(Cursor("reader", 0),),
        receipts=(Receipt(f"command of {stream}", {"said": word}),),
        snapshots=(Snapshot(stream, 1, "diary/1", word.encode()),),
        attachments=(Attachment(f"{stream}/page", word.encode()),),
        idempotency_key=f"batch of {stream}",
    )


def assert_holds(reader: EventReader, word: str = SECRET, stream: str = "diary") -> None:
    """Everything that ``everything`` put there comes back."""
    records = list(reader.read_stream(stream))
    assert [Kept(word), AlsoKept(word)] == [record.event for record in records]
    assert f'{{"word":"{word}"}}'.encode() == records[0].data
    assert records == [reader.get(record.position) for record in records]
    assert [Kept(word), AlsoKept(word)] == reader.fold(stream, lambda state, one: [*state, one], []).state
    assert Snapshot(stream, 1, "diary/1", word.encode()) == reader.snapshot(stream)
    assert Attachment(f"{stream}/page", word.encode()) == reader.attachment(f"{stream}/page")
    assert [reader.attachment(f"{stream}/page")] == list(reader.attachments([f"{stream}/page"]))
    assert Receipt(f"command of {stream}", {"said": word}) == reader.receipt(f"command of {stream}")


def files_of(path: Path) -> Iterator[tuple[str, bytes]]:
    """What lies on the disk of a log: the database, its WAL, the mark, and whatever else there is."""
    for file in sorted(path.parent.iterdir()):
        yield file.name, file.read_bytes()


def found_in(path: Path, secret: bytes) -> list[str]:
    """The files that hold some bytes."""
    return [name for name, data in files_of(path) if secret in data]


def sealed_values(path: Path) -> list[bytes]:
    """Every value that is sealed in a log, one after the other."""
    columns = ("events.data", "snapshots.data", "attachments.data", "receipts.reply")
    with contextlib.closing(sqlite3.connect(path)) as connection:
        found = [row[0] for one in columns for row in connection.execute(f"SELECT {one} FROM {one.partition('.')[0]}")]
    assert all(value[:1] == b"\x01" for value in found)
    return found


def in_memory(otherwise: Path) -> Iterator[Path]:
    """A directory in memory where there is room for one: what a disk may do to it is tested elsewhere."""
    shared = Path("/dev/shm")
    with tempfile.TemporaryDirectory(prefix="lrm-", dir=shared if shared.is_dir() else otherwise) as directory:
        yield Path(directory) / "agent"


class EncryptedStore(Beneath):
    """How the tests of any store open an encrypted log."""

    @pytest.fixture
    def place(self, tmp_path: Path) -> Iterator[Path]:
        """In memory where there is room for it."""
        yield from in_memory(tmp_path)

    def open_store(self, place: Path, clock: FakeClock) -> EventStore:
        return open_store(place / "lrm.db", clock=clock, key=KEY)

    def second_owner(self, older: EventStore, place: Path, clock: FakeClock) -> EventStore:
        """As where a file system forgets a lock."""
        assert isinstance(older, SqliteStore)
        older._log_lock.release()
        return self.open_store(place, clock)

    def open_reader(self, place: Path) -> EventReader:
        return open_reader(place / "lrm.db", key=KEY)
