"""The stores of this package, run through what is asked of any store."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from eventstore.memory import MemoryStore
from eventstore.memory_log import MemoryLog
from eventstore.memory_reader import MemoryReader
from eventstore.opening import open_reader, open_store
from eventstore.protocol import EventReader, EventStore
from eventstore.records import Attachment, Batch
from eventstore.store import SqliteStore
from eventstore.testing.clock import FakeClock
from eventstore.testing.conformance import StoreConformance


class TestSqlite(StoreConformance):
    """A log file, in memory where there is room for one: what a disk may do to it is tested elsewhere."""

    @pytest.fixture
    def place(self, tmp_path: Path) -> Iterator[Path]:
        shared = Path("/dev/shm")
        with tempfile.TemporaryDirectory(prefix="lrm-", dir=shared if shared.is_dir() else tmp_path) as directory:
            yield Path(directory) / "store"

    def open_store(self, place: Path, clock: FakeClock) -> EventStore:
        return open_store(place / "lrm.db", clock=clock)

    def second_owner(self, older: EventStore, place: Path, clock: FakeClock) -> EventStore:
        """As where a file system forgets a lock."""
        assert isinstance(older, SqliteStore)
        older._log_lock.release()
        return self.open_store(place, clock)

    def open_reader(self, place: Path) -> EventReader:
        return open_reader(place / "lrm.db")


class TestMemory(StoreConformance):
    """What outlives the handle is handed to the next one."""

    logs: dict[Path, MemoryLog] = {}  # noqa: RUF012 - of the class, for each test has an instance of its own

    def open_store(self, place: Path, clock: FakeClock) -> EventStore:
        return MemoryStore(clock, log=self.logs.setdefault(place, MemoryLog()))

    def open_reader(self, place: Path) -> EventReader:
        return MemoryReader(self.logs[place], unknown="raise")


def test_a_store_without_checksums_does_not_pass_on_what_another_said_of_the_bytes(tmp_path: Path) -> None:
    """What was read from a log file was compared there; here nothing is."""
    with open_store(tmp_path / "lrm.db") as store:
        store.append(Batch(attachments=(Attachment("a", b"1"),)))
        read = store.attachment("a")
    memory = MemoryStore()
    memory.append(Batch(attachments=(read,)))
    assert (True, False) == (read.verified, memory.attachment("a").verified)
