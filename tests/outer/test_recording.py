"""The watchdog's log: on disk before anything is done, and no reason to do nothing where it cannot be written."""

from __future__ import annotations

import random
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from eventstore.errors import BadRequest, LogLocked, LogNotWritable, PositionNotFound
from eventstore.records import Appended, Batch, NewEvent
from lrm_actors.domain import outer
from lrm_actors.domain.behavior import Effect
from lrm_actors.domain.outliving import events as e
from lrm_actors.inspect.folds import open_log
from lrm_actors.outer import recording
from lrm_actors.outer.acting import Actor
from lrm_actors.outer.recording import Recorder
from tests.runtime.support import FailingStore

POLICY = outer.Policy(backoff_initial_s=0.01)


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A log that could not be written is tried again at once."""
    monkeypatch.setattr(recording, "RETRY_S", 0.0)


def acting(recorder: Recorder, seen: list[tuple[Effect, int]] | None = None) -> Actor:
    """The watchdog's actor, whose effects are only written down."""
    done = [] if seen is None else seen
    return Actor(outer.spec(), recorder, lambda effect, position: done.append((effect, position)))


def tell(actor: Actor, *commands: Any) -> None:
    """Have it handle them, one after the other."""
    for command in commands:
        actor.tell(command)
        actor.turn()


def stored(path: Path) -> list[str]:
    """Types of the events in a log."""
    with open_log(path) as reader:
        return [record.type.removeprefix("outer.") for record in reader.read()]


BEGIN = outer.BeginWatch(1, POLICY, ("agent",))


def test_an_intent_is_on_disk_before_its_effect(tmp_path: Path) -> None:
    """Whoever carries it out finds it in the file, at the position that he is told."""
    path = tmp_path / "outer.db"
    found: list[tuple[str, int]] = []

    def look(effect: Effect, position: int) -> None:
        with open_log(path) as reader:
            found.append((reader.get(position).type, reader.head))

    with closing(Recorder(path, outer.spec(), lambda text: None)) as recorder:
        tell(Actor(outer.spec(), recorder, look), BEGIN)
    assert [("outer.start_begun", 3)] == found


def test_planted_an_effect_before_its_intent_is_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A recorder that writes later."""
    monkeypatch.setattr(Recorder, "_flush", lambda self: None)
    with pytest.raises(PositionNotFound):
        test_an_intent_is_on_disk_before_its_effect(tmp_path)


def test_another_watchdog_goes_on_with_what_the_log_says(tmp_path: Path) -> None:
    """The state is the fold of what is in it."""
    path = tmp_path / "outer.db"
    first = Recorder(path, outer.spec(), lambda text: None)
    with pytest.raises(LogLocked):
        Recorder(path, outer.spec(), lambda text: None)
    actor = acting(first)
    tell(actor, BEGIN, outer.NoteStarted(1, 7, 3.5))
    first.close()
    second = Recorder(path, outer.spec(), lambda text: None)
    assert second.state == actor.state
    second.close()


def test_it_acts_while_the_log_cannot_be_written_and_tells_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk keeps no dead process down; nothing of what was decided is lost."""
    store, said, done = FailingStore(), list[str](), list[tuple[Effect, int]]()
    monkeypatch.setattr("eventstore.opening.open_store", lambda *_, **__: store)
    recorder = Recorder(Path("outer.db"), outer.spec(), said.append)
    actor = acting(recorder, done)
    tell(actor, BEGIN, outer.NoteStarted(1, 7, 3.5))
    store.full = True
    tell(actor, outer.NoteExit(1, -9))
    actor.tell(outer.NoteCleared(0), cause=5)
    tell(actor, outer.RestartNow())
    assert outer.StartProcess(2, -9) in [effect for effect, _ in done]
    assert ("process_started", 3) == (list(store.read())[-1].type.removeprefix("outer."), recorder.unwritten)
    assert recorder.retry(actor.state) is None
    store.full = False
    late = recorder.retry(actor.state)
    assert late is not None
    assert 3 == late[0]
    tell(actor, outer.NoteLate(*late))
    types = [record.type.removeprefix("outer.") for record in store.read()]
    assert ["process_exited", "restart_scheduled", "start_begun", "recorded_late"] == types[-4:]
    assert [None, 5, None, None] == [record.cause for record in store.read(after=4)]
    assert ["the log cannot be written, so it goes on without", "the log can be written again"] == [
        text.partition(":")[0] for text in said
    ]


def noted(recorder: Recorder, number: int, cause: int | None, count: int = 1) -> int:
    """Put numbered events on record; the position that is given for the last."""
    return recorder.write([e.WatchEnded(0, str(number + more)) for more in range(count)], cause, "c")


