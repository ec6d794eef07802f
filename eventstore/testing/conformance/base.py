"""What stands beneath every test of the suite: how a store is opened, and the events that are put into it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from eventstore.errors import EventStoreError
from eventstore.events import event
from eventstore.protocol import EventReader, EventStore
from eventstore.records import ANY_VERSION, Appended, Batch, NewEvent, StreamWrite
from eventstore.testing.clock import FakeClock


@event("conformance.counted", 1)
class Counted:
    """An event of the plainest kind."""

    n: int
    note: str = ""


@event("conformance.measured", 1)
class Measured:
    """An event that may hold anything."""

    values: dict[str, float]
    labels: tuple[str, ...] = ()
    extra: Any = None


class Beneath:
    """How the store under test is opened. Override ``open_store``, and where it can be done the others."""

    def open_store(self, place: Path, clock: FakeClock) -> EventStore:
        """Open the store that is kept at a place, or make a new one where there is none.

        Args:
            place: a directory of this test's own, the same for each store that is to hold the same. A store that is
                kept elsewhere takes it for a name.
            clock: what the store is to stamp its events by.
        """
        raise NotImplementedError

    def second_owner(self, older: EventStore, place: Path, clock: FakeClock) -> EventStore:
        """Open the store anew while an older owner of it is alive and hears nothing of it.

        Unless overridden this opens it again. A store that refuses that as long as the older one is open is not tested
        further: override this where its lock or lease can be made to end.
        """
        return self.open_store(place, clock)

    def open_reader(self, place: Path) -> EventReader:
        """Open the store at a place to read it, beside its owner."""
        msg = "this store has no readers beside its owner"
        raise NotImplementedError(msg)

    @pytest.fixture
    def place(self, tmp_path: Path) -> Path:
        """Where the store of this test is kept."""
        return tmp_path / "store"

    @pytest.fixture
    def clock(self) -> FakeClock:
        """A clock that stands still."""
        return FakeClock()

    @pytest.fixture
    def store(self, place: Path, clock: FakeClock) -> Iterator[EventStore]:
        """A new, empty store."""
        store = self.open_store(place, clock)
        yield store
        with contextlib.suppress(EventStoreError):  # what was handed in by one that is fenced by now
            store.close()

    @pytest.fixture
    def taken(self, store: EventStore, place: Path, clock: FakeClock) -> Iterator[EventStore]:
        """A second owner, from whose opening on ``store`` is fenced."""
        try:
            second = self.second_owner(store, place, clock)
        except (NotImplementedError, EventStoreError) as error:
            pytest.skip(f"nobody can take this store over from an owner that is alive: {error}")
        yield second
        second.close()

    @pytest.fixture
    def reader(self, store: EventStore, place: Path) -> Iterator[EventReader]:
        """A reader beside ``store``."""
        try:
            reader = self.open_reader(place)
        except NotImplementedError as error:
            pytest.skip(str(error))
        yield reader
        reader.close()


def append(
    store: EventStore,
    stream: str,
    *events: object,
    expected_version: int = ANY_VERSION,
    epoch: int | None = None,
    **batch: Any,
) -> Appended:
    """Append plain events to one stream; ``batch`` are further fields of the batch."""
    return store.append(one_write(stream, *events, expected_version=expected_version, epoch=epoch, **batch))


def one_write(
    stream: str, *events: object, expected_version: int = ANY_VERSION, epoch: int | None = None, **batch: Any
) -> Batch:
    """A batch of plain events for one stream."""
    return Batch((StreamWrite(stream, tuple([NewEvent(one) for one in events]), expected_version, epoch),), **batch)


def counts(store: EventReader, stream: str) -> list[int]:
    """The numbers counted in a stream."""
    return [record.event.n for record in store.read_stream(stream)]


def add(state: int, event: Any) -> int:
    """Fold numbers that were counted."""
    return state + int(event.n)


def contents(store: EventReader) -> Any:
    """Everything that can be read of a store, to be compared with the same of another, or of a later moment."""
    return (
        store.first,
        store.head,
        list(store.streams()),
        [record.stream for record in store.read()],
        [record.data for record in store.read()],
        list(store.attachment_keys()),
    )
