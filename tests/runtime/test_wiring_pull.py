"""Wired events reach their consumers by a pull from the log: none lost, none doubled, whatever fails on the way."""

from __future__ import annotations

import threading
from typing import Any

import attrs
import pytest

from eventstore.errors import StorageFull
from eventstore.memory import MemoryStore
from eventstore.records import Appended, Batch, Record
from lrm_actors.domain.behavior import MAX_DEPTH, Command, Context, Decision, Spec, Wire, then
from lrm_actors.domain.deliveries import DELIVERIES
from lrm_actors.errors import WiringError
from lrm_actors.runtime.committing import CURSOR_LAG
from lrm_actors.runtime.system import ActorSystem
from tests.runtime.support import (
    Add,
    Added,
    Count,
    FailingStore,
    Note,
    Noted,
    Wait,
    counter,
    decide,
    eventually,
    evolve,
    running,
)


def to_note(fact: Any, record: Record) -> Command:
    """An added amount becomes a note at the consumer."""
    return Note(f"{fact.amount}@{record.position}")


WIRE = Wire(Added, to="noter", make=to_note)


def noter(**options: Any) -> Spec[Count]:
    """The consumer."""
    return counter("noter", **options)


def notes(system: ActorSystem) -> list[str]:
    """What the consumer has noted, from the log."""
    return [record.event.text for record in system.store.read_stream("noter")]


def test_every_event_is_delivered_once_in_log_order_with_its_cause() -> None:
    """A consumer gets what two producers wrote, in the order of the log, and names each event as its cause."""
    with running(counter("a"), counter("b"), noter(), wires=[WIRE]) as system:
        for amount in range(20):
            system.tell("ab"[amount % 2], Add(amount))
        eventually(lambda: len(system.state("noter").notes) == 20)
        added = list(system.store.read(types=["counting.added"]))
        noted = list(system.store.read_stream("noter"))
        assert [f"{record.event.amount}@{record.position}" for record in added] == [r.event.text for r in noted]
        assert [record.position for record in added] == [record.cause for record in noted]
        assert [record.correlation_id for record in added] == [record.correlation_id for record in noted]
        assert {0} == {record.depth for record in added}
        assert {1} == {record.depth for record in noted}


def test_a_consumer_goes_on_where_it_was_after_a_restart_of_the_system() -> None:
    """Events written while the consumer was away are delivered when it is back, and none twice."""
    store = MemoryStore()
    with running(counter("a"), noter(), store=store, wires=[WIRE]) as system:
        system.ask_blocking("a", Add(1))
        eventually(lambda: len(notes(system)) == 1)
    with running(counter("a"), store=store) as system:
        system.ask_blocking("a", Add(2))
    with running(counter("a"), noter(), store=store, wires=[WIRE]) as system:
        eventually(lambda: len(notes(system)) == 2)
        at = {record.event.amount: record.position for record in store.read_stream("a")}
        assert [f"1@{at[1]}", f"2@{at[2]}"] == notes(system)


def test_a_new_consumer_starts_where_its_row_says() -> None:
    """``beginning`` delivers the whole log to a new consumer, ``end`` only what comes."""
    store = MemoryStore()
    with running(counter("a"), store=store) as system:
        system.ask_blocking("a", Add(1))
    late = attrs.evolve(WIRE, to="late", start="end")
    with running(counter("a"), noter(), counter("late"), store=store, wires=[WIRE, late]) as system:
        system.ask_blocking("a", Add(2))
        eventually(lambda: len(system.state("noter").notes) == 2)
        eventually(lambda: len(system.state("late").notes) == 1)


class CommitThenDie(MemoryStore):
    """Fails the first append of the consumer, as a full disk would, and keeps what it tried to store."""

    def __init__(self) -> None:
        super().__init__()
        self.failed_once = False

    def append(self, batch: Batch) -> Appended:
        if not self.failed_once and any(write.stream == "noter" for write in batch.writes):
            self.failed_once = True
            raise StorageFull("no space left on device")
        return super().append(batch)


def test_a_failed_append_neither_loses_nor_doubles_a_delivery() -> None:
    """The cursor moves with the consumer's own events or not at all."""
    store = CommitThenDie()
    with running(counter("a"), noter(), store=store, wires=[WIRE]) as system:
        system.tell("a", Add(1))
        system.tell("a", Add(2))
        eventually(lambda: len(notes(system)) == 2)
        at = {record.event.amount: record.position for record in store.read_stream("a")}
        assert [f"1@{at[1]}", f"2@{at[2]}"] == notes(system)


def test_a_wired_event_that_fails_again_and_again_is_skipped_on_the_record() -> None:
    """After three tries the consumer writes down that it skipped, with its cursor, and reads on."""

    def picky(state: Count, command: Any, ctx: Context) -> Decision:
        if command.text.startswith("13@"):
            msg = "no thirteen"
            raise ValueError(msg)
        return decide(state, command, ctx)

    with running(counter("a"), Spec("noter", Count(), picky, evolve), wires=[WIRE]) as system:
        for amount in (1, 13, 2):
            system.ask_blocking("a", Add(amount))
        eventually(lambda: len(notes(system)) == 2)
        at = {record.event.amount: record.position for record in system.store.read_stream("a")}
        assert [f"1@{at[1]}", f"2@{at[2]}"] == notes(system)
        [skip] = system.store.read_stream(DELIVERIES)
        assert ("noter", at[13], "counting.added", 3) == (
            skip.event.consumer,
            skip.event.position,
            skip.event.type,
            skip.event.attempts,
        )
        assert at[13] == skip.cause
        assert 3 == next(actor.failures for actor in system.statistics().actors if actor.name == "noter")