def told_by(store: FailingStore) -> dict[int, int | None]:
    """The numbers of the events in a log, each with the number of its cause."""
    found = {record.position: record for record in store.read()}
    assert sorted(found) == list(range(1, len(found) + 1))
    return {
        int(record.event.reason): None if record.cause is None else int(found[record.cause].event.reason)
        for record in found.values()
    }


def in_memory(monkeypatch: pytest.MonkeyPatch, said: list[str]) -> tuple[FailingStore, Recorder]:
    """A recorder whose log can be made to refuse."""
    store = FailingStore()
    monkeypatch.setattr("eventstore.opening.open_store", lambda *_, **__: store)
    return store, Recorder(Path("outer.db"), outer.spec(), said.append)


def test_more_than_can_wait_leaves_the_newest(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest go and it is said how many; the rest names no wrong cause, and nothing is stuck."""
    monkeypatch.setattr(recording, "PENDING_MAX", 5)
    said: list[str] = []
    store, recorder = in_memory(monkeypatch, said)
    first = noted(recorder, 1, None)
    store.full = True
    causes = {2: first}
    for number in range(2, 7):
        causes[number + 1] = noted(recorder, number, causes[number])
    assert [1, 2, 3, 4, 5, 6] == list(causes.values())
    assert 0 == noted(recorder, 7, causes[7])  # from here on nobody knows where they will be
    assert 0 == noted(recorder, 8, first)
    assert (7, None) == (recorder.unwritten, recorder.retry(recorder.state))
    store.full = False
    late = recorder.retry(recorder.state)
    assert late is not None
    assert (7, "") == (late[0], recorder.problem)
    assert {1: None, 4: None, 5: None, 6: None, 7: None, 8: 1} == told_by(store)
    sixth = noted(recorder, 10, causes[7])
    assert 7 == sixth
    ninth = noted(recorder, 11, first)
    assert {10: None, 11: 1} == {number: told_by(store)[number] for number in (10, 11)}
    assert ["the oldest 2 of 7 events that waited are left out of the log", "the log can be written again"] == said[1:]
    assert ninth == store.head


def test_planted_positions_that_count_what_was_given_up_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """A recorder that stores the causes as they were promised is stuck for good."""

    def as_they_are(events: list[NewEvent], *, up_to: int) -> list[NewEvent]:
        return events

    monkeypatch.setattr(recording, "_from_here", as_they_are)
    with pytest.raises(AssertionError):
        test_more_than_can_wait_leaves_the_newest(monkeypatch)


@pytest.mark.parametrize("outcome", ["stored", "lost"])
def test_more_than_can_wait_after_an_append_that_may_have_happened(
    monkeypatch: pytest.MonkeyPatch, outcome: str
) -> None:
    """What was dropped and is in the log all the same is not counted as dropped."""
    monkeypatch.setattr(recording, "PENDING_MAX", 3)
    store, recorder = in_memory(monkeypatch, [])
    store.unknown = outcome
    position = noted(recorder, 1, None, 2)
    for number in range(3, 6):
        position = noted(recorder, number, position)
    assert recorder.retry(recorder.state) is not None
    if outcome == "stored":
        assert [1, 2, 3, 4, 5] == list(told_by(store))
    else:
        assert {3: None, 4: None, 5: None} == told_by(store)
    assert recorder.problem == ""


def test_chance_has_no_way_to_a_wrong_cause(monkeypatch: pytest.MonkeyPatch, release: bool) -> None:
    """Over any sequence of a full disk, appends of unknown outcome, refusals and any position held on to for long."""
    histories, caused = 2_000 if release else 60, 0
    for seed in range(histories):
        caused += _history(monkeypatch, random.Random(seed))
    assert caused
    print(f"{histories} histories, {caused} causes, all of them right")


class Picky(FailingStore):
    """Refuses some events for good."""

    def append(self, batch: Batch) -> Appended:
        """Unless one of them is marked."""
        if not self.full and any(new.event.exit_code == BAD for write in batch.writes for new in write.events):  # type: ignore[attr-defined]
            raise BadRequest("event", BAD, "it is marked")
        return super().append(batch)


BAD = 666


def _history(monkeypatch: pytest.MonkeyPatch, chance: random.Random) -> int:
    store, said = Picky(), list[str]()
    monkeypatch.setattr("eventstore.opening.open_store", lambda *_, **__: store)
    monkeypatch.setattr(recording, "PENDING_MAX", chance.choice([2, 4, 7]))
    recorder = Recorder(Path("outer.db"), outer.spec(), said.append)
    held: list[tuple[int, int]] = []
    number, causes = 0, dict[int, int]()
    for _ in range(60):
        if chance.random() < 0.2:
            store.full = not store.full
        if chance.random() < 0.1:
            store.unknown = chance.choice(["stored", "lost"])
        if chance.random() < 0.2:
            recorder.retry(recorder.state)
        led, position = chance.choice(held[-12:]) if held and chance.random() < 0.7 else (0, 0)
        count = chance.choice([1, 1, 2, 3])
        bad = chance.random() < 0.1
        events = [e.WatchEnded(BAD if bad and not more else 0, str(number + more)) for more in range(count)]
        causes |= {number: led, **{number + more: number + more - 1 for more in range(1, count)}}
        number += count
        given = recorder.write(events, position or None, "c")
        if given:
            held.append((number - 1, given))
    store.full, store.unknown = False, None
    recorder.retry(recorder.state)
    assert (recorder.problem, recorder.unwritten) == ("", 0)
    found = {record.position: record for record in store.read()}
    stored = [int(record.event.reason) for record in found.values()]
    assert stored == sorted(set(stored))
    named = {
        int(record.event.reason): int(found[record.cause].event.reason)
        for record in found.values()
        if record.cause is not None
    }
    assert {one: causes[one] for one in named} == named
    return len(named)


def test_what_the_log_refuses_for_good_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is said, and the others are stored."""
    store, said = Picky(), list[str]()
    monkeypatch.setattr("eventstore.opening.open_store", lambda *_, **__: store)
    recorder = Recorder(Path("outer.db"), outer.spec(), said.append)
    first = noted(recorder, 1, None)
    mixed = [e.WatchEnded(BAD if number in {3, 6} else 0, str(number)) for number in range(2, 7)]
    assert (0, "") == (recorder.write(mixed, first, "c"), recorder.problem)
    assert {1: None, 2: 1, 4: None, 5: None} == told_by(store)
    assert 5 == noted(recorder, 7, first)
    assert ["the log refuses 2 events, which are left out of it"] == [text.partition(":")[0] for text in said]


@pytest.mark.parametrize("outcome", ["stored", "lost"])
def test_what_may_be_in_the_log_is_in_it_once(monkeypatch: pytest.MonkeyPatch, outcome: str) -> None:
    """Nobody knew whether the last append had happened."""
    store = FailingStore()
    monkeypatch.setattr("eventstore.opening.open_store", lambda *_, **__: store)
    recorder = Recorder(Path("outer.db"), outer.spec(), lambda text: None)
    actor = acting(recorder)
    tell(actor, BEGIN)
    store.unknown = outcome
    tell(actor, outer.NoteStarted(1, 7, 3.5))
    tell(actor, outer.NoteFirstHeartbeat(0.5))
    late = recorder.retry(actor.state)
    assert late is not None
    types = [record.type.removeprefix("outer.") for record in store.read()]
    assert ["start_begun", "process_started", "heartbeats_began"] == types[-3:]


def test_a_log_that_cannot_be_opened_is_opened_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And then tells of everything since."""
    from eventstore import opening

    path, real = tmp_path / "outer.db", opening.open_store

    def refused(*_: Any, **__: Any) -> Any:
        raise LogNotWritable(str(path), "the disk is full")

    monkeypatch.setattr(opening, "open_store", refused)
    recorder = Recorder(path, outer.spec(), lambda text: None)
    actor = acting(recorder)
    tell(actor, BEGIN, outer.NoteStarted(1, 7, 3.5))
    assert recorder.retry(actor.state) is None
    monkeypatch.setattr(opening, "open_store", real)
    late = recorder.retry(actor.state)
    assert late is not None
    tell(actor, outer.NoteLate(*late), outer.NoteExit(1, 0), outer.NoteCleared(0))
    recorder.close()
    assert [
        *("watch_began", "configured", "start_begun", "process_started"),
        *("recorded_late", "process_exited", "watch_ended"),
    ] == stored(path)


def test_the_log_stays_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest events go, and what the watchdog knows stays."""
    monkeypatch.setattr(recording, "KEPT", 20)
    monkeypatch.setattr(recording, "TRIM_EVERY", 10)
    path = tmp_path / "outer.db"
    recorder = Recorder(path, outer.spec(), lambda text: None)
    actor = acting(recorder)
    tell(actor, outer.BeginWatch(1, outer.Policy(restart="always"), ("agent",)))
    for number in range(1, 30):
        tell(actor, outer.NoteStarted(number, 7, 3.5), outer.NoteExit(number, 0), outer.NoteCleared(0))
        tell(actor, outer.RestartNow())
        recorder.tend(actor.state)
    recorder.close()
    assert len(stored(path)) < 40
    again = Recorder(path, outer.spec(), lambda text: None)
    assert again.state == actor.state
    assert 30 == again.state.start
    again.close()


def test_every_event_it_writes_is_one_of_its_own() -> None:
    """What stands in its stream, its actor folds."""
    assert all(name.startswith("outer.") for name in _names())


def _names() -> list[str]:
    from eventstore.events import declared_types

    return [name for name, kind in declared_types().items() if kind.cls.__module__ == e.__name__]
