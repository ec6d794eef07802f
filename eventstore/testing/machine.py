"""A hypothesis state machine that drives any store beside a plain model of it, and compares the two after each step.

Needs hypothesis: install ``lrm-actors[test]``.
"""

from __future__ import annotations

import contextlib
import itertools
import shutil
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from eventstore.errors import EventsRemoved, EventStoreError, Fenced, IdempotencyConflict, WrongVersion
from eventstore.events import event
from eventstore.protocol import EventStore
from eventstore.records import (
    ANY_VERSION,
    Appended,
    Batch,
    Cursor,
    Durability,
    Folded,
    Grant,
    NewEvent,
    Retained,
    Retention,
    Snapshot,
    StreamInfo,
    StreamWrite,
)
from eventstore.testing.clock import FakeClock
from eventstore.testing.model import StoreModel

STREAMS = st.sampled_from(("a", "a/1", "b"))
CONSUMERS = st.sampled_from(("slow", "quick"))


@event("machine.stepped", 1)
class Stepped:
    """What the machine stores: a number that no other of its events has."""

    n: int


class StoreMachine(RuleBasedStateMachine):
    """Appends, retries, fences, snapshots, retention and new owners, in any order.

    Inherit from it, override ``open_store``, and run its ``TestCase``, or the class itself by
    ``hypothesis.stateful.run_state_machine_as_test``.
    """

    def __init__(self) -> None:
        super().__init__()
        self.clock = FakeClock()
        self.root = Path(tempfile.mkdtemp(prefix="store-machine-"))
        self.model = StoreModel()
        self.numbers = itertools.count(1)
        self.keyed: list[tuple[Batch, Appended]] = []
        self.store = self.open_store(self.root / "store", self.clock)

    def open_store(self, place: Path, clock: FakeClock) -> EventStore:
        """Open the store that is kept at a place, or make a new one where there is none."""
        raise NotImplementedError

    def second_owner(self, older: EventStore, place: Path, clock: FakeClock) -> EventStore:
        """Open it anew while an older owner is alive. Raise ``NotImplementedError`` where that cannot be."""
        return self.open_store(place, clock)

    def teardown(self) -> None:
        """Look at all of it once more."""
        try:
            found = self.store.verify()
            assert found.ok, found.problems
            self.store.close()
        finally:
            shutil.rmtree(self.root, ignore_errors=True)

    # --- appending ------------------------------------------------------------------------------------------------

    @initialize()
    def begin(self) -> None:
        """A store is new at first."""
        assert (self.store.head, self.store.first) == (0, 1)

    @rule(stream=STREAMS, many=st.integers(0, 4), expecting=st.booleans(), durability=st.sampled_from(Durability))
    def append(self, stream: str, many: int, expecting: bool, durability: Durability) -> None:
        """It is stored and answered as the model says."""
        version = self.model.version(stream) if expecting else ANY_VERSION
        batch = self._batch(stream, many, expected_version=version, durability=durability)
        assert self._told(batch) == self.store.append(batch)

    @rule(streams=st.lists(STREAMS, min_size=1, max_size=3), many=st.integers(1, 2))
    def append_to_several(self, streams: list[str], many: int) -> None:
        """One batch, all of it."""
        batch = Batch(tuple([self._write(stream, many) for stream in streams]))
        assert self._told(batch) == self.store.append(batch)

    @rule(stream=STREAMS, away=st.sampled_from((-1, 1, 7)))
    def append_at_a_wrong_version(self, stream: str, away: int) -> None:
        """It is refused, with both versions."""
        expected = self.model.version(stream) + away
        if expected < 0:
            return
        caught = self._refused(self._batch(stream, 1, expected_version=expected), WrongVersion)
        assert (expected, self.model.version(stream)) == (caught.expected, caught.actual)

    @rule(stream=STREAMS, many=st.integers(1, 2), sizes=st.integers(1, 3))
    def hand_in_and_wait(self, stream: str, many: int, sizes: int) -> None:
        """In order, for one barrier."""
        batches = [self._batch(stream, many) for _ in range(sizes)]
        pending = [self.store.submit(batch) for batch in batches]
        self.store.barrier()
        assert [self._told(batch) for batch in batches] == [one.result() for one in pending]

    @rule(stream=STREAMS, many=st.integers(0, 2))
    def append_with_a_key(self, stream: str, many: int) -> None:
        """For retries to come."""
        batch = self._batch(stream, many, idempotency_key=f"key-{len(self.keyed)}")
        told = self._told(batch)
        assert told == self.store.append(batch)
        self.keyed.append((batch, told))

    @precondition(lambda self: self.keyed)
    @rule(data=st.data())
    def retry(self, data: st.DataObject) -> None:
        """It gets the first answer, whatever was stored, acquired, removed or opened since; an impostor does not."""
        batch, told = data.draw(st.sampled_from(self.keyed))
        assert told == self.store.append(batch)
        other = Batch((self._write("b", 1),), idempotency_key=batch.idempotency_key)
        caught = self._refused(other, IdempotencyConflict)
        assert batch.idempotency_key == caught.key

    # --- owning ---------------------------------------------------------------------------------------------------

    @rule(stream=STREAMS)
    def acquire(self, stream: str) -> None:
        """The next epoch."""
        epoch = self.model.acquire(stream)
        assert Grant(stream, epoch, self.model.version(stream)) == self.store.acquire(stream)

    @rule(stream=STREAMS, behind=st.integers(1, 2))
    def append_of_a_zombie(self, stream: str, behind: int) -> None:
        """Whoever had the stream before, or never, is fenced."""
        current = self.model.epochs.get(stream, 0)
        epoch = current - behind if current >= behind else current + behind
        self._refused(self._batch(stream, 1, epoch=epoch or None), Fenced)

    @rule()
    def reopen(self) -> None:
        """A new owner has a higher epoch and finds everything."""
        before = self.store.owner_epoch
        self.store.close()
        self.store = self.open_store(self.root / "store", self.clock)
        assert self.store.owner_epoch > before

    @rule(stream=STREAMS)
    def take_over(self, stream: str) -> None:
        """An older owner that lives on changes nothing."""
        older = self.store
        with contextlib.suppress(NotImplementedError):
            self.store = self.second_owner(older, self.root / "store", self.clock)
            assert self.store.owner_epoch > older.owner_epoch
            for attempt in (lambda: older.append(self._batch(stream, 1)), lambda: older.acquire(stream), older.renew):
                _raises(Fenced, attempt)
            older.close()

    # --- beside the events ----------------------------------------------------------------------------------------

    @rule(stream=STREAMS, back=st.integers(0, 4))
    def snapshot(self, stream: str, back: int) -> None:
        """Of a version that is kept."""
        version = max(self.model.version(stream) - back, self.model.removed_versions.get(stream, 0))
        batch = self._batch(stream, 0, snapshots=(Snapshot(stream, version, "machine/1", b"%d" % version),))
        told = self._told(batch)
        assert told == self.store.append(batch)
        self.model.keep_snapshot(stream, version)

    @rule(consumer=CONSUMERS, back=st.integers(0, 6))
    def move_cursor(self, consumer: str, back: int) -> None:
        """Forward or back."""
        position = max(self.model.head - back, 0)
        self.store.append(Batch(cursors=(Cursor(consumer, position),)))
        self.model.cursors[consumer] = position

    @rule(seconds=st.sampled_from((1.0, 60.0, -30.0)))
    def wait(self, seconds: float) -> None:
        """Time passes, or is set."""
        self.clock.wall_s += seconds
        self.clock.monotonic_s += abs(seconds)

    @rule(
        max_events=st.none() | st.integers(0, 12),
        max_age_s=st.sampled_from((None, 0.0, 45.0, 100.0)),
        consumers=st.sampled_from((None, (), ("quick",), ("quick", "nobody"))),
        expendable=st.sampled_from(((), ("a",), ("a/1", "b"))),
        others=st.tuples(st.none() | st.integers(0, 30), st.booleans()),
    )
    def retain(
        self, max_events: int | None, max_age_s: float | None, consumers: Any, expendable: Any, others: Any
    ) -> None:
        """As many events go as the model says, and no more."""
        if max_events is None and max_age_s is None:
            return
        retention = Retention(max_age_s, max_events, consumers, expendable, *others)
        removed = 0
        while True:
            retained: Retained = self.store.retain(retention)
            removed += retained.removed
            if retained.held_by != "time":
                break
        assert self.model.remove(retention, self.clock.wall_s) == removed
        assert self.model.first == retained.first
        assert retained.held_by.split(" ")[0] in ("policy", "cursor", "stream")

    # --- what must always hold ------------------------------------------------------------------------------------

    @invariant()
    def agrees(self) -> None:
        """Ends, streams, records and cursors are those of the model."""
        store, model = self.store, self.model
        assert (model.first, model.head) == (store.first, store.head)
        kept = [(record.position, record.stream, record.version, record.event.n) for record in store.read()]
        assert [(one.position, one.stream, one.version, one.n) for one in model.kept] == kept
        known = [StreamInfo(name, model.version(name), model.epochs.get(name, 0)) for name in model.streams]
        assert known == list(store.streams())
        for consumer in ("slow", "quick"):
            assert model.cursors.get(consumer) == store.cursor(consumer)

    @invariant()
    def recovers(self) -> None:
        """Each stream folds from its newest snapshot and from its oldest; over what was removed it says so."""
        for stream in self.model.streams:
            removed = self.model.removed_versions.get(stream, 0)
            versions = sorted(self.model.snapshots.get(stream, ()))
            newest = self.store.snapshot(stream)
            assert versions[-1:] == ([] if newest is None else [newest.version])
            for start in {0, removed, *versions}:
                if start < removed:
                    _raises(EventsRemoved, partial(self._fold, stream, start))
                else:
                    numbers = [one.n for one in self.model.kept if one.stream == stream and one.version > start]
                    assert Folded(numbers, max(self.model.version(stream), start)) == self._fold(stream, start)

    # --- inside ---------------------------------------------------------------------------------------------------

    def _fold(self, stream: str, after: int) -> Folded:
        return self.store.fold(stream, lambda state, event: [*state, event.n], [], after=after)

    def _write(self, stream: str, many: int, **options: Any) -> StreamWrite:
        new = tuple([NewEvent(Stepped(next(self.numbers))) for _ in range(many)])
        return StreamWrite(stream, new, **{"epoch": self.model.epochs.get(stream), **options})

    def _batch(
        self, stream: str, many: int, *, expected_version: int = ANY_VERSION, epoch: Any = ..., **batch: Any
    ) -> Batch:
        options = {} if epoch is ... else {"epoch": epoch}
        return Batch((self._write(stream, many, expected_version=expected_version, **options),), **batch)

    def _told(self, batch: Batch) -> Appended:
        """Have the model store it too. What it answers."""
        writes = [(write.stream, [new.event.n for new in write.events]) for write in batch.writes]  # type: ignore[attr-defined]
        return self.model.append(writes, self.clock.wall_s)

    def _refused(self, batch: Batch, kind: type[EventStoreError]) -> Any:
        return _raises(kind, lambda: self.store.append(batch))


def _raises(kind: type[EventStoreError], attempt: Any) -> Any:
    try:
        attempt()
    except kind as error:
        return error
    msg = f"{kind.__name__} was not raised"
    raise AssertionError(msg)
