"""Rule 1: an acknowledged command is on disk before the reply, any effect, or any other actor sees it.

The two exceptions are tried as well: an append that says it may be lost, and a guard's own trip.
"""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path
from typing import Any

import attrs
import pytest

from eventstore.opening import open_store
from eventstore.records import Batch, Durability, NewEvent, Record, StreamWrite
from lrm_actors.actors.breaker import CircuitBreaker
from lrm_actors.domain import breaker
from lrm_actors.domain.behavior import Command, Wire
from lrm_actors.runtime.clock import SystemClock
from lrm_actors.runtime.committing import CURSOR_LAG, Published
from lrm_actors.runtime.reply import Reply
from lrm_actors.runtime.shell import Shell
from lrm_actors.runtime.turn import Turn
from tests.rules.support import Outside, system_on_disk
from tests.runtime.support import PATIENCE_S, Add, Added, Note, Shout, ShoutLoud, counter, eventually

FULL, NORMAL = 2, 1
"""What ``PRAGMA synchronous`` answers: the commit waits for the disk, or for nothing in WAL mode."""


# --- what is seen, and when ---------------------------------------------------------------------------------------


@attrs.define
class Sightings:
    """What became visible before it was stored."""

    outside: Outside
    early: list[str] = attrs.Factory(list)
    seen: set[str] = attrs.Factory(set)
    """Kinds of things that were looked at: a check that never ran proves nothing."""
    shouted: threading.Event = attrs.Factory(threading.Event)

    def look(self, what: str, *, stored: bool) -> None:
        """Note that something became visible."""
        self.seen.add(what)
        if not stored:
            self.early.append(what)

    def reply(self, reply: Reply) -> None:
        """An asker is answered."""
        if reply.command_id and reply.actor == "counter":
            self.look("reply", stored=self.outside.has_command(reply.command_id))

    def published(self, name: str, published: Published) -> None:
        """A state can be read by everybody."""
        self.look("state", stored=self.outside.version(name) >= published.version)

    def shout(self, effect: Shout) -> None:
        """An effect is carried out."""
        self.look("effect", stored=self.outside.has_text(effect.text))
        self.shouted.set()

    def make(self, fact: Any, record: Record) -> Command:
        """Another actor hears of an event."""
        self.look("wired", stored=self.outside.head() >= record.position)
        return Note(f"heard of {fact.amount}")


