"""The watchdog's log: on disk before anything is done, and no reason to do nothing where it cannot be written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from eventstore.errors import LogLocked, LogNotWritable, PositionNotFound
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

    recorder = Recorder(path, outer.spec(), lambda text: None)
    tell(Actor(outer.spec(), recorder, look), BEGIN)
    recorder.close()
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