def test_a_wiring_function_that_fails_counts_as_a_failed_delivery() -> None:
    """An exception in ``make`` is tried three times and skipped, like one in ``decide``."""

    def broken(_fact: Any, _record: Record) -> Command:
        msg = "broken row"
        raise KeyError(msg)

    with running(counter("a"), noter(), wires=[Wire(Added, to="noter", make=broken)]) as system:
        system.ask_blocking("a", Add(1))
        eventually(lambda: list(system.store.read_stream(DELIVERIES)))


def test_a_wired_event_that_makes_something_unstorable_is_skipped_and_the_rest_delivered() -> None:
    """What the codec refuses counts as a failed try of that one event; its neighbours are delivered."""

    def surrogate(fact: Any, record: Record) -> Command:
        return Note("\ud800" if fact.amount == 13 else str(record.position))

    entered, release = threading.Event(), threading.Event()
    with running(counter("a"), noter(), wires=[Wire(Added, to="noter", make=surrogate)]) as system:
        system.tell("noter", Wait(entered, release))
        entered.wait()
        for amount in (1, 13, 2):
            system.ask_blocking("a", Add(amount))
        release.set()
        eventually(lambda: len(notes(system)) == 2)
        at = {record.event.amount: record.position for record in system.store.read_stream("a")}
        assert [str(at[1]), str(at[2])] == notes(system)
        assert [at[13]] == [skip.event.position for skip in system.store.read_stream(DELIVERIES)]


def test_a_loop_in_the_wiring_ends_at_the_depth_limit() -> None:
    """Two actors that feed each other stop after MAX_DEPTH hand-overs, with a skip on the record."""
    ping = Wire(Added, to="pong", make=lambda fact, _record: Note(str(fact.amount)))
    pong = Wire(Noted, to="ping", make=lambda _fact, _record: Add(1))
    with running(counter("ping"), counter("pong"), wires=[ping, pong]) as system:
        system.tell("ping", Add(1))
        eventually(lambda: list(system.store.read_stream(DELIVERIES)))
        assert MAX_DEPTH == max(record.depth for record in system.store.read())


def test_a_consumer_that_emits_nothing_still_moves_its_cursor() -> None:
    """Its cursor is stored now and then and at stop, so that a restart does not read the whole log again."""
    store = MemoryStore()
    seen: list[int] = []

    def silent(_state: Count, _command: Any, ctx: Context) -> Decision:
        seen.append(ctx.cause or 0)
        return then()

    silent_one = Spec("noter", Count(), silent, evolve)
    with running(counter("a"), silent_one, store=store, wires=[WIRE]) as system:
        for _ in range(600):
            system.tell("a", Add(1))
        eventually(lambda: len(seen) >= 600)
        eventually(lambda: (store.cursor("noter") or 0) >= 600 - CURSOR_LAG)
    assert 600 == store.cursor("noter")
    assert list(range(1, 601)) == seen


def test_producers_are_never_slowed_by_a_consumer_that_hangs() -> None:
    """Events pile up in the log, not in the hung consumer's mailbox."""
    entered, release = threading.Event(), threading.Event()

    def hanging(state: Count, command: Any, ctx: Context) -> Decision:
        entered.set()
        release.wait()
        return decide(state, command, ctx)

    with running(counter("a"), Spec("noter", Count(), hanging, evolve), wires=[WIRE]) as system:
        system.tell("a", Add(1))
        entered.wait()
        for _ in range(500):
            system.ask_blocking("a", Add(1))
        assert 2 >= next(a.mailbox_depth for a in system.statistics().actors if a.name == "noter")
        release.set()
        eventually(lambda: len(system.state("noter").notes) == 501)


def test_the_table_is_checked_before_anything_starts() -> None:
    """A row for an actor that is not there, and two rows for one (event, consumer), are refused."""
    with pytest.raises(WiringError, match="noter"):
        ActorSystem(MemoryStore(), [counter()], wires=[WIRE])
    with pytest.raises(WiringError, match="more than one row"):
        ActorSystem(MemoryStore(), [counter(), noter()], wires=[WIRE, WIRE])


def test_planted_bug_a_cursor_apart_from_the_events_is_caught() -> None:
    """A store that commits the cursor but loses the events makes the delivery test's checker fail."""

    class SplitStore(FailingStore):
        def append(self, batch: Batch) -> Appended:
            if any(write.stream == "noter" for write in batch.writes) and not self.failed.is_set():
                super().append(Batch(cursors=batch.cursors))
                self.failed.set()
                raise StorageFull("planted")
            return super().append(batch)

    with running(counter("a"), noter(), store=SplitStore(), wires=[WIRE]) as system:
        system.ask_blocking("a", Add(1))
        eventually(lambda: system.store.cursor("noter") is not None)
        system.ask_blocking("a", Add(2))
        eventually(lambda: len(notes(system)) == 1)
        assert "1@1" not in notes(system), "the planted bug went unseen"
