"""What cannot be stored or read is put down to whoever it came from, and nobody else is lost or kept waiting for it."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest

from eventstore.errors import BadRequest, ReadFailed
from eventstore.events import event
from eventstore.memory import MemoryStore
from eventstore.opening import open_store
from eventstore.records import Record
from lrm_actors.domain.behavior import NOTHING, Command, Context, Decision, Spec, Wire, then
from lrm_actors.domain.deliveries import DELIVERIES
from lrm_actors.errors import AskInsideDecide, HandlerFailed
from lrm_actors.runtime.clock import ManualClock
from lrm_actors.runtime.system import ActorSystem
from tests.runtime.support import (
    PATIENCE_S,
    Add,
    Added,
    Count,
    Look,
    Note,
    Wait,
    counter,
    decide,
    eventually,
    evolve,
    running,
)


@event("blame.anything", 1)
class Anything:
    value: Any


@attrs.frozen
class Spoil(Command):
    """Decide on something that is not to be stored."""

    fact: object


def spoilable(state: Count, command: Any, ctx: Context) -> Decision:
    """A counter that can be made to decide on nonsense."""
    return then(command.fact) if isinstance(command, Spoil) else decide(state, command, ctx)


def to_note(fact: Any, _: Record) -> Command:
    """An added amount becomes a note."""
    return Note(str(fact.amount))


def test_a_wired_event_that_spoils_a_turn_is_not_held_against_the_message_in_it() -> None:
    """An innocent message that shares a turn with a poisonous delivery is carried out; the delivery is skipped."""
    wire = Wire(Added, to="noter", make=lambda _fact, _record: Spoil(Anything(object())))
    store = MemoryStore()
    noter = Spec("noter", Count(), spoilable, evolve)
    with running(counter("a"), noter, store=store, wires=[wire]) as system:
        entered, release = threading.Event(), threading.Event()
        system.tell("noter", Wait(entered, release))
        assert entered.wait(PATIENCE_S)
        system.ask_blocking("a", Add(1))
        system.tell("noter", Note("innocent"))
        release.set()
        eventually(lambda: list(store.read_stream(DELIVERIES)))
        eventually(lambda: system.state("noter").notes == ("innocent",))


@pytest.mark.parametrize("fact", ["no event at all", Anything(object())])
def test_what_no_store_takes_is_the_fault_of_its_command_alone(fact: object) -> None:
    """What is no event fails once: it is not tried again, and its neighbours are carried out."""
    with running(Spec("counter", Count(), spoilable, evolve)) as system:
        entered, release = threading.Event(), threading.Event()
        system.tell("counter", Wait(entered, release))
        assert entered.wait(PATIENCE_S)
        for command in (Add(1), Spoil(fact), Add(2)):
            system.tell("counter", command)
        release.set()
        eventually(lambda: system.state("counter").history == (1, 2))
        with pytest.raises(HandlerFailed):
            system.ask_blocking("counter", Spoil(fact))
        assert 3 == system.ask_blocking("counter", Look())
        assert 2 == system._shells["counter"].failures


@pytest.mark.parametrize("text", ["", "a\0b", "\ud800"])
def test_an_id_that_cannot_be_stored_is_refused_before_it_reaches_the_actor(text: str) -> None:
    """The caller hears of it, and the actor does not fail."""
    with running(counter()) as system:
        for ids in ({"command_id": text}, {"correlation_id": text}):
            with pytest.raises(BadRequest):
                system.tell("counter", Add(1), **ids)  # type: ignore[arg-type]  # two of its keywords
        assert 0 == system.ask_blocking("counter", Look())
        assert 0 == system._shells["counter"].failures


def test_a_cause_that_does_not_exist_is_the_fault_of_its_command() -> None:
    """It cannot be known before the append; the command fails once, and the actor goes on."""
    with running(counter()) as system:
        system.tell("counter", Add(1), cause=10**6)
        system.tell("counter", Add(2))
        eventually(lambda: system.state("counter").history == (2,))
        assert 1 == system._shells["counter"].failures


def test_a_wired_event_that_cannot_be_read_is_skipped_on_the_record(tmp_path: Path) -> None:
    """A damaged event costs its consumers that event, not their lives."""
    path = tmp_path / "lrm.db"
    with open_store(path) as store, running(counter("a"), store=store) as system:
        assert 1 == system.ask_blocking("a", Add(1))
        assert 3 == system.ask_blocking("a", Add(2))
    connection = sqlite3.connect(path)
    connection.execute("UPDATE events SET data = x'7b' WHERE position = 1")
    connection.commit()
    connection.close()
    wire = Wire(Added, to="noter", make=to_note)
    with open_store(path) as store, running(counter("noter"), store=store, wires=[wire]) as system:
        eventually(lambda: system.state("noter").notes == ("2",))
        assert [1] == [record.event.position for record in store.read_stream(DELIVERIES)]


class Unreadable(MemoryStore):
    """A store that cannot be read for a while, though it can be written: out of file descriptors, say."""

    unreadable = False
    refused = 0

    def _refuse(self) -> None:
        if self.unreadable:
            self.refused += 1
            raise ReadFailed("unable to open database file")

    def read(self, **options: Any) -> Iterator[Record]:
        self._refuse()
        return super().read(**options)

    def version(self, stream: str) -> int:
        self._refuse()
        return super().version(stream)


def test_a_log_that_cannot_be_read_for_a_while_ends_no_actor() -> None:
    """A consumer waits until it can read on, however often the log refuses, and does not count as failed."""
    store = Unreadable()
    with running(counter("a"), counter("noter"), store=store, wires=[Wire(Added, to="noter", make=to_note)]) as system:
        store.unreadable = True
        system.ask_blocking("a", Add(1))
        eventually(lambda: store.refused > 3)
        assert 0 == system._shells["noter"].failures
        store.unreadable = False
        eventually(lambda: system.state("noter").notes == ("1",))


def test_a_new_consumer_at_the_end_has_its_place_on_the_record_before_it_reads() -> None:
    """What comes after its first start and before its first cursor survives a kill."""
    store = MemoryStore()
    wire = Wire(Added, to="noter", make=to_note, start="end")
    killed = ActorSystem(store, [counter("a"), counter("noter")], wires=[wire])
    killed.start()
    entered, release = threading.Event(), threading.Event()
    killed.tell("noter", Wait(entered, release))
    assert entered.wait(PATIENCE_S)
    killed.ask_blocking("a", Add(2))
    with running(counter("a"), counter("noter"), store=store, wires=[wire]) as system:
        eventually(lambda: system.state("noter").notes == ("2",))
    release.set()
    killed.stop()


def _slow(clock: ManualClock) -> Spec[Count]:
    """An actor that takes so long over each message that no two fit into a turn."""

    def decide_slowly(state: Count, command: Any, ctx: Context) -> Decision:
        clock.advance(1.0)
        return decide(state, command, ctx)

    return Spec("slow", Count(), decide_slowly, evolve)


def test_what_was_told_before_the_stop_is_carried_out_by_a_slow_actor_too() -> None:
    """The rest of a turn that took too long comes before the stop that was read with it."""
    clock, store = ManualClock(), MemoryStore()
    system = ActorSystem(store, [_slow(clock)], clock=clock)
    system.start()
    entered, release = threading.Event(), threading.Event()
    system.tell("slow", Wait(entered, release))
    assert entered.wait(PATIENCE_S)
    for _ in range(10):
        system.tell("slow", Add(1))
    stopping = threading.Thread(target=lambda: system.stop(1e6))
    stopping.start()
    eventually(lambda: system._mailboxes["slow"].depth() == 11)
    release.set()
    stopping.join(PATIENCE_S)
    assert 10 == store.head
    assert 0 == system._mailboxes["slow"].dead_letters


def test_messages_without_end_do_not_keep_a_slow_actor_from_what_is_wired_to_it() -> None:
    """Each turn has room for a wired event, however many messages wait."""
    clock = ManualClock()
    wire = Wire(Added, to="slow", make=to_note)
    with running(counter("a"), _slow(clock), wires=[wire], clock=clock) as system:
        entered, release = threading.Event(), threading.Event()
        system.tell("slow", Wait(entered, release))
        assert entered.wait(PATIENCE_S)
        for _ in range(10):
            system.tell("slow", Note("told"))
        system.ask_blocking("a", Add(1))
        release.set()
        notes = eventually(lambda: len(system.state("slow").notes) == 11 and system.state("slow").notes)
        assert notes.index("1") < 3


def test_what_takes_up_intents_is_pure_code_too() -> None:
    """Another actor cannot be told anything from inside ``recover``."""
    systems: list[ActorSystem] = []
    raised: list[type[BaseException]] = []

    def recover(_state: Count, _ctx: Context) -> Decision:
        try:
            systems[0].tell("counter", Add(1))
        except AskInsideDecide as error:
            raised.append(type(error))
        return NOTHING

    system = ActorSystem(MemoryStore(), [counter(recover=recover)])
    systems.append(system)
    system.start()
    system.stop()
    assert [AskInsideDecide] == raised
