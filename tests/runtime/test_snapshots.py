"""When an actor's state is kept: every so many events, when a predicate says so, when asked, and at an orderly stop."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from eventstore.codec import decode_state
from eventstore.memory import MemoryStore
from eventstore.records import Retention, Snapshot
from lrm_actors.domain.behavior import Spec, then
from lrm_actors.runtime.system import ActorSystem
from lrm_actors.runtime.turn import Turn
from tests.runtime.support import Add, Added, Count, FailingStore, Note, Noted, counter, eventually, running

OPEN = object()


def kept(store: MemoryStore, name: str = "counter") -> Snapshot | None:
    """The newest snapshot of an actor."""
    return store.snapshot(name)


def stopped_after(events: int, **options: Any) -> MemoryStore:
    """What a counter leaves behind that was stopped in order after so many events."""
    store = MemoryStore()
    with running(counter(**options), store=store) as system:
        for _ in range(events):
            system.ask_blocking("counter", Add(1))
    return store


def snapshots_tell_the_truth(store: MemoryStore, events: int) -> None:
    """The snapshot is of the stream's end, holds what the events before it add up to, and recovery agrees."""
    snapshot = kept(store)
    assert snapshot is not None
    state = decode_state(snapshot.data, Count)
    assert (events, events) == (snapshot.version, state.total), f"snapshot at version {snapshot.version}: {state.total}"
    with running(counter(), store=store) as system:
        assert events == system.state("counter").total
        assert events + 1 == system.ask_blocking("counter", Add(1))


def test_a_calm_actor_is_kept_at_an_orderly_stop() -> None:
    """Seven events are far from 500; the stop keeps them, so that retention may take them and recovery is short."""
    store = stopped_after(7)
    snapshots_tell_the_truth(store, 7)
    assert 7 == store.retain(Retention(max_events=1)).removed
    with running(counter(), store=store) as system:
        assert 8 == system.state("counter").total


def test_planted_bug_a_snapshot_off_by_one_at_stop_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """One event more or less than it says is folded twice, or not at all."""
    taken = Turn._snapshot
    for off in (-1, 1):

        def off_by_one(turn: Turn, off: int = off) -> tuple[Snapshot, ...]:
            state = attrs.evolve(turn.state, total=turn.state.total + off) if turn.snapshot_due else turn.state
            turn.state, before = state, turn.state
            try:
                return taken(turn)
            finally:
                turn.state = before

        monkeypatch.setattr(Turn, "_snapshot", off_by_one)
        with pytest.raises(AssertionError, match="snapshot at version 7"):
            snapshots_tell_the_truth(stopped_after(7), 7)


def test_without_news_a_stop_keeps_nothing_again() -> None:
    """A stop right after a snapshot, or without any event, writes nothing."""
    assert kept(stopped_after(0)) is None
    store = stopped_after(3)
    head = store.head
    before = kept(store)
    with running(counter(), store=store):
        pass
    assert head == store.head
    assert before == kept(store)
    assert kept(stopped_after(3, snapshot_at_stop=False)) is None
    assert kept(stopped_after(3, snapshot_every=0)) is None


def test_a_predicate_has_a_state_kept_with_the_turn_of_its_event() -> None:
    """Given the state after the event, and the event."""
    store = MemoryStore()
    when: list[tuple[int, Any]] = []

    def round_total(state: Count, fact: Any) -> bool:
        when.append((state.total, fact))
        return isinstance(fact, Added) and state.total % 10 == 0

    with running(counter(snapshot_every=0, snapshot_when=round_total), store=store) as system:
        for amount in (4, 6, 3):
            system.ask_blocking("counter", Add(amount))
            expected = None if amount == 4 else 2
            assert expected == ((one := kept(store)) and one.version)
        assert [(4, Added(4)), (10, Added(6)), (13, Added(3))] == when
    last = kept(store)
    assert last is not None
    assert (3, 13) == (last.version, decode_state(last.data, Count).total), "the stop keeps the rest"


def test_a_state_is_kept_when_asked() -> None:
    """Of all actors or of some; the answer is the version that is kept."""
    store = MemoryStore()
    with running(counter("a"), counter("b"), counter("c", snapshot_every=0), store=store) as system:
        for name in ("a", "b", "c"):
            for _ in range(3):
                system.ask_blocking(name, Add(1))
        assert {"a": 3} == system.take_snapshots(["a"])
        assert [3, None] == [(one := kept(store, name)) and one.version for name in ("a", "b")]
        assert {"a": 3, "b": 3, "c": 3} == system.take_snapshots()
        assert {"b": 3} == system.take_snapshots(["b"])
        system.ask_blocking("b", Add(1))
        assert {"b": 4} == system.take_snapshots(["b"])


def test_who_cannot_be_asked_now_keeps_nothing_and_nobody_waits() -> None:
    """An actor that has failed, one without storage, one that has ended."""
    store = FailingStore()
    with running(counter(), store=store) as system:
        system.ask_blocking("counter", Add(1))
        store.full = True
        assert {"counter": None} == system.take_snapshots()
        store.full = False
        eventually(lambda: system.phase("counter") == "running")
        assert {"counter": 1} == system.take_snapshots()
        system.stop_actor("counter", "given up")
        eventually(lambda: system.phase("counter") == "stopped")
        assert {"counter": None} == system.take_snapshots()


@attrs.frozen
class Odd:
    """A state that msgspec cannot encode."""

    total: int = 0
    handle: Any = OPEN


def test_a_state_that_cannot_be_encoded_works_without_snapshots() -> None:
    """Every way of keeping it does nothing, and the log alone brings it back."""

    def evolve(state: Odd, fact: Any) -> Odd:
        return attrs.evolve(state, total=state.total + fact.amount)

    spec = Spec(
        "odd",
        Odd(),
        lambda state, command, _ctx: then(Added(command.amount), reply=state.total + command.amount),
        evolve,
        snapshot_every=2,
        snapshot_when=lambda _state, _fact: True,
    )
    store = MemoryStore()
    with running(spec, store=store) as system:
        for _ in range(5):
            system.ask_blocking("odd", Add(1))
        assert {"odd": None} == system.take_snapshots()
        assert 0 == system.statistics().actors[0].failures
    with running(spec, store=store) as system:
        assert 6 == system.ask_blocking("odd", Add(1))
    assert kept(store, "odd") is None


def test_a_stop_without_storage_is_clean_and_loses_nothing() -> None:
    """The snapshot at stop is a shortcut: without it the log says the same."""
    store = FailingStore()
    system = ActorSystem(store, [counter()])
    system.start()
    system.ask_blocking("counter", Note("kept"))
    store.full = True
    assert system.stop(deadline_s=2.0).clean
    store.full = False
    assert kept(store) is None
    with running(counter(), store=store) as again:
        assert ("kept",) == again.state("counter").notes
        assert [Noted("kept")] == [record.event for record in store.read()]