def sightings(directory: Path, plant: type[Shell] = Shell) -> Sightings:
    """Ask, tell, wire and carry out, and look from outside at each moment when something is seen."""
    seen = Sightings(Outside(directory / "lrm.db"))

    class Watched(plant):  # type: ignore[misc,valid-type]  # the planted bug is chosen at run time
        watching = seen

        def __setattr__(self, name: str, value: Any) -> None:
            if name == "published" and value.version:
                seen.published(self.spec.name, value)
            super().__setattr__(name, value)

    answer = Reply.set

    def watched_set(reply: Reply, value: Any = None) -> None:
        seen.reply(reply)
        answer(reply, value)

    wires = [Wire(Added, to="noter", make=seen.make)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lrm_actors.runtime.roster.Shell", Watched)
        patch.setattr(Reply, "set", watched_set)
        with system_on_disk(
            directory, counter(), counter("noter"), wires=wires, handlers={Shout: seen.shout}
        ) as system:
            for number in range(5):
                system.ask_blocking("counter", Add(number))
            system.tell("counter", Add(5))
            system.ask_blocking("counter", ShoutLoud("here I am"))
            assert seen.shouted.wait(PATIENCE_S)
            eventually(lambda: len(system.state("noter").notes) >= 6)
    assert {"reply", "state", "effect", "wired"} == seen.seen
    return seen


def test_rule_01_holds_everything_seen_is_stored(tmp_path: Path) -> None:
    """At the very moment of a reply, effect, published state or wired event, another connection sees it stored."""
    assert [] == sightings(tmp_path).early


class RepliesFirst(Shell):
    """Planted: the answer goes out before the append."""

    def _append(self, turn: Turn, flush_cursor_after: int = CURSOR_LAG) -> None:
        for outcome in turn.outcomes:
            if outcome.envelope.reply_to is not None:
                outcome.envelope.reply_to.set(outcome.reply)
        super()._append(turn, flush_cursor_after)


class ActsFirst(Shell):
    """Planted: effects are begun before the append."""

    watching: Sightings

    def _append(self, turn: Turn, flush_cursor_after: int = CURSOR_LAG) -> None:
        for outcome in turn.outcomes:
            for effect in outcome.effects:
                self._effects.carry_out(effect, None, None, 0)
                assert self.watching.shouted.wait(PATIENCE_S)
        super()._append(turn, flush_cursor_after)


class PublishesFirst(Shell):
    """Planted: others read a state that is not stored."""

    def _append(self, turn: Turn, flush_cursor_after: int = CURSOR_LAG) -> None:
        self.published = Published(turn.state, turn.version)
        super()._append(turn, flush_cursor_after)


class TellsOthersFirst(Shell):
    """Planted: consumers are handed the event itself, instead of reading it from the log."""

    watching: Sightings

    def _append(self, turn: Turn, flush_cursor_after: int = CURSOR_LAG) -> None:
        store = self._services.store
        for new in turn.events:
            if isinstance(new.event, Added):
                record = Record(store.head + 1, "counter", 1, "", 1, (), turn.now, None, None, "", 0, b"")
                self.watching.make(new.event, record)
        super()._append(turn, flush_cursor_after)


@pytest.mark.parametrize(
    ("plant", "what"),
    [(RepliesFirst, "reply"), (ActsFirst, "effect"), (PublishesFirst, "state"), (TellsOthersFirst, "wired")],
)
def test_rule_01_planted_too_early_is_caught(plant: type[Shell], what: str, tmp_path: Path) -> None:
    """Whatever goes out before the append is seen not to be stored yet."""
    assert what in sightings(tmp_path, plant).early


# --- on disk ------------------------------------------------------------------------------------------------------


class WatchedConnection(sqlite3.Connection):
    """Notes, at each commit, whether it waits for the disk."""

    commits: list[int]

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        if sql == "COMMIT" or (sql.startswith("INSERT INTO events") and not self.in_transaction):
            self.commits.append(super().execute("PRAGMA synchronous").fetchone()[0])
        return super().execute(sql, parameters)


def synchronous_at_commits(directory: Path) -> list[int]:
    """What each commit of a working system waited for."""
    commits: list[int] = []

    def connect(*arguments: Any, **options: Any) -> sqlite3.Connection:
        connection = sqlite3.connect(*arguments, factory=WatchedConnection, **options)
        connection.commits = commits
        return connection

    with system_on_disk(directory, counter(), connect=connect) as system:
        commits.clear()  # what creating the file needed
        for number in range(5):
            system.ask_blocking("counter", Add(number))
    return commits


def test_rule_01_holds_every_commit_waits_for_the_disk(tmp_path: Path) -> None:
    """``synchronous`` is FULL at each commit of an acknowledged command, read back from the connection itself."""
    commits = synchronous_at_commits(tmp_path)
    assert len(commits) >= 5
    assert {FULL} == set(commits)


def test_rule_01_planted_commits_that_do_not_wait_are_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kill cannot tell NORMAL from FULL, a power cut can: the pragma is looked at instead."""

    def never_full(connection: sqlite3.Connection, *, full: bool) -> None:
        connection.execute(f"PRAGMA synchronous = {NORMAL}")

    monkeypatch.setattr("eventstore.schema.set_synchronous", never_full)
    monkeypatch.setattr("eventstore.transactions.set_synchronous", never_full)
    assert NORMAL in synchronous_at_commits(tmp_path)


# --- the two exceptions -------------------------------------------------------------------------------------------


def test_rule_01_holds_what_may_be_lost_is_durable_at_the_next_barrier(tmp_path: Path) -> None:
    """A relaxed append does not wait; the next strict one, or a barrier, waits for both."""
    commits: list[int] = []

    def connect(*arguments: Any, **options: Any) -> sqlite3.Connection:
        connection = sqlite3.connect(*arguments, factory=WatchedConnection, **options)
        connection.commits = commits
        return connection

    write = StreamWrite("samples", (NewEvent(Added(1)),))
    with open_store(tmp_path / "lrm.db", connect=connect) as store:
        commits.clear()
        store.append(Batch((write,), durability=Durability.RELAXED))
        store.append(Batch((write,)))
        store.append(Batch((write,), durability=Durability.RELAXED))
        store.barrier()
    assert [NORMAL, FULL, NORMAL, FULL] == commits


def test_rule_01_holds_a_guard_trips_at_once_and_is_logged_next(tmp_path: Path) -> None:
    """The one thing that acts before it is stored: a guard opens with the failure that was one too many."""
    told: list[Command] = []
    guard = CircuitBreaker("llm", breaker.BreakerConfig(failure_threshold=2), tell=told.append, clock=SystemClock())
    for _ in range(2):
        with pytest.raises(OSError, match="down"), guard:
            raise OSError("down")
    assert "open" == guard.state
    with system_on_disk(tmp_path, breaker.spec("llm"), handlers={breaker.PublishBreaker: lambda _: None}) as system:
        outside = Outside(tmp_path / "lrm.db")
        assert not outside.has_text('"generation":1')
        for command in told:
            system.ask_blocking("breaker/llm", command)
        assert "open" == system.state("breaker/llm").status
        assert outside.has_text('"generation":1')
